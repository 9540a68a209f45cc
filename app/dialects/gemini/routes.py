"""GET /v1beta/models and the calls of a model: POST /v1beta/models/{model}:generateContent and its like.

Names of models may hold slashes and colons, so the call is what stands behind the last colon.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import orjson
from flask import Blueprint, Response, jsonify, request

from app.dialects.doorstep import Doorstep
from app.dialects.gemini.encoder import GeminiEncoder
from app.dialects.gemini.framing import ArrayFraming, EventFraming, Framing
from app.dialects.gemini.models import model, page
from app.dialects.gemini.schemas import generate_call, model_name, token_count
from app.errors import MethodNotAllowed, NotFound

_GEMINI_CLI = "GeminiCLI"
_COLLECTIONS = "<any(models, tunedModels):_collection>"


def blueprint(door: Doorstep) -> Blueprint:
    """The door of this dialect."""
    routes = Blueprint("gemini", __name__)
    calls: dict[str, Callable[[str], Response]] = {
        "generateContent": lambda name: _generate(door, name, stream=False),
        "streamGenerateContent": lambda name: _generate(door, name, stream=True),
        "countTokens": lambda name: _count(door, name),
    }

    @routes.get("/v1beta/models")
    def list_models() -> Response:
        """List the names that ask for something; any other name is answered too, by the default model."""
        return jsonify(page(door.gateway.models(door.credentials(request)), request.args))

    @routes.get(f"/v1beta/{_COLLECTIONS}/<path:name>")
    def get_model(_collection: str, name: str) -> Response:
        """Tell of one model; there is none of which a request would be refused."""
        door.credentials(request)
        if name.rpartition(":")[2] in calls:
            raise MethodNotAllowed("A model is called by POST.")
        return jsonify(model(model_name(name)))

    @routes.post(f"/v1beta/{_COLLECTIONS}/<path:call>")
    def call_model(_collection: str, call: str) -> Response:
        """Do what the part behind the last colon says."""
        name, _, verb = call.rpartition(":")
        if verb not in calls or not name:
            known = ", ".join(calls)
            raise NotFound(f"A model cannot be asked this here; what can be asked is {known}.")
        return calls[verb](name)

    return routes


def _generate(door: Doorstep, name: str, *, stream: bool) -> Response:
    credentials = door.credentials(request)
    session, named = door.session(request), model_name(name)
    call = door.json_call(request, lambda body: generate_call(named, body, session))
    framing: Framing = EventFraming() if request.args.get("alt", "").lower() == "sse" else ArrayFraming()
    encoder = GeminiEncoder(
        framing,
        identity=call.request.conversation_id or uuid.uuid4().hex,
        model=named,
        use_conversation_id=door.gateway.keeps(call.request),
        shows_thoughts=call.shows_thoughts,
        bare=call.bare,
    )
    # gemini-cli (0.61) passes over an error in a stream, and takes what came before for the whole answer.
    deaf = request.headers.get("User-Agent", "").startswith(_GEMINI_CLI)
    return door.answer(request, call.request, credentials, encoder, dialect="gemini", stream=stream, breaks_off=deaf)


def _count(door: Doorstep, name: str) -> Response:
    """The estimate for a request; Kimi is not asked."""
    door.credentials(request)
    named = model_name(name)
    total = door.json_call(request, lambda body: token_count(named, body))
    details = [{"modality": "TEXT", "tokenCount": total}]
    return Response(
        orjson.dumps({"totalTokens": total, "promptTokensDetails": details}), content_type="application/json"
    )
