"""What every door does first: whose account, and what JSON."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Request

from app.accounts.admission import Admission, presented
from app.accounts.credentials import Credential
from app.dialects.body import read_json_object
from app.dialects.fields import sane_session
from app.dialects.respond import Pace
from app.errors import InvalidRequest
from app.gateway.gateway import Gateway

SESSION_HEADERS = ("X-Conversation-Id", "X-OpenWebUI-Chat-Id", "x-claude-code-session-id", "session-id")
"""Where clients name their conversation, the best first."""


@dataclass(frozen=True, slots=True)
class Doorstep:
    """The collaborators of a door. `max_json_bytes` is the largest body taken."""

    gateway: Gateway
    admission: Admission
    pace: Pace
    max_json_bytes: int

    def credentials(self, request: Request) -> tuple[Credential, ...]:
        """The credentials of a request, at least one. Raises MissingApiKey, InvalidApiKey or InvalidRequest."""
        if "key" in request.args:
            raise InvalidRequest(
                "A key in the address ends up in logs; send it as Authorization: Bearer KEY.", param="key"
            )
        headers = request.headers
        key = presented(headers.get("Authorization"), headers.get("x-api-key"), headers.get("x-goog-api-key"))
        return self.admission.admit(key)

    def session(self, request: Request) -> str | None:
        """What the client calls its conversation, if it sends a header that tells (clients.md, session hints)."""
        named = (sane_session(request.headers.get(header)) for header in SESSION_HEADERS)
        return next((name for name in named if name is not None), None)

    def json_object(self, request: Request) -> dict[str, object]:
        """The body of a request. Raises InvalidRequest, RequestTooLarge or UnsupportedMediaType."""
        return read_json_object(
            request.environ["wsgi.input"],
            request.content_length,
            request.content_type,
            request.headers.get("Content-Encoding"),
            self.max_json_bytes,
        )
