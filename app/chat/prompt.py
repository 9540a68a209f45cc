"""How large a request is: the estimate for what the client sent, none of what the gateway adds to it."""

from __future__ import annotations

from app.chat.request import ChatRequest
from app.chat.tokens import PER_MESSAGE, estimate


def prompt_tokens(request: ChatRequest) -> int:
    """About how many tokens messages, calls and tools have; images and documents are not counted."""
    if request.prompt_tokens is not None:
        return request.prompt_tokens
    texts = [message.text for message in request.messages]
    texts += [call.arguments for message in request.messages for call in message.calls]
    texts += [f"{spec.name} {spec.description} {spec.parameters}" for spec in request.tools.told]
    return sum(map(estimate, texts)) + PER_MESSAGE * len(request.messages)
