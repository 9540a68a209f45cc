"""Stand-ins for what unit tests must not reach: Kimi, its network, and time."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.attachments.download import Download, Downloads
from app.attachments.intake import Spool
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.chat.events import Event, Failed, Finished, Opened
from app.chat.request import ChatRequest, Continuation
from app.errors import ClientGone, FileNotFound, GatewayError
from app.kimi.client import Account, KimiClient
from app.kimi.framing import envelope
from app.kimi.http import FileBody, FileReader, HttpAnswer, HttpRequest, media_type
from app.kimi.quota import Quota
from app.kimi.storage import READ_WITHIN, Storage
from app.kimi.transport import UNARY_TIMEOUT, HttpStream, Transport
from app.kimi.turn import Turn
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
        self.uploaded: list[bytes] = []
        self.open = 0
        self._respond = respond

    @property
    def calls(self) -> list[str]:
        """The last part of the path of each request, such as `Chat`."""
        return [request.url.rpartition("/")[2] for request in self.requests]

    def bodies(self, call: str) -> list[object]:
        """The unary JSON bodies sent to a call."""
        bodies = [request.body for request in self.requests if request.url.endswith("/" + call)]
        return [json.loads(body or b"null") for body in bodies if not isinstance(body, FileBody)]

    def fetch(
        self, request: HttpRequest, *, timeout: float = UNARY_TIMEOUT, cancellation: Cancellation | None = None
    ) -> HttpAnswer:
        if cancellation is not None:
            cancellation.check()
        reply = self._reply(request)
        return reply if isinstance(reply, HttpAnswer) else FakeStream(reply, Cancellation()).answer()

    def upload(self, request: HttpRequest, cancellation: Cancellation) -> HttpAnswer:
        """As `fetch`; the bytes that were sent stand in `uploaded`."""
        cancellation.check()
        if isinstance(request.body, FileBody):
            reader = FileReader(request.body, cancellation)
            sent = b"".join(reader)
            assert len(sent) == len(reader)
            self.uploaded.append(sent)
        return self.fetch(request)

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

    `tip` is the message that a whole answer leaves the conversation at, None where that cannot be told; `stop` are the
    errors of the first attempts to stop it, each of which is noted in `stops` with its token. Until the script has
    told the answer's end it is `running`, unless it cannot be stopped at all (`stoppable`).
    """

    def __init__(
        self, *script: Step, tip: str | None = "message-1", stop: Sequence[GatewayError] = (), stoppable: bool = True
    ) -> None:
        self.conversation_id: str | None = None
        self.stops: list[str] = []
        self.closed = False
        self._script = script
        self._tip = tip
        self._failures = iter(stop)
        self._stoppable = stoppable
        self._opened = False
        self._over = False

    @property
    def tip(self) -> Continuation | None:
        """Where the next turn goes."""
        if self.conversation_id is None or self._tip is None:
            return None
        return Continuation(self.conversation_id, self._tip)

    @property
    def running(self) -> bool:
        """From the opening until the script has told the end."""
        return self._stoppable and self._opened and not self._over

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        try:
            for step in self._script:
                if isinstance(step, GatewayError):
                    raise step
                if not isinstance(step, list):
                    step(cancellation)
                    continue
                for event in step:
                    self._note(event)
                yield step
        finally:
            self.closed = True

    def stop(self, token: str) -> None:
        self.stops.append(token)
        failure = next(self._failures, None)
        if failure is not None:
            raise failure

    def _note(self, event: Event) -> None:
        if isinstance(event, Opened):
            self.conversation_id, self._opened = event.conversation_id, True
        if isinstance(event, Finished | Failed):
            self._over = True


class FakeKimi(KimiClient):
    """Gives the exchanges in their order, and writes down what is asked of it.

    `accounts` are those as whom the exchanges were opened, `asked` the requests, `turns` what was sent, `continued`
    where each was to go on. `delete` are the outcomes of the first calls that delete (None: it goes well),
    `greeting` is what every greeting raises, `quotas` what is told of them. `deletions` are all such calls,
    `deleted` the conversations that are gone; `gone` is set with the first of these.
    """

    def __init__(
        self,
        *exchanges: FakeExchange,
        models: tuple[ModelEntry, ...] = (),
        delete: Sequence[GatewayError | None] = (),
        greeting: GatewayError | None = None,
        quotas: tuple[Quota, ...] = (),
    ) -> None:
        self.accounts: list[Account] = []
        self.asked: list[ChatRequest] = []
        self.turns: list[Turn] = []
        self.continued: list[Continuation | None] = []
        self.greeted: list[Account] = []
        self.deletions: list[tuple[Account, tuple[str, ...]]] = []
        self.deleted: list[str] = []
        self.gone = threading.Event()
        self._exchanges = iter(exchanges)
        self._offered = models
        self._failures = iter(delete)
        self._greeting = greeting
        self._quotas = quotas

    def open(
        self,
        request: ChatRequest,
        turn: Turn,
        account: Account,
        offered: Callable[[], tuple[ModelEntry, ...]],
        continues: Continuation | None = None,
    ) -> FakeExchange:
        self.accounts.append(account)
        self.asked.append(request)
        self.turns.append(turn)
        self.continued.append(continues)
        exchange = next(self._exchanges)
        if continues is not None:
            exchange.conversation_id = continues.conversation_id
        return exchange

    def delete(self, account: Account, conversation_ids: Sequence[str]) -> None:
        self.deletions.append((account, tuple(conversation_ids)))
        failure = next(self._failures, None)
        if failure is not None:
            raise failure
        self.deleted += conversation_ids
        self.gone.set()

    def offered(self, account: Account) -> tuple[ModelEntry, ...]:
        return self._offered

    def greet(self, account: Account) -> None:
        self.greeted.append(account)
        if self._greeting is not None:
            raise self._greeting

    def quotas(self, account: Account) -> tuple[Quota, ...]:
        return self._quotas

    def site(self, *, overseas: bool, protocol: str) -> str:
        return f"{protocol}.kimi.{'ai' if overseas else 'com'}"


@dataclass(frozen=True)
class Kept:
    """A file that FakeStorage has taken."""

    account: Account
    name: str
    media_type: str
    data: bytes


class FakeStorage(Storage):
    """Kimi's storage: takes what it is given and has read it at once, unless a test says otherwise.

    `kept` are the files by their ids (`kimi-1` and so on), in the order of their upload; a test may take one out, as
    if Kimi had dropped it. `refuse` tells of each upload why it fails (None: it goes well), `unread` of each waiting
    what it raises. `waits` are the ids that were waited for, each with the seconds that it was given.
    """

    def __init__(
        self,
        *,
        refuse: Callable[[Content], GatewayError | None] = lambda _content: None,
        unread: Callable[[str], GatewayError | None] = lambda _file_id: None,
    ) -> None:
        self.kept: dict[str, Kept] = {}
        self.uploads = 0
        self.waits: list[tuple[str, float]] = []
        self.refuse = refuse
        self.unread = unread
        self._lock = threading.Lock()

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str:
        cancellation.check()
        with self._lock:
            self.uploads += 1
            file_id = f"kimi-{self.uploads}"
        error = self.refuse(content)
        if error is not None:
            raise error
        content.file.seek(0)
        self.kept[file_id] = Kept(account, content.name, content.media_type, content.file.read())
        return file_id

    def await_read(
        self,
        account: Account,
        file_id: str,
        cancellation: Cancellation,
        *,
        is_image: bool,
        within: float = READ_WITHIN,
    ) -> None:
        cancellation.check()
        self.waits.append((file_id, within))
        if file_id not in self.kept:
            raise FileNotFound("Kimi has no file of this id.")
        error = self.unread(file_id)
        if error is not None:
            raise error


class FakeDownloads(Downloads):
    """What URLs lead to: bytes with the server's name and type for them, or an error; `fetched` are those asked for.

    `spools` are those that were given out: a test may look whether they were closed.
    """

    def __init__(self, pages: Mapping[str, bytes | tuple[bytes, str | None, str | None] | GatewayError]) -> None:
        self.fetched: list[str] = []
        self.spools: list[Spool] = []
        self._pages = pages

    def fetch(self, url: str, cancellation: Cancellation) -> Download:
        cancellation.check()
        self.fetched.append(url)
        page = self._pages[url]
        if isinstance(page, GatewayError):
            raise page
        data, name, media_type = page if isinstance(page, tuple) else (page, None, None)
        spool = Spool(len(data))
        spool.write(data)
        self.spools.append(spool)
        return Download(spool, name, media_type)
