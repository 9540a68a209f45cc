"""One request and its reply, between the HTTP server and the wires."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from emulator.line import Line
from emulator.received import Received
from emulator.steps import Send, Step
from emulator.values import encode

JSON_TYPE = "application/json"

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Request:
    """A request, its body read. Header names are in lower case, the path is without the query.

    The body of an upload is not in `body`: `received` says what it was.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    line: Line
    query: str = ""
    received: Received | None = None

    @property
    def bearer(self) -> str:
        """The token of the Authorization header, or an empty string."""
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""


def _nothing() -> tuple[Send, ...]:
    return ()


@dataclass(frozen=True)
class Reply:
    """An answer: `before` happens ahead of the status line, `steps` are the body.

    `length` is the declared body size in bytes, or None for a chunked body. `on_cancel` gives the
    steps that end an answer which CancelChat stopped; `on_close` runs once, however it ended.
    """

    status: int
    content_type: str
    steps: Iterable[Step]
    length: int | None = None
    headers: Headers = ()
    before: tuple[Step, ...] = ()
    on_cancel: Callable[[], Iterable[Send]] = field(default=_nothing)
    on_close: Callable[[], object] = field(default=_nothing)


def whole_reply(status: int, body: bytes, content_type: str = JSON_TYPE, headers: Headers = ()) -> Reply:
    """Answer with a body known at once, and with its length."""
    return Reply(status, content_type, (Send(body, frames=0),), len(body), headers)


def json_reply(status: int, value: object, headers: Headers = ()) -> Reply:
    """Answer with one JSON value."""
    return whole_reply(status, encode(value), headers=headers)
