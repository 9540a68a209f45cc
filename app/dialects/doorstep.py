"""What every door does: whose account, what JSON, and the answer to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flask import Request, Response

from app.accounts.admission import Admission, presented
from app.accounts.credentials import Credential
from app.chat.request import ChatRequest
from app.dialects.body import parse_json_object, read_json_body
from app.dialects.fields import sane_session
from app.dialects.paths import Dialect, dialect_of
from app.dialects.respond import Encoder, Pace, respond
from app.errors import InvalidRequest
from app.gateway.gateway import Gateway
from app.observability.hooks import current_record
from app.offload import Offload

SESSION_HEADERS = ("X-Conversation-Id", "X-OpenWebUI-Chat-Id", "x-claude-code-session-id", "session-id")
"""Where clients name their conversation, the best first."""

INSISTENT = ("claude-cli/", "codex", "geminicli")
"""How the `User-Agent` of a client begins that was seen to send failed requests again in spite of `x-should-retry`, in
small letters. SDKs heed that header, and a person who tries again is served."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Doorstep:
    """The collaborators of a door. `max_json_bytes` is the largest body taken, `offload` works on large ones."""

    gateway: Gateway
    admission: Admission
    pace: Pace
    max_json_bytes: int
    offload: Offload

    def credentials(self, request: Request) -> tuple[Credential, ...]:
        """The credentials of a request, at least one. Raises MissingApiKey, InvalidApiKey or InvalidRequest.

        The vendors' headers are all taken in all dialects; a key in the address only where Google's clients put it.
        """
        key = request.args.get("key")
        if key is not None and dialect_of(request.path, request.headers) is not Dialect.GEMINI:
            raise InvalidRequest(
                "A key in the address ends up in logs; send it as Authorization: Bearer KEY.", param="key"
            )
        headers = request.headers
        return self.admission.admit(
            presented(headers.get("Authorization"), headers.get("x-api-key"), headers.get("x-goog-api-key"), key)
        )

    def session(self, request: Request) -> str | None:
        """What the client calls its conversation, if it sends a header that tells (clients.md, session hints)."""
        named = (sane_session(request.headers.get(header)) for header in SESSION_HEADERS)
        return next((name for name in named if name is not None), None)

    def json_object(self, request: Request) -> dict[str, object]:
        """The body of a request. Raises InvalidRequest, RequestTooLarge or UnsupportedMediaType."""
        return self.json_call(request, lambda body: body)

    def json_call(self, request: Request, understand: Callable[[dict[str, object]], _T]) -> _T:
        """What `understand` makes of the body of a request. Raises as `json_object`, and what `understand` raises.

        A large body is parsed and understood beside the other requests, so `understand` may not use flask's `request`.
        """
        pieces = read_json_body(
            request.environ["wsgi.input"],
            request.content_length,
            request.content_type,
            request.headers.get("Content-Encoding"),
            self.max_json_bytes,
        )
        return self.offload.run(lambda: understand(parse_json_object(pieces)), size=sum(map(len, pieces)))

    def answer(
        self,
        request: Request,
        asked: ChatRequest,
        credentials: Sequence[Credential],
        encoder: Encoder,
        *,
        dialect: str,
        stream: bool,
        breaks_off: bool = False,
    ) -> Response:
        """The answer to what is asked, in the encoder's words; `breaks_off` as in `respond`.

        Raises the errors that come before its first word.
        """
        record = current_record()
        record.dialect, record.model, record.stream = dialect, asked.model, stream
        insistent = request.headers.get("User-Agent", "").lower().startswith(INSISTENT)
        return respond(
            lambda cancellation: self.gateway.answer(asked, credentials, cancellation, insistent=insistent),
            encoder,
            stream=stream,
            pace=self.pace,
            environ=request.environ,
            record=record,
            breaks_off=breaks_off,
        )
