"""Stand-ins for what unit tests must not reach: Kimi, its network, and time."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Opened
from app.chat.request import ChatRequest
from app.errors import ClientGone, GatewayError
from app.kimi.client import Account, KimiClient
from app.kimi.framing import envelope
from app.kimi.http import HttpAnswer, HttpRequest, media_type
from app.kimi.transport import UNARY_TIMEOUT, HttpStream, Transport
from config.models import ModelEntry

CONNECT_STREAM = {"content-type": "application/connect+json"}
EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8"}
JSON = {"content-type": "application/json"}


def jwt(**claims: object) -> str:
    """A token as Kimi's auth host makes them, an access token unless `typ` says otherwise; nobody signed it."""
    payload = json.dumps({"app_id": "kimi", "typ": "access", **claims}).encode()
    parts = (b'{"alg":"HS512","typ":"JWT"}', payload, b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


def json_answer(value: object, status: int = 200) -> HttpAnswer:
    """A unary answer."""
    return HttpAnswer(status, JSON, json.dumps(value).encode())


def frame(value: object) -> bytes:
    """One data frame of a Connect stream."""
    return envelope(json.dumps(value).encode())


TRAILER = b"\x02\x00\x00\x00\x02{}"
"""The last frame of a Connect stream that ended well."""


class FakeClock:
    """A clock that stands until it is told to go on."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass(frozen=True)
class Streamed:
    """A scripted stream: what each read gives or raises; after the last one the stream has ended."""

    chunks: Sequence[bytes | GatewayError]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: CONNECT_STREAM)


Reply = HttpAnswer | Streamed | GatewayError


class FakeStream(HttpStream):
    """An open answer that reads from a script; `waits` are the limits that its reader set."""

    def __init__(self, script: Streamed, cancellation: Cancellation) -> None:
        self.status = script.status
        self.headers = dict(script.headers)
        self.media_type = media_type(self.headers)
        self.waits: list[float | None] = []
        self._script = iter(script.chunks)
        self._left = cancellation

    def read(self, *, within: float | None = None) -> bytes:
        self.waits.append(within)
        if self._left.cancelled:
            raise ClientGone("The client hung up.")
        chunk = next(self._script, b"")
        if isinstance(chunk, GatewayError):
            raise chunk
        return chunk


class FakeTransport(Transport):
    """A function from request to answer in place of the network; `requests` is all that was sent."""

    def __init__(self, respond: Callable[[HttpRequest], Reply]) -> None:
        self.requests: list[HttpRequest] = []
        self.streams: list[FakeStream] = []
        self.open = 0
        self._respond = respond

    @property
    def calls(self) -> list[str]:
        """The last part of the path of each request, such as `Chat`."""
        return [request.url.rpartition("/")[2] for request in self.requests]

    def bodies(self, call: str) -> list[object]:
        """The unary JSON bodies sent to a call."""
        return [json.loads(r.body or b"null") for r in self.requests if r.url.endswith("/" + call)]

    def fetch(self, request: HttpRequest, *, timeout: float = UNARY_TIMEOUT) -> HttpAnswer:
        reply = self._reply(request)
        return reply if isinstance(reply, HttpAnswer) else FakeStream(reply, Cancellation()).answer()

    @contextmanager
    def stream(self, request: HttpRequest, cancellation: Cancellation) -> Iterator[HttpStream]:
        if cancellation.cancelled:
            raise ClientGone("The client hung up.")
        reply = self._reply(request)
        script = Streamed([reply.body], reply.status, reply.headers) if isinstance(reply, HttpAnswer) else reply
        self.streams.append(FakeStream(script, cancellation))
        self.open += 1
        try:
            yield self.streams[-1]
        finally:
            self.open -= 1

    def _reply(self, request: HttpRequest) -> HttpAnswer | Streamed:
        self.requests.append(request)
        reply = self._respond(request)
        if isinstance(reply, GatewayError):
            raise reply
        return reply


Step = list[Event] | GatewayError | Callable[[Cancellation], None]
"""Events to give, an error to raise, or something to happen."""


class FakeExchange:
    """An answer from a script; it knows its conversation as soon as the script has told it.

    `stop` and `delete` are the errors of the first calls of that name; `gone` is set once it is deleted.
    """

    def __init__(self, *script: Step, stop: Sequence[GatewayError] = (), delete: Sequence[GatewayError] = ()) -> None:
        self.conversation_id: str | None = None
        self.calls: list[tuple[str, str]] = []
        self.closed = False
        self.gone = threading.Event()
        self._script = script
        self._failures = {"stop": iter(stop), "delete": iter(delete)}

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        try:
            for step in self._script:
                if isinstance(step, GatewayError):
                    raise step
                if not isinstance(step, list):
                    step(cancellation)
                    continue
                for event in step:
                    if isinstance(event, Opened):
                        self.conversation_id = event.conversation_id
                yield step
        finally:
            self.closed = True

    def stop(self, token: str) -> None:
        self._call("stop", token)

    def delete(self, token: str) -> None:
        self._call("delete", token)
        self.gone.set()

    @property
    def deleted(self) -> bool:
        """Whether deletion was asked for."""
        return "delete" in self.names

    @property
    def names(self) -> list[str]:
        """The clean-up calls in their order."""
        return [name for name, _ in self.calls]

    def _call(self, name: str, token: str) -> None:
        self.calls.append((name, token))
        failure = next(self._failures[name], None)
        if failure is not None:
            raise failure


class FakeKimi(KimiClient):
    """Gives the exchanges in their order; `accounts` are those as whom they were opened."""

    def __init__(self, *exchanges: FakeExchange, live: bool = True, models: tuple[ModelEntry, ...] = ()) -> None:
        self.accounts: list[Account] = []
        self.asked: list[ChatRequest] = []
        self._exchanges = iter(exchanges)
        self._live = live
        self._offered = models

    def open(
        self, request: ChatRequest, account: Account, offered: Callable[[], tuple[ModelEntry, ...]]
    ) -> FakeExchange:
        self.accounts.append(account)
        self.asked.append(request)
        return next(self._exchanges)

    def offered(self, account: Account) -> tuple[ModelEntry, ...]:
        return self._offered

    def accepts(self, account: Account) -> bool:
        return self._live
