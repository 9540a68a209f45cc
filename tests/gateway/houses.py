"""A gateway with all its collaborators, over a Kimi that answers from a script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import pytest

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.models import OfferedModels
from app.accounts.pool import Limits, Pool
from app.accounts.tokens import AccessTokens
from app.accounts.vault import Vault
from app.attachments.shelf import Shelf
from app.attachments.uploads import Uploads
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta
from app.chat.request import ChatRequest, FilePart, Inline, Message, Remote, Role, Stored, TextPart
from app.conversations.continuity import Continuity
from app.conversations.ledger import Ledger
from app.errors import GatewayError
from app.gateway.attempt import Attempts
from app.gateway.cleanup import CleanUp
from app.gateway.custody import Keeping
from app.gateway.diagnosis import Diagnosis
from app.gateway.enclosures import Enclosing
from app.gateway.files import Files
from app.gateway.gateway import Gateway
from app.gateway.holding import Holding
from app.gateway.repeats import Repeats
from app.gateway.upstream import Upstream
from app.kimi.client import KimiClient
from app.kimi.refresh import TokenPair
from app.state.leases import Leases
from app.state.presence import Presence
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import Store
from config.models import load_models
from tests.fakes import FakeClock, FakeDownloads, FakeExchange, FakeStorage, jwt

MODELS = load_models()
TTL = 1800.0


def access(name: str) -> Credential:
    """An access token of the account `name`."""
    return parse_credentials(jwt(sub=name))[0]


def refreshable(name: str = "ann") -> Credential:
    """A refresh token of the account `name`."""
    return parse_credentials(jwt(typ="refresh", sub=name))[0]


ANN, BOB, EVE = access("ann"), access("bob"), access("eve")


def user(text: str) -> Message:
    """What a person says."""
    return Message.of(Role.USER, text)


def said(text: str) -> Message:
    """What the model has said."""
    return Message.of(Role.ASSISTANT, text)


PNG = b"\x89PNG\r\n\x1a\n"
"""What makes bytes a picture."""

BINARY = bytes(range(256))
"""What is neither a picture nor text."""


def inline(
    data: bytes, *, name: str | None = None, place: str = "messages.0.content.1", image: bool = False
) -> FilePart:
    """An attachment that comes with the request."""
    return FilePart(Inline(data, hashlib.sha256(data).hexdigest()), place, name, image)


def picture(number: int = 1, *, place: str = "messages.0.content.1") -> FilePart:
    """A picture that comes with the request; each number is another one."""
    return inline(PNG + str(number).encode(), place=place, image=True)


def remote(url: str, *, name: str | None = None, place: str = "messages.0.content.1", image: bool = False) -> FilePart:
    """An attachment that is to be fetched."""
    return FilePart(Remote(url), place, name, image)


def stored(file_id: str, *, place: str = "messages.0.content.1") -> FilePart:
    """An attachment that was uploaded before."""
    return FilePart(Stored(file_id), place)


def showing(*parts: str | FilePart, role: Role = Role.USER) -> Message:
    """A message of these parts."""
    return Message(role, tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def ask(*, model: str = "kimi", conversation_id: str | None = None, keep: bool = False) -> ChatRequest:
    """A request for an answer to `hi`."""
    return ChatRequest(model, (user("hi"),), conversation_id=conversation_id, keep=keep)


def answering(text: str = "hello", chat: str = "chat-1") -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened(chat)], [TextDelta(text)], [Finished()])


def failing(error: GatewayError, *before: Event) -> FakeExchange:
    """An exchange that fails after some events."""
    return FakeExchange(*([[*before]] if before else []), [Failed(error)])


def text_of(events: Sequence[Event]) -> str:
    """What the answer says."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def error_of(events: Sequence[Event]) -> GatewayError:
    """The error that ends the answer."""
    assert isinstance(events[-1], Failed)
    return events[-1].error


class StillLeases(Leases):
    """Leases that are renewed by hand."""

    def _keep_renewing(self) -> None:
        pass


class StillCleanUp(CleanUp):
    """A clean-up that looks only where it is told to, never by itself when time has passed."""

    def _wait(self) -> None:
        pass


class Elsewhere(Presence):
    """The presence of a process on a machine of its own: others see no more of it than its lease."""

    def __init__(self, store: Store, leases: Leases, machine: str, clock: Callable[[], float]) -> None:
        super().__init__(store, leases, timer=clock)
        self._machine = machine

    @property
    def name(self) -> str:
        return f"{self._machine}:1:1:0"


def never(_seconds: float) -> NoReturn:
    """In place of a pause that no test may come to."""
    pytest.fail("nothing of this process waits for another one")


@dataclass
class House:
    """One worker. What it does in the background waits in `work` until `settle` is called.

    `ttl` 0 is CONTINUITY=off. `refusal` is what every refresh raises; `refreshed` are the tokens that were exchanged,
    `pauses` how long the gateway waited before each attempt to stop an answer. `machine` is where it runs, None for
    here. `storage` is Kimi's for files, `downloads` what URLs lead to.
    """

    kimi: KimiClient
    storage: FakeStorage = field(default_factory=FakeStorage)
    downloads: FakeDownloads = field(default_factory=lambda: FakeDownloads({}))
    max_bytes: int = 1_000_000
    max_prompt: int = 200_000
    keep: bool = False
    protocol: str = "connect"
    ttl: float = TTL
    lasting: bool = True
    limits: Limits = field(default_factory=lambda: Limits(queue=0.0))
    refusal: GatewayError | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    store: Store | None = None
    pause: float = 0.0
    machine: str | None = None
    grant: Callable[[Credential, int], str] = field(default=lambda _credential, number: f"access-{number}")
    work: list[Callable[[], None]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    cleanup: CleanUp = field(init=False)
    pool: Pool = field(init=False)
    leases: Leases = field(init=False)
    presence: Presence = field(init=False)
    continuity: Continuity = field(init=False)
    gateway: Gateway = field(init=False)
    diagnosis: Diagnosis = field(init=False)
    upstream: Upstream = field(init=False)
    holding: Holding = field(init=False)
    enclosing: Enclosing = field(init=False)
    files: Files = field(init=False)
    shelf: Shelf = field(init=False)
    shared: Store = field(init=False)

    def __post_init__(self) -> None:
        store = self.store = self.shared = self.store or SqliteStore(MEMORY, clock=self.clock)
        self.leases = StillLeases(store)
        self.presence = Presence(store, self.leases, timer=self.clock)
        if self.machine is not None:
            self.presence = Elsewhere(store, self.leases, self.machine, self.clock)
        self.ledger = Ledger([store], clock=self.clock)
        tokens = AccessTokens(refresh=self.refresh, vault=Vault([store]), store=store, clock=self.clock, sleep=never)
        offered = OfferedModels(clock=self.clock)
        self.upstream = upstream = Upstream(
            kimi=self.kimi, storage=self.storage, tokens=tokens, offered=offered, protocol=self.protocol
        )
        self.continuity = Continuity(store, ttl=self.ttl)
        self.cleanup = StillCleanUp(
            ledger=self.ledger,
            delete=upstream.delete,
            retire=self.continuity.forget,
            presence=self.presence,
            run=self.work.append,
            clock=self.clock,
            lasting=self.lasting,
        )
        keeping = Keeping(
            ledger=self.ledger,
            cleanup=self.cleanup,
            continuity=self.continuity,
            presence=self.presence,
            ttl=self.ttl,
            keeps_all=self.keep,
        )
        self.pool = Pool(store=store, leases=self.leases, limits=self.limits, clock=self.clock, timer=self.clock)
        self.holding = holding = Holding(uploads=Uploads(store=store, leases=self.leases), upstream=upstream)
        self.shelf = Shelf([store], clock=self.clock)
        self.files = Files(holding=holding, shelf=self.shelf, max_bytes=self.max_bytes)
        self.enclosing = Enclosing(downloads=self.downloads, holding=holding, files=self.files)
        self.gateway = Gateway(
            upstream=upstream,
            pool=self.pool,
            keeping=keeping,
            models=MODELS,
            attempts=Attempts(
                upstream=upstream,
                keeping=keeping,
                models=MODELS,
                background=self.work.append,
                sleep=self.pauses.append,
            ),
            enclosing=self.enclosing,
            max_prompt=self.max_prompt,
            repeats=Repeats(store, pause=self.pause, clock=self.clock),
        )
        self.diagnosis = Diagnosis(upstream=upstream, pool=self.pool, model_kind="kimi", clock=self.clock)

    def refresh(self, credential: Credential, token: str) -> TokenPair:
        self.refreshed.append(token)
        if self.refusal is not None:
            raise self.refusal
        return TokenPair(access=self.grant(credential, len(self.refreshed)), refresh=None)

    def settle(self) -> None:
        """Do what waits in the background, and what comes of that."""
        while self.work:
            self.work.pop(0)()

    def answer(
        self,
        *accounts: Credential,
        request: ChatRequest | None = None,
        cancellation: Cancellation | None = None,
        insistent: bool = False,
    ) -> list[Event]:
        """All events of an answer, flat; what it leaves for the background is done."""
        lists = self.gateway.answer(
            request or ask(), accounts or (ANN,), cancellation or Cancellation(), insistent=insistent
        )
        events = [event for events in lists for event in events]
        self.settle()
        return events

    def ledger_of(self, credential: Credential = ANN) -> list[str]:
        """The conversations that are written down for an account."""
        return [entry.conversation_id for entry in self.ledger.entries(credential.account)]

    def streams(self, credential: Credential = ANN) -> int:
        """How many slots of an account are taken."""
        return self.pool.standing(credential, "kimi")[0]
