"""Anthropic's own SDK, strict about what it reads, over answers that a test gives it."""

from __future__ import annotations

from typing import Any

import httpx2
from anthropic import Anthropic
from anthropic.types import Message

_ASKED: Any = {"model": "kimi", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}


class Sdk:
    """Reads one answer after the other; each is given as the bytes of its body."""

    def __init__(self) -> None:
        self._body = b""
        self._type = ""
        transport = httpx2.MockTransport(self._answer)
        self._client = Anthropic(
            api_key="key",
            base_url="http://gateway.example",
            http_client=httpx2.Client(transport=transport, trust_env=False),
            _strict_response_validation=True,
        )

    def streamed(self, data: bytes) -> dict[str, Any]:
        """The message that the SDK puts together of a stream. Raises what the SDK raises."""
        self._body, self._type = data, "text/event-stream; charset=utf-8"
        with self._client.messages.stream(**_ASKED) as stream:
            message: Message = stream.get_final_message()
        return message.to_dict(mode="json", exclude_unset=False, exclude_none=True)

    def whole(self, data: bytes) -> dict[str, Any]:
        """The message that the SDK makes of one object. Raises what the SDK raises."""
        self._body, self._type = data, "application/json"
        message: Message = self._client.messages.create(**_ASKED)
        return message.to_dict(mode="json", exclude_unset=False, exclude_none=True)

    def _answer(self, _request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._type}, content=self._body)
