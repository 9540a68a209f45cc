"""POST /v1/chat/completions."""

from __future__ import annotations

import time
import uuid

from flask import Blueprint, Response, request

from app.dialects.doorstep import Doorstep
from app.dialects.openai_chat.encoder import ChatEncoder
from app.dialects.openai_chat.schemas import chat_call


def blueprint(door: Doorstep) -> Blueprint:
    """The door of this dialect."""
    routes = Blueprint("openai_chat", __name__)

    @routes.post("/v1/chat/completions")
    def chat_completions() -> Response:
        """Answer a chat."""
        credentials = door.credentials(request)
        session = door.session(request)
        call = door.json_call(request, lambda body: chat_call(body, session))
        encoder = ChatEncoder(
            identity=call.request.conversation_id or f"chatcmpl-{uuid.uuid4().hex}",
            model=call.request.model,
            created=int(time.time()),
            use_conversation_id=door.gateway.keeps(call.request),
            include_usage=call.include_usage,
            legacy_functions=call.legacy_functions,
        )
        return door.answer(request, call.request, credentials, encoder, dialect="openai_chat", stream=call.stream)

    return routes
