"""GET /v1/models and /v1/models/{id}, in OpenAI's shape, or in Anthropic's for clients that send its version header."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app.dialects.anthropic.models import model_info, model_page
from app.dialects.doorstep import Doorstep
from app.dialects.paths import Dialect, dialect_of

_CREATED = 1_700_000_000
"""Seconds; Kimi tells no dates of its models, and clients sort by them."""


def blueprint(door: Doorstep) -> Blueprint:
    """The list of models."""
    routes = Blueprint("models", __name__)

    @routes.get("/v1/models")
    def list_models() -> Response:
        """List the names that ask for something; any other name is answered too, by the default model."""
        names = door.gateway.models(door.credentials(request))
        if _is_anthropic():
            return jsonify(model_page(names, request.args))
        return jsonify({"object": "list", "data": [_model(name) for name in names]})

    @routes.get("/v1/models/<path:name>")
    def get_model(name: str) -> Response:
        """Tell of one model; there is none of which a request would be refused."""
        door.credentials(request)
        return jsonify(model_info(name) if _is_anthropic() else _model(name))

    return routes


def _is_anthropic() -> bool:
    return dialect_of(request.path, request.headers) is Dialect.ANTHROPIC


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "moonshot-ai"}
