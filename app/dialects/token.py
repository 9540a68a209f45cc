"""POST /token/check tells whether Kimi still takes a token."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app.dialects.doorstep import Doorstep
from app.errors import InvalidApiKey, InvalidRequest


def blueprint(door: Doorstep) -> Blueprint:
    """The check."""
    routes = Blueprint("token", __name__)

    @routes.post("/token/check")
    def check() -> Response:
        """Tell whether a token is live; an error means that it could not be told."""
        token = door.json_object(request).get("token")
        if not isinstance(token, str):
            raise InvalidRequest("token must be a string.", param="token")
        try:
            credential = door.admission.admit(token)[0]
        except InvalidApiKey:
            return jsonify({"live": False})
        return jsonify({"live": door.gateway.is_live(credential)})

    return routes
