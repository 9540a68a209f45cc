"""The one use case: accounts, attempts, and what is left behind at Kimi."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessTokens
from app.accounts.vault import MemoryVault
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, Source, TextDelta, ThinkingDelta, Usage
from app.chat.request import ChatRequest, Message, Role
from app.errors import (
    AccountRestricted,
    ClientGone,
    ConversationNotFound,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from app.gateway import CLEANUP_PAUSES, OPENING_GRACE, Gateway
from app.kimi.client import KimiClient
from app.kimi.refresh import TokenPair
from app.kimi.sites import Sites
from config.models import ModelEntry, load_models
from tests.fakes import TRAILER, FakeClock, FakeExchange, FakeKimi, FakeTransport, Streamed, frame, json_answer, jwt

MODELS = load_models()
SWITCHING = [TokenExpired, AccountRestricted, RateLimitExceeded, UpstreamBusy]
SOURCE = Source("https://a.example/", "A")


def every_error(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """All classes of the tree below its root."""
    for child in kind.__subclasses__():
        yield child
        yield from every_error(child)


OTHERS = [kind for kind in dict.fromkeys(every_error()) if kind not in SWITCHING]


def access(name: str) -> Credential:
    """An access token of the account `name`."""
    return parse_credentials(jwt(sub=name))[0]


def refreshable(name: str = "ann") -> Credential:
    """A refresh token of the account `name`."""
    return parse_credentials(jwt(typ="refresh", sub=name))[0]


ANN, BOB, EVE = access("ann"), access("bob"), access("eve")


def ask(*, model: str = "kimi", conversation_id: str | None = None, keep: bool = False) -> ChatRequest:
    """A request for an answer to `hi`."""
    return ChatRequest(model, (Message.of(Role.USER, "hi"),), conversation_id=conversation_id, keep=keep)


def answering(text: str = "hello", chat: str = "chat-1") -> FakeExchange:
    """An exchange that goes well."""
    return FakeExchange([Opened(chat)], [TextDelta(text)], [Finished()])


def failing(error: GatewayError, *before: Event) -> FakeExchange:
    """An exchange that fails after some events."""
    return FakeExchange(*([[*before]] if before else []), [Failed(error)])


@dataclass
class House:
    """A gateway with fakes around it; `pauses` and `refreshed` are what it did."""

    kimi: KimiClient
    keep: bool = False
    protocol: str = "connect"
    grants: Sequence[str] = ()
    refusal: GatewayError | None = None
    pauses: list[float] = field(default_factory=list)
    refreshed: list[str] = field(default_factory=list)
    gateway: Gateway = field(init=False)

    def __post_init__(self) -> None:
        clock = FakeClock()
        tokens = AccessTokens(refresh=self.refresh, vault=MemoryVault(), secret=b"s", clock=clock)
        self.gateway = Gateway(
            kimi=self.kimi,
            tokens=tokens,
            offered=OfferedModels(clock=clock),
            models=MODELS,
            protocol=self.protocol,
            keep_conversations=self.keep,
            background=lambda work: work(),
            sleep=self.pauses.append,
        )

    def refresh(self, _credential: Credential, token: str) -> TokenPair:
        self.refreshed.append(token)
        if self.refusal is not None:
            raise self.refusal
        return TokenPair(access=f"access-{len(self.refreshed)}", refresh=None)

    def answer(
        self,
        *accounts: Credential,
        request: ChatRequest | None = None,
        cancellation: Cancellation | None = None,
    ) -> list[Event]:
        """All events of an answer, flat."""
        lists = self.gateway.answer(request or ask(), accounts or (ANN,), cancellation or Cancellation())
        return [event for events in lists for event in events]


def text_of(events: Sequence[Event]) -> str:
    """What the answer says."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def error_of(events: Sequence[Event]) -> GatewayError:
    """The error that ends the answer."""
    assert isinstance(events[-1], Failed)
    return events[-1].error


def test_an_answer_is_what_the_exchange_gives_with_usage_before_its_end() -> None:
    """Opened first, Finished last."""
    assert House(FakeKimi(answering())).answer() == [
        Opened("chat-1"),
        TextDelta("hello"),
        Usage(prompt=5, completion=1, reasoning=0),
        Finished(),
    ]


def test_a_search_model_lists_its_sources_in_the_text() -> None:
    """The model's name asks for it."""
    exchange = FakeExchange([SOURCE], [TextDelta("hello")], [Finished()])
    events = House(FakeKimi(exchange)).answer(request=ask(model="kimi-search"))
    assert text_of(events) == "hello\n\nSources:\n1. [A](https://a.example/)"


def test_a_silent_search_model_lists_none() -> None:
    """`silent` takes the list away."""
    exchange = FakeExchange([SOURCE], [TextDelta("hello")], [Finished()])
    assert text_of(House(FakeKimi(exchange)).answer(request=ask(model="kimi-search-silent"))) == "hello"


# --- Accounts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SWITCHING)
def test_another_account_is_tried_for_the_codes_of_the_contract(kind: type[GatewayError]) -> None:
    """The client sees the second account's answer only."""
    kimi = FakeKimi(failing(kind("no")), answering("second", "chat-2"))
    events = House(kimi).answer(ANN, BOB)
    assert [events[0], text_of(events)] == [Opened("chat-2"), "second"]
    assert [account.token for account in kimi.accounts] == [ANN.token, BOB.token]


@pytest.mark.parametrize("kind", OTHERS)
def test_no_other_account_is_tried_for_other_codes(kind: type[GatewayError]) -> None:
    """A completion is not sent twice for what another account cannot mend."""
    kimi = FakeKimi(failing(kind("no")), answering())
    assert type(error_of(House(kimi).answer(ANN, BOB))) is kind
    assert len(kimi.accounts) == 1


@pytest.mark.parametrize("begun", [TextDelta("a"), ThinkingDelta("a")])
def test_no_other_account_is_tried_after_the_first_word(begun: Event) -> None:
    """No other attempt continues half an answer."""
    kimi = FakeKimi(failing(RateLimitExceeded("no"), begun), answering())
    events = House(kimi).answer(ANN, BOB)
    assert begun in events
    assert isinstance(error_of(events), RateLimitExceeded)
    assert len(kimi.accounts) == 1


def test_what_a_failed_attempt_held_does_not_leak() -> None:
    """Its conversation and its sources belong to no answer."""
    kimi = FakeKimi(
        FakeExchange([Opened("chat-1")], [SOURCE], [Failed(UpstreamBusy("no"))]),
        answering("second", "chat-2"),
    )
    events = House(kimi).answer(ANN, BOB, request=ask(model="kimi-search"))
    assert [event for event in events if isinstance(event, Opened)] == [Opened("chat-2")]
    assert text_of(events) == "second"


def test_a_failed_attempt_is_cleaned_up() -> None:
    """The conversation of an account that did not answer is deleted too."""
    first = failing(UpstreamBusy("no"), Opened("chat-1"))
    House(FakeKimi(first, answering())).answer(ANN, BOB)
    assert first.closed
    assert first.names == ["stop", "delete"]


def test_the_last_account_s_error_is_the_answer_s() -> None:
    """Each account is tried once."""
    kimi = FakeKimi(failing(RateLimitExceeded("no")), failing(UpstreamBusy("no")))
    assert isinstance(error_of(House(kimi).answer(ANN, BOB)), UpstreamBusy)
    assert len(kimi.accounts) == 2


def test_an_account_that_cannot_be_refreshed_gives_way() -> None:
    """A dead refresh token is as good as a refused one."""
    house = House(FakeKimi(answering("second")), refusal=TokenExpired("no"))
    events = house.answer(refreshable(), BOB)
    assert text_of(events) == "second"


def test_an_error_that_is_raised_is_given_as_failed() -> None:
    """A consumer of the events sees one kind of end."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("a")], UpstreamUnavailable("no"))
    events = House(FakeKimi(exchange)).answer()
    assert events[:2] == [Opened("chat-1"), TextDelta("a")]
    assert isinstance(error_of(events), UpstreamUnavailable)


def test_new_conversations_are_spread_over_the_accounts() -> None:
    """Each request begins with the next account."""
    kimi = FakeKimi(*(answering() for _ in range(6)))
    house = House(kimi)
    for _ in range(6):
        house.answer(ANN, BOB, EVE)
    assert [account.token for account in kimi.accounts] == [ANN.token, BOB.token, EVE.token] * 2


def test_rotation_wraps_around_to_the_first_account() -> None:
    """Whoever is in turn, all of them are tried."""
    kimi = FakeKimi(answering(), *(failing(UpstreamBusy("no")) for _ in range(2)))
    house = House(kimi)
    house.answer(ANN, BOB)
    house.answer(ANN, BOB)
    assert [account.token for account in kimi.accounts[1:]] == [BOB.token, ANN.token]


def test_a_conversation_is_looked_for_in_the_accounts_in_order() -> None:
    """It is the account's that knows it."""
    kimi = FakeKimi(answering(), failing(ConversationNotFound("no")), answering("found"))
    house = House(kimi)
    house.answer(ANN, BOB)
    events = house.answer(ANN, BOB, request=ask(conversation_id="chat-9"))
    assert text_of(events) == "found"
    assert [account.token for account in kimi.accounts[1:]] == [ANN.token, BOB.token]


# --- Access tokens -----------------------------------------------------------------------------------------


def test_a_refused_access_token_is_renewed_once() -> None:
    """Nothing had begun, so the turn is sent again with the new token."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering())
    house = House(kimi)
    assert text_of(house.answer(refreshable())) == "hello"
    assert [account.token for account in kimi.accounts] == ["access-1", "access-2"]
    assert len(house.refreshed) == 2


def test_a_second_refusal_is_final() -> None:
    """Two attempts, then the person has to log in again."""
    kimi = FakeKimi(failing(TokenExpired("no")), failing(TokenExpired("no")), answering())
    assert isinstance(error_of(House(kimi).answer(refreshable())), TokenExpired)
    assert len(kimi.accounts) == 2


def test_an_access_token_of_the_client_s_own_cannot_be_renewed() -> None:
    """There is nothing to renew it with."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering())
    assert isinstance(error_of(House(kimi).answer(ANN)), TokenExpired)
    assert len(kimi.accounts) == 1


def test_a_refusal_after_the_conversation_opened_is_not_tried_again() -> None:
    """The turn may have been heard."""
    kimi = FakeKimi(failing(TokenExpired("no"), Opened("chat-1")), answering())
    assert isinstance(error_of(House(kimi).answer(refreshable())), TokenExpired)
    assert len(kimi.accounts) == 1


@pytest.mark.parametrize(("credential", "protocol"), [(refreshable(), "rest"), (ANN, "connect")])
def test_access_tokens_are_always_of_the_connect_protocol(credential: Credential, protocol: str) -> None:
    """`protocol` is for tokens that can be exchanged."""
    kimi = FakeKimi(answering())
    House(kimi, protocol="rest").answer(credential)
    assert [account.protocol for account in kimi.accounts] == [protocol]


# --- Clean-up ----------------------------------------------------------------------------------------------


def hang_up(house: House) -> None:
    """Take the first events and leave, as the pump does."""
    answer = house.gateway.answer(ask(), (ANN,), Cancellation())
    next(answer)
    answer.close()  # type: ignore[attr-defined] # it is a generator


@pytest.mark.parametrize(
    ("exchange", "read"),
    [
        (answering(), House.answer),
        (failing(UpstreamUnavailable("no"), Opened("chat-1"), TextDelta("a")), House.answer),
        (failing(UpstreamUnavailable("no"), Opened("chat-1")), House.answer),
        (answering(), hang_up),
    ],
    ids=["answer", "error", "early error", "hang-up"],
)
def test_the_conversation_is_deleted_however_the_answer_ends(
    exchange: FakeExchange, read: Callable[[House], object]
) -> None:
    """With the token of the account, after its generation is stopped."""
    read(House(FakeKimi(exchange)))
    assert exchange.closed
    assert exchange.calls == [("stop", ANN.token), ("delete", ANN.token)]


@pytest.mark.parametrize(("keep", "setting"), [(True, False), (False, True)])
def test_the_conversation_is_kept_when_that_is_asked(keep: bool, setting: bool) -> None:  # noqa: FBT001
    """By the client or by the operator; what still runs is stopped all the same."""
    exchange = answering()
    House(FakeKimi(exchange), keep=setting).answer(request=ask(keep=keep))
    assert exchange.names == ["stop"]


def test_a_conversation_without_an_answer_is_not_kept() -> None:
    """There is nothing in it that a client could continue."""
    exchange = failing(UpstreamUnavailable("no"), Opened("chat-1"))
    House(FakeKimi(exchange)).answer(request=ask(keep=True))
    assert exchange.names == ["stop", "delete"]


@pytest.mark.parametrize("exchange", [answering(), failing(UpstreamUnavailable("no"))], ids=["answer", "error"])
def test_a_conversation_of_the_client_s_own_is_never_deleted(exchange: FakeExchange) -> None:
    """It was there before the request."""
    House(FakeKimi(exchange)).answer(request=ask(conversation_id="chat-9"))
    assert not exchange.deleted


def test_clean_up_is_tried_again_after_pauses() -> None:
    """Kimi may be away for a moment."""
    down = UpstreamUnavailable("no")
    exchange = FakeExchange([Opened("c"), TextDelta("a"), Finished()], delete=[down, down])
    house = House(FakeKimi(exchange))
    house.answer()
    assert exchange.names.count("delete") == 3
    assert house.pauses == [0.0, 1.0, 4.0]


def test_clean_up_gives_up_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """One line with the code, and nothing of the conversation."""
    exchange = FakeExchange([Opened("c"), TextDelta("a"), Finished()], delete=[UpstreamUnavailable("no")] * 9)
    house = House(FakeKimi(exchange))
    house.answer()
    assert house.pauses == list(CLEANUP_PAUSES)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.__dict__["fields"] for record in warnings] == [{"code": "upstream_unavailable"}]


def test_a_conversation_that_is_gone_is_clean() -> None:
    """Nobody asks for its deletion twice."""
    exchange = FakeExchange([Opened("c"), TextDelta("a"), Finished()], delete=[ConversationNotFound("no")] * 9)
    house = House(FakeKimi(exchange))
    house.answer()
    assert exchange.names == ["stop", "delete"]
    assert house.pauses == [0.0]


@pytest.mark.parametrize("failure", [UpstreamProtocolError("no"), UpstreamUnavailable("no")])
def test_a_conversation_is_deleted_also_where_it_cannot_be_stopped(failure: GatewayError) -> None:
    """Deleting is what counts; a site may not know the call that stops."""
    exchange = FakeExchange([Opened("c"), TextDelta("a"), Finished()], stop=[failure] * 9)
    House(FakeKimi(exchange)).answer()
    assert exchange.deleted


def test_a_refused_token_that_opened_nothing_is_no_failed_clean_up(caplog: pytest.LogCaptureFixture) -> None:
    """There is no conversation, so there is nothing to warn of."""
    house = House(FakeKimi(failing(TokenExpired("no"))))

    def refuse_from_now_on(_: Cancellation) -> None:
        house.refusal = TokenExpired("no")

    house.kimi = FakeKimi(FakeExchange(refuse_from_now_on, [Failed(TokenExpired("no"))]))
    house.gateway._kimi = house.kimi
    assert isinstance(error_of(house.answer(refreshable())), TokenExpired)
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]


# --- A client that leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["connect", "rest"])
@pytest.mark.parametrize("conversation_id", [None, "chat-9"])
def test_nothing_is_sent_for_a_client_that_has_left(protocol: str, conversation_id: str | None) -> None:
    """No refresh, no list of models, no conversation."""
    transport = FakeTransport(lambda _: json_answer({"id": "chat-1"}))
    kimi = KimiClient(transport=transport, sites=Sites(legacy="https://legacy.example"), models=MODELS)
    house = House(kimi, protocol=protocol)
    gone = Cancellation()
    gone.cancel()
    events = house.answer(refreshable(), request=ask(conversation_id=conversation_id), cancellation=gone)
    assert isinstance(error_of(events), ClientGone)
    assert transport.calls == []
    assert house.refreshed == []


def leave_and_wait(client: Cancellation, waited: list[float]) -> Callable[[Cancellation], None]:
    """The client leaves now; note how long the upstream runs on after it."""

    def step(upstream: Cancellation) -> None:
        ended = threading.Event()
        upstream.on_cancel(ended.set)
        began = time.monotonic()
        client.cancel()
        assert ended.wait(OPENING_GRACE + 2)
        waited.append(time.monotonic() - began)

    return step


def test_a_client_that_leaves_early_is_waited_for_until_the_conversation_could_be_known() -> None:
    """Without the id the conversation could not be deleted; the contract gives a second."""
    client, waited = Cancellation(), list[float]()
    exchange = FakeExchange(leave_and_wait(client, waited), ClientGone("gone"))
    House(FakeKimi(exchange)).answer(cancellation=client)
    assert OPENING_GRACE - 0.05 <= waited[0] < 1.0


def test_a_client_that_leaves_an_open_conversation_ends_the_upstream_at_once() -> None:
    """What is open can be deleted."""
    client, waited = Cancellation(), list[float]()
    exchange = FakeExchange([Opened("chat-1")], leave_and_wait(client, waited), ClientGone("gone"))
    House(FakeKimi(exchange)).answer(cancellation=client)
    assert waited[0] < OPENING_GRACE / 2
    assert exchange.names == ["stop", "delete"]


def test_the_conversation_s_id_ends_the_waiting() -> None:
    """As soon as it is told, it has served its purpose."""
    client, cancelled = Cancellation(), list[bool]()
    exchange = FakeExchange(
        lambda _: client.cancel(),
        lambda upstream: cancelled.append(upstream.cancelled),
        [Opened("chat-1")],
        lambda upstream: cancelled.append(upstream.cancelled),
        ClientGone("gone"),
    )
    House(FakeKimi(exchange)).answer(cancellation=client)
    assert cancelled == [False, True]
    assert exchange.deleted


# --- Over the real client ----------------------------------------------------------------------------------


def test_one_completion_is_sent_for_one_answer() -> None:
    """Models, chat, deletion: no call beyond those needed."""
    stream = Streamed(
        [
            frame({"chat": {"id": "chat-1"}}),
            frame({"block": {"id": "1", "text": {"content": "hi"}}}),
            TRAILER,
        ]
    )
    transport = FakeTransport(lambda request: stream if request.url.endswith("/Chat") else json_answer({}))
    house = House(KimiClient(transport=transport, sites=Sites(legacy="https://legacy.example"), models=MODELS))
    assert text_of(house.answer()) == "hi"
    assert transport.calls == ["GetAvailableModels", "Chat", "DeleteChat"]
    assert transport.open == 0


# --- What else is asked ------------------------------------------------------------------------------------


def test_models_are_those_offered_to_the_account() -> None:
    """A name is listed if its model is offered."""
    offered = (ModelEntry(scenario="SCENARIO_K3", key="k3"),)
    names = House(FakeKimi(models=offered)).gateway.models((ANN,))
    assert "kimi-k3" in names
    assert "kimi-k2.5" not in names


def test_all_models_are_listed_where_the_site_cannot_be_asked() -> None:
    """An empty list of the site hides nothing."""
    assert {"kimi", "kimi-k2.5", "kimi-k3"} <= set(House(FakeKimi()).gateway.models((ANN,)))


def test_models_are_not_listed_for_a_dead_token() -> None:
    """Clients check their key by asking for the models."""
    with pytest.raises(TokenExpired):
        House(FakeKimi(), refusal=TokenExpired("no")).gateway.models((refreshable(),))


@pytest.mark.parametrize("live", [True, False])
def test_a_token_is_live_if_kimi_takes_it(live: bool) -> None:  # noqa: FBT001
    """Kimi's word counts."""
    assert House(FakeKimi(live=live)).gateway.is_live(ANN) is live


def test_a_token_that_is_refused_is_not_live() -> None:
    """It needs no call with an access token."""
    assert not House(FakeKimi(), refusal=TokenExpired("no")).gateway.is_live(refreshable())


def test_whether_a_token_is_live_may_not_be_known() -> None:
    """A site that is away says nothing of the token."""
    with pytest.raises(UpstreamUnavailable):
        House(FakeKimi(), refusal=UpstreamUnavailable("no")).gateway.is_live(refreshable())


def test_an_account_s_name_in_the_log_tells_accounts_apart() -> None:
    """And nothing else."""
    gateway = House(FakeKimi()).gateway
    names = {gateway.account_name(credential) for credential in (ANN, BOB, EVE)}
    assert len(names) == 3
    assert all(len(name) == 12 and name not in credential.token for name in names for credential in (ANN, BOB, EVE))
