"""POST /v1/messages and /v1/messages/count_tokens."""

from __future__ import annotations

import uuid

from flask import Blueprint, Response, jsonify, request

from app.chat.prompt import prompt_tokens
from app.dialects.anthropic.encoder import MessagesEncoder
from app.dialects.anthropic.schemas import counted, messages_call
from app.dialects.doorstep import Doorstep
from app.observability.hooks import current_record


def blueprint(door: Doorstep) -> Blueprint:
    """The door of this dialect."""
    routes = Blueprint("anthropic", __name__)

    @routes.post("/v1/messages")
    def messages() -> Response:
        """Answer a chat."""
        credentials = door.credentials(request)
        session = door.session(request)
        call = door.json_call(request, lambda body: messages_call(body, session))
        encoder = MessagesEncoder(
            identity=call.request.conversation_id or f"msg_{uuid.uuid4().hex}",
            model=call.request.model,
            request_id=current_record().request_id,
            input_tokens=prompt_tokens(call.request),
            use_conversation_id=door.gateway.keeps(call.request),
            shows_thinking=call.shows_thinking,
        )
        return door.answer(request, call.request, credentials, encoder, dialect="anthropic", stream=call.stream)

    @routes.post("/v1/messages/count_tokens")
    def count_tokens() -> Response:
        """Count a request without asking Kimi anything."""
        door.credentials(request)
        return jsonify({"input_tokens": door.json_call(request, counted)})

    return routes
