"""The one use case: accounts, attempts, and what is left behind at Kimi."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from app.accounts.credentials import Credential
from app.accounts.pool import Limits
from app.attachments.download import Download
from app.attachments.intake import in_memory
from app.chat.cancellation import Cancellation
from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    PromptMoved,
    Served,
    Source,
    TextDelta,
    ThinkingDelta,
    Usage,
)
from app.chat.request import (
    ChatRequest,
    Choice,
    Continuation,
    Effort,
    JsonFormat,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.errors import (
    AccountRestricted,
    AttachmentRefused,
    ClientGone,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    NoAccountReady,
    NothingSaid,
    PlanRequired,
    RateLimitExceeded,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway.attempt import STOP_PAUSES
from app.gateway.chain import Terms
from app.kimi.client import KimiClient
from app.kimi.http import HttpRequest
from app.kimi.sites import Sites
from app.kimi.turn import Turn
from app.toolcalls.marks import Marks
from config.models import ModelEntry
from tests.fakes import (
    TRAILER,
    FakeDownloads,
    FakeExchange,
    FakeKimi,
    FakeTransport,
    Reply,
    Streamed,
    frame,
    json_answer,
)
from tests.gateway.houses import (
    ANN,
    BOB,
    EVE,
    MODELS,
    PNG,
    House,
    answering,
    ask,
    error_of,
    failing,
    inline,
    picture,
    refreshable,
    remote,
    said,
    showing,
    stored,
    text_of,
    user,
)
from tests.state.stores import FakeStore

SWITCHING = [TokenExpired, AccountRestricted, RateLimitExceeded, SecondStreamRefused, UpstreamBusy, NothingSaid]
SOURCE = Source("https://a.example/", "A")
TURN = ChatRequest("kimi", (user("hi"),))
TITLE = "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
REFUSED = json_answer({"code": "unauthenticated"}, 401)


def every_error(kind: type[GatewayError] = GatewayError) -> Iterator[type[GatewayError]]:
    """All classes of the tree below its root."""
    for child in kind.__subclasses__():
        yield child
        yield from every_error(child)


OTHERS = [kind for kind in dict.fromkeys(every_error()) if kind not in SWITCHING]


def tokens_of(kimi: FakeKimi) -> list[str]:
    """As whom the answers were opened."""
    return [account.token for account in kimi.accounts]


def test_an_answer_is_what_the_exchange_gives_with_usage_before_its_end() -> None:
    """Whose it is comes first, Finished last."""
    assert House(FakeKimi(answering())).answer() == [
        Served(ANN.account, 0.0),
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
    assert events[:2] == [Served(BOB.account, 0.0), Opened("chat-2")]
    assert text_of(events) == "second"
    assert tokens_of(kimi) == [ANN.token, BOB.token]


@pytest.mark.parametrize("kind", [kind for kind in SWITCHING if kind is not TokenExpired])
def test_two_tokens_of_one_account_are_one_account(kind: type[GatewayError]) -> None:
    """What Kimi said of the account holds for the other one too."""
    kimi = FakeKimi(failing(kind("no")), answering())
    events = House(kimi).answer(ANN, refreshable("ann"))
    assert [error_of(events).code, len(kimi.accounts)] == [kind.code, 1]


def test_another_token_of_the_account_may_still_be_good() -> None:
    """What Kimi said of the token holds for the token only."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering())
    assert text_of(House(kimi).answer(ANN, refreshable("ann"))) == "hello"


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
    assert [event for event in events if isinstance(event, Served)] == [Served(BOB.account, 0.0)]
    assert text_of(events) == "second"


def test_a_failed_attempt_is_cleaned_up() -> None:
    """The conversation of an account that did not answer is deleted too."""
    first = failing(UpstreamBusy("no"), Opened("chat-1"))
    kimi = FakeKimi(first, answering(chat="chat-2"))
    House(kimi).answer(ANN, BOB)
    assert first.closed
    assert kimi.deleted == ["chat-1"]


def test_an_account_that_cannot_be_refreshed_gives_way() -> None:
    """A dead refresh token is as good as a refused one."""
    house = House(FakeKimi(answering("second")), refusal=TokenExpired("no"))
    assert text_of(house.answer(refreshable(), BOB)) == "second"


def test_a_refusal_that_is_raised_gives_way_too() -> None:
    """Raised or told: it is the same refusal."""
    house = House(FakeKimi(FakeExchange(UpstreamBusy("no")), answering("second")))
    assert text_of(house.answer(ANN, BOB)) == "second"


def test_an_error_that_is_raised_is_given_as_failed() -> None:
    """A consumer of the events sees one kind of end."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("a")], UpstreamUnavailable("no"))
    events = House(FakeKimi(exchange)).answer()
    assert events[1:3] == [Opened("chat-1"), TextDelta("a")]
    assert isinstance(error_of(events), UpstreamUnavailable)


def test_new_conversations_are_spread_over_the_accounts() -> None:
    """Each request goes to the account that has been unused longest."""
    kimi = FakeKimi(*(answering() for _ in range(6)))
    house = House(kimi, ttl=0.0)
    for _ in range(6):
        house.answer(ANN, BOB, EVE)
        house.clock.advance(1)
    assert tokens_of(kimi) == [ANN.token, BOB.token, EVE.token] * 2


def test_a_refused_account_is_left_alone() -> None:
    """The next request does not ask it again."""
    kimi = FakeKimi(failing(UpstreamBusy("no")), answering(), answering())
    house = House(kimi)
    for _ in range(2):
        house.answer(ANN, BOB)
    assert tokens_of(kimi) == [ANN.token, BOB.token, BOB.token]


@pytest.mark.parametrize("kind", [PlanRequired, UpstreamUnavailable, UpstreamTimeout, InvalidRequest])
def test_an_account_is_not_left_alone_for_what_is_not_its_own(kind: type[GatewayError]) -> None:
    """The next request may well succeed."""
    house = House(FakeKimi(failing(kind("no")), answering()))
    house.answer()
    assert text_of(house.answer()) == "hello"


# --- All accounts refused ----------------------------------------------------------------------------------


def test_one_code_of_all_accounts_is_the_answer_s() -> None:
    """With the time at which the first of them is worth trying again."""
    kimi = FakeKimi(
        failing(RateLimitExceeded("no", retry_after=500)),
        failing(RateLimitExceeded("no", retry_after=40)),
        failing(RateLimitExceeded("no", retry_after=300)),
    )
    error = error_of(House(kimi).answer(ANN, BOB, EVE))
    assert [type(error), error.retry_after, error.retryable] == [RateLimitExceeded, 40, False]
    assert len(kimi.accounts) == 3


def test_accounts_that_are_refused_for_several_reasons_are_counted() -> None:
    """One truthful error, with the soonest time of those that time mends."""
    kimi = FakeKimi(
        failing(TokenExpired("no")),
        failing(RateLimitExceeded("no", retry_after=70)),
        failing(UpstreamBusy("no")),
    )
    error = error_of(House(kimi).answer(ANN, BOB, EVE))
    assert [type(error), error.retry_after, error.retryable] == [NoAccountReady, 30, False]
    assert error.message == (
        "None of the 3 accounts can serve now: 1 rate_limit_exceeded, 1 token_expired, 1 upstream_busy."
    )


def test_accounts_that_are_left_alone_are_not_asked() -> None:
    """The error is the same while the pauses last, and its time shrinks."""
    kimi = FakeKimi(failing(UpstreamBusy("no")), failing(RateLimitExceeded("no", retry_after=90)))
    house = House(kimi)
    house.answer(ANN, BOB)
    house.clock.advance(10)
    error = error_of(house.answer(ANN, BOB))
    assert [type(error), error.retry_after] == [NoAccountReady, 20]
    assert len(kimi.accounts) == 2


@pytest.mark.parametrize("kind", [RateLimitExceeded, UpstreamBusy])
def test_one_account_s_refusal_tells_its_true_pause(kind: type[GatewayError]) -> None:
    """Kimi's own word, else the pause that the account is given."""
    told = error_of(House(FakeKimi(failing(kind("no", retry_after=77)))).answer())
    untold = error_of(House(FakeKimi(failing(kind("no")))).answer())
    assert [type(told), told.retry_after, untold.retry_after] == [kind, 77, 30]


# --- A conversation that the client names ------------------------------------------------------------------


def test_a_conversation_is_looked_for_on_all_accounts() -> None:
    """It is the account's that knows it."""
    kimi = FakeKimi(failing(ConversationNotFound("no")), answering("found"))
    events = House(kimi).answer(ANN, BOB, request=ask(conversation_id="chat-9"))
    assert text_of(events) == "found"
    assert tokens_of(kimi) == [ANN.token, BOB.token]
    assert kimi.continued == [Continuation("chat-9")] * 2


def test_a_conversation_that_no_account_knows_is_not_found() -> None:
    """That is what the client is told, each account asked once."""
    kimi = FakeKimi(failing(ConversationNotFound("no")), failing(ConversationNotFound("no")))
    assert isinstance(
        error_of(House(kimi).answer(ANN, BOB, request=ask(conversation_id="chat-9"))), ConversationNotFound
    )


def test_a_conversation_that_was_kept_goes_on_on_its_own_account() -> None:
    """Also when it is another one's turn."""
    kimi = FakeKimi(answering(chat="chat-7"), answering("more"))
    house = House(kimi)
    house.answer(BOB, request=ask(keep=True))
    events = house.answer(ANN, BOB, request=ask(conversation_id="chat-7"))
    assert text_of(events) == "more"
    assert tokens_of(kimi) == [BOB.token, BOB.token]


def test_a_conversation_s_own_account_tells_why_it_cannot_go_on() -> None:
    """No other account's state matters to it."""
    kimi = FakeKimi(answering(chat="chat-7"), failing(UpstreamBusy("no")))
    house = House(kimi)
    house.answer(BOB, request=ask(keep=True))
    assert isinstance(error_of(house.answer(ANN, BOB, request=ask(conversation_id="chat-7"))), UpstreamBusy)
    assert len(kimi.accounts) == 2


# --- Attachments -------------------------------------------------------------------------------------------


def asking(*messages: Message, **changes: object) -> ChatRequest:
    """A request of these messages."""
    return replace(ChatRequest("kimi", messages), **changes)  # type: ignore[arg-type] # fields by their names


def keep(house: House, *accounts: Credential, data: bytes = b"abc") -> str:
    """Upload a file by itself; give its id."""
    content = in_memory(data, hashlib.sha256(data).hexdigest(), "a.txt", None, limit=99)
    return house.files.store(accounts, content, "user_data", Cancellation()).file_id


def test_a_picture_is_sent_once_in_a_conversation_that_goes_on() -> None:
    """Its client sends it with every turn."""
    kimi = FakeKimi(answering(), answering("more"), answering("well"))
    house = House(kimi)
    first = showing("What is this?", picture())
    house.answer(request=asking(first))
    house.answer(request=asking(first, said("hello"), user("and?")))
    house.answer(request=asking(first, said("hello"), user("and?"), said("more"), user("so?")))
    assert kimi.turns == [Turn("What is this?", ("kimi-1",)), Turn("and?"), Turn("so?")]
    assert kimi.continued == [None, *[Continuation("chat-1", "message-1")] * 2]
    assert [house.storage.uploads, len(house.storage.waits)] == [1, 1]


def test_a_url_of_an_earlier_turn_is_not_fetched_in_a_conversation_that_goes_on() -> None:
    """It may be gone meanwhile."""
    kimi = FakeKimi(answering(), answering("more"))
    pages: dict[str, bytes | GatewayError] = {"https://a.example/": b"a"}
    house = House(kimi, downloads=FakeDownloads(pages))
    first = showing("What is this?", remote("https://a.example/"))
    house.answer(request=asking(first))
    pages["https://a.example/"] = AttachmentRefused("gone")
    assert text_of(house.answer(request=asking(first, said("hello"), user("and?")))) == "more"
    assert house.downloads.fetched == ["https://a.example/"]


def test_a_history_with_other_attachments_is_another_history() -> None:
    """It is merged, with what it holds."""
    kimi = FakeKimi(answering(), answering("more", "chat-2"))
    house = House(kimi)
    house.answer(request=asking(showing("What is this?", picture(1))))
    house.answer(request=asking(showing("What is this?", picture(2)), said("hello"), user("and?")))
    assert [kimi.continued, kimi.turns[1].files] == [[None, None], ("kimi-2",)]


def test_all_attachments_of_a_history_count_when_it_is_merged() -> None:
    """In their order."""
    kimi = FakeKimi(answering())
    house = House(kimi)
    house.answer(
        request=asking(
            showing("a", picture(1)), said("b"), showing("c", picture(2)), said("d"), showing("e", picture(1))
        )
    )
    kept = [house.storage.kept[file_id].data for file_id in kimi.turns[0].files]
    assert kept == [PNG + b"1", PNG + b"2"]


def test_of_a_conversation_that_the_client_names_only_new_attachments_count() -> None:
    """It has the others."""
    kimi = FakeKimi(answering(chat="chat-9"))
    house = House(kimi)
    messages = (showing("a", picture(1)), said("b"), showing("c", picture(2)))
    house.answer(request=asking(*messages, conversation_id="chat-9"))
    assert [kept.data for kept in house.storage.kept.values()] == [PNG + b"2"]


@pytest.mark.parametrize("order", [(ANN, BOB, EVE), (EVE, BOB, ANN)])
def test_a_file_is_used_by_the_account_that_holds_it(order: tuple[Credential, ...]) -> None:
    """Whose turn it is does not matter."""
    kimi = FakeKimi(*(answering() for _ in range(3)))
    house = House(kimi, ttl=0.0)
    request = asking(showing("a", stored(keep(house, BOB))))
    for _ in range(3):
        house.clock.advance(1)
        house.answer(*order, request=request)
    assert tokens_of(kimi) == [BOB.token] * 3
    assert {turn.files for turn in kimi.turns} == {("kimi-1",)}


def test_an_account_that_holds_a_file_tells_why_it_cannot_serve() -> None:
    """No other one is asked: it does not have the file."""
    kimi = FakeKimi(failing(RateLimitExceeded("no", retry_after=70)), answering())
    house = House(kimi)
    request = asking(showing("a", stored(keep(house, BOB))))
    for _ in range(2):
        error = error_of(house.answer(ANN, BOB, request=request))
        assert [type(error), error.retry_after] == [RateLimitExceeded, 70]
    assert tokens_of(kimi) == [BOB.token]


def test_a_conversation_stays_idle_when_a_file_is_with_another_account() -> None:
    """The history goes to the file."""
    kimi = FakeKimi(answering(), answering("second", "chat-2"), answering("more"))
    house = House(kimi)
    house.answer(ANN, request=TURN)
    house.answer(ANN, BOB, request=asking(user("hi"), said("hello"), showing("and?", stored(keep(house, BOB)))))
    house.answer(ANN, request=asking(user("hi"), said("hello"), user("well?")))
    assert tokens_of(kimi) == [ANN.token, BOB.token, ANN.token]
    assert kimi.continued == [None, None, Continuation("chat-1", "message-1")]


def test_a_file_of_an_earlier_turn_is_not_asked_of_an_account_that_has_it_not() -> None:
    """The account that holds the conversation, and the file, cannot serve: what it says is the answer."""
    kimi = FakeKimi(answering(), failing(UpstreamBusy("no")), answering("second", "chat-2"))
    house = House(kimi)
    first = showing("What is this?", stored(keep(house, ANN)))
    house.answer(ANN, BOB, request=asking(first))
    error = error_of(house.answer(ANN, BOB, request=asking(first, said("hello"), user("and?"))))
    assert [type(error), tokens_of(kimi)] == [UpstreamBusy, [ANN.token, ANN.token]]
    assert len(house.files.records((ANN,))) == 1


def test_a_file_of_an_earlier_turn_is_not_asked_of_another_account_while_its_own_is_left_alone() -> None:
    """The same when the account is not asked at all."""
    kimi = FakeKimi(answering(), failing(UpstreamBusy("no")), answering("second", "chat-2"))
    house = House(kimi)
    first = showing("What is this?", stored(keep(house, ANN)))
    house.answer(ANN, BOB, request=asking(first))
    house.answer(ANN)
    error = error_of(house.answer(ANN, BOB, request=asking(first, said("hello"), user("and?"))))
    assert [type(error), tokens_of(kimi)] == [UpstreamBusy, [ANN.token, ANN.token]]


def test_a_file_of_another_account_than_that_of_an_earlier_turn_is_refused() -> None:
    """The new one would go to its own account, which then lacks the other; the conversation stays where it was."""
    kimi = FakeKimi(answering(), answering("more"))
    house = House(kimi)
    first = showing("What is this?", stored(keep(house, ANN), place="messages.0.content.1"))
    house.answer(ANN, BOB, request=asking(first))
    second = showing("And this?", stored(keep(house, BOB), place="messages.2.content.1"))
    error = error_of(house.answer(ANN, BOB, request=asking(first, said("hello"), second)))
    assert [type(error), error.param] == [AttachmentRefused, "messages.0.content.1"]
    assert text_of(house.answer(ANN, BOB, request=asking(first, said("hello"), user("and?")))) == "more"
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


def test_a_file_of_an_earlier_turn_may_be_gone_in_a_conversation_that_goes_on() -> None:
    """Kimi has seen it; its client has cleaned up."""
    kimi = FakeKimi(answering(), answering("more"))
    house = House(kimi)
    file_id = keep(house, ANN)
    first = showing("What is this?", stored(file_id))
    house.answer(ANN, BOB, request=asking(first))
    house.files.remove((ANN,), file_id)
    assert text_of(house.answer(ANN, BOB, request=asking(first, said("hello"), user("and?")))) == "more"
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


@pytest.mark.parametrize("held", [0, 3])
def test_many_files_in_a_history_cost_few_looks(held: int) -> None:
    """Anybody can write a history that names a hundred thousand, and nothing limits what a conversation has heard."""
    store = FakeStore()
    house = House(FakeKimi(answering(chat="chat-9")), store=store)
    known = [keep(house, ANN, data=b"%d" % number) for number in range(held)]
    named = [stored(file_id) for file_id in [*known, *(f"file-{number}" for number in range(1000))]]
    store.calls.clear()
    house.answer(ANN, BOB, request=asking(showing("a", *named), said("b"), user("c"), conversation_id="chat-9"))
    assert store.calls.count("members") < 100


@pytest.mark.parametrize("tokens", [(ANN, refreshable("ann")), (refreshable("ann"), ANN)])
def test_of_two_tokens_of_an_account_the_one_serves_that_reaches_the_file(tokens: tuple[Credential, ...]) -> None:
    """The other one's protocol knows nothing of it, and must not have it forgotten."""
    kimi = FakeKimi(*(answering() for _ in range(3)))
    house = House(kimi, protocol="rest", ttl=0.0)
    file_id = keep(house, refreshable("ann"))
    for _ in range(3):
        house.clock.advance(1)
        assert text_of(house.answer(*tokens, request=asking(showing("a", stored(file_id))))) == "hello"
    assert [account.protocol for account in kimi.accounts] == ["rest"] * 3


def test_a_conversation_that_is_named_and_a_file_of_another_account_do_not_go_together() -> None:
    """The file's account is asked, and knows no such conversation."""
    kimi = FakeKimi(answering(chat="chat-7"), failing(ConversationNotFound("no")))
    house = House(kimi)
    house.answer(ANN, request=ask(keep=True))
    request = asking(showing("a", stored(keep(house, BOB))), conversation_id="chat-7")
    assert isinstance(error_of(house.answer(ANN, BOB, request=request)), ConversationNotFound)
    assert tokens_of(kimi) == [ANN.token, BOB.token]


def test_a_file_that_a_named_conversation_has_heard_of_does_not_matter() -> None:
    """It is not sent again, so the conversation's own account serves."""
    kimi = FakeKimi(answering(chat="chat-7"), answering("more"))
    house = House(kimi)
    house.answer(ANN, request=ask(keep=True))
    heard = showing("a", stored(keep(house, BOB)))
    request = asking(heard, said("b"), user("c"), conversation_id="chat-7")
    assert text_of(house.answer(ANN, BOB, request=request)) == "more"
    assert tokens_of(kimi) == [ANN.token, ANN.token]


def test_no_account_is_taken_while_urls_are_fetched() -> None:
    """A slow server is no reason to keep others waiting."""
    taken: list[int] = []

    class Looking(FakeDownloads):
        def fetch(self, url: str, cancellation: Cancellation) -> Download:
            taken.append(house.streams())
            return super().fetch(url, cancellation)

    house = House(FakeKimi(answering()), downloads=Looking({"https://a.example/": b"a"}))
    house.answer(request=asking(showing("a", remote("https://a.example/"))))
    assert taken == [0]


def test_a_bad_attachment_costs_no_account_anything() -> None:
    """None is taken, none is left alone."""
    kimi = FakeKimi(answering())
    house = House(kimi)
    error = error_of(house.answer(refreshable(), request=asking(showing("a", inline(b"")))))
    assert [type(error), house.refreshed, house.streams(refreshable())] == [AttachmentRefused, [], 0]
    assert text_of(house.answer(refreshable())) == "hello"


def test_that_a_prompt_is_moved_is_passed_on_at_once() -> None:
    """Before an account is waited for or has answered, and before anything that is held."""
    kimi = FakeKimi(answering())
    house = House(kimi, max_prompt=5)
    answer = house.gateway.answer(asking(user("longer")), (ANN,), Cancellation())
    assert [next(answer), house.streams(), kimi.turns] == [[PromptMoved()], 0, []]
    assert [type(event) for event in next(answer)] == [Served, Opened, TextDelta]


def test_that_a_prompt_is_moved_is_told_once_over_all_accounts() -> None:
    """It stands in the headers."""
    kimi = FakeKimi(failing(UpstreamBusy("no")), answering("second"))
    house = House(kimi, max_prompt=5)
    events = house.answer(ANN, BOB, request=asking(user("longer")))
    assert [events.count(PromptMoved()), text_of(events)] == [1, "second"]
    owners = [[house.storage.kept[file_id].account.token for file_id in turn.files] for turn in kimi.turns]
    assert owners == [[ANN.token], [BOB.token]]


# --- Access tokens -----------------------------------------------------------------------------------------


def test_a_refused_access_token_is_renewed_once() -> None:
    """Nothing had begun, so the turn is sent again with the new token."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering())
    house = House(kimi)
    assert text_of(house.answer(refreshable())) == "hello"
    assert tokens_of(kimi) == ["access-1", "access-2"]
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


def test_a_token_that_is_being_renewed_does_not_set_its_account_aside() -> None:
    """Another request of the same account is served meanwhile."""
    kimi = FakeKimi(failing(TokenExpired("no")), answering(), answering("other"))
    house = House(kimi)
    renewed = house.gateway.answer(ask(), (refreshable(),), Cancellation())
    next(renewed)
    assert text_of(house.answer(refreshable())) == "other"


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
    house.settle()


ENDS = pytest.mark.parametrize(
    ("exchange", "read"),
    [
        (answering, House.answer),
        (lambda: failing(UpstreamUnavailable("no"), Opened("chat-1"), TextDelta("a")), House.answer),
        (lambda: failing(UpstreamUnavailable("no"), Opened("chat-1")), House.answer),
        (lambda: failing(UpstreamBusy("no"), Opened("chat-1")), House.answer),
        (lambda: FakeExchange([Opened("chat-1"), TextDelta("a")], UpstreamTimeout("no")), House.answer),
        (answering, hang_up),
    ],
    ids=["answer", "error", "early error", "refusal", "raised error", "hang-up"],
)
"""How an answer may end."""


@ENDS
def test_the_conversation_is_deleted_however_the_answer_ends(
    exchange: Callable[[], FakeExchange], read: Callable[[House], object]
) -> None:
    """With the token of the account; CONTINUITY is off."""
    opened = exchange()
    kimi = FakeKimi(opened)
    house = House(kimi, ttl=0.0)
    read(house)
    assert opened.closed
    assert [(account.token, ids) for account, ids in kimi.deletions] == [(ANN.token, ("chat-1",))]
    assert house.ledger_of() == []


@ENDS
def test_the_account_is_given_back_however_the_answer_ends(
    exchange: Callable[[], FakeExchange], read: Callable[[House], object]
) -> None:
    """Its slot is free for the next request."""
    house = House(FakeKimi(exchange()))
    read(house)
    assert house.streams() == 0


def test_an_account_is_taken_while_it_answers() -> None:
    """It is free before the client is told of the end: the client's next request may come at once."""
    house = House(FakeKimi(answering()))
    taken = [house.streams() for _ in house.gateway.answer(ask(), (ANN,), Cancellation())]
    assert taken == [1, 0]


def test_an_answer_that_still_runs_is_stopped_before_its_account_is_free() -> None:
    """Stopped, given back, deleted: all behind the answer's back."""
    exchange = answering()
    kimi = FakeKimi(exchange)
    house = House(kimi, limits=Limits(streams_per_account=1, queue=0.0))
    answer = house.gateway.answer(ask(), (ANN,), Cancellation())
    next(answer)
    answer.close()  # type: ignore[attr-defined] # it is a generator
    seen = [(list(exchange.stops), house.streams(), list(kimi.deleted))]
    while house.work:
        house.work.pop(0)()
        seen.append((list(exchange.stops), house.streams(), list(kimi.deleted)))
    assert seen[0] == ([], 1, [])
    assert seen[-1] == ([ANN.token], 0, ["chat-1"])
    assert all(stops or streams for stops, streams, _ in seen)
    assert all(not deleted or stops for stops, _, deleted in seen)


def test_an_answer_that_has_ended_needs_no_stop() -> None:
    """It costs no call."""
    exchange = answering()
    House(FakeKimi(exchange)).answer()
    assert exchange.stops == []


@pytest.mark.parametrize(
    ("failures", "attempts"),
    [
        ([UpstreamProtocolError("no")] * 9, len(STOP_PAUSES)),
        ([UpstreamUnavailable("no")], 2),
        ([ConversationNotFound("no")] * 9, 1),
    ],
    ids=["for ever", "once", "gone"],
)
def test_a_conversation_is_deleted_also_where_it_cannot_be_stopped(failures: list[GatewayError], attempts: int) -> None:
    """Deleting is what counts; a site may not know the call that stops."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("a")], [Finished()], stop=failures)
    kimi = FakeKimi(exchange)
    house = House(kimi)
    hang_up(house)
    assert house.pauses == list(STOP_PAUSES[:attempts])
    assert [len(exchange.stops), kimi.deleted, house.streams()] == [attempts, ["chat-1"], 0]


def test_a_stop_uses_a_token_that_is_still_good() -> None:
    """The one that opened the answer may have expired by its end."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("a")], [Finished()], stop=[TokenExpired("no")])
    house = House(FakeKimi(exchange))
    answer = house.gateway.answer(ask(), (refreshable(),), Cancellation())
    next(answer)
    answer.close()  # type: ignore[attr-defined] # it is a generator
    house.settle()
    assert exchange.stops == ["access-1", "access-2"]


@pytest.mark.parametrize(("keep", "setting"), [(True, False), (False, True)])
def test_the_conversation_is_kept_when_that_is_asked(*, keep: bool, setting: bool) -> None:
    """By the client or by the operator; it is not ours any more."""
    kimi = FakeKimi(answering())
    house = House(kimi, keep=setting, ttl=0.0)
    house.answer(request=ask(keep=keep))
    assert [kimi.deletions, house.ledger_of()] == [[], []]


def test_what_still_runs_in_a_conversation_that_is_kept_is_stopped() -> None:
    """The conversation stays."""
    exchange = answering()
    kimi = FakeKimi(exchange)
    house = House(kimi, keep=True)
    answer = house.gateway.answer(ask(), (ANN,), Cancellation())
    next(answer)
    answer.close()  # type: ignore[attr-defined] # it is a generator
    house.settle()
    assert [exchange.stops, kimi.deletions] == [[ANN.token], []]


def test_a_conversation_without_an_answer_is_not_kept() -> None:
    """There is nothing in it that a client could continue."""
    kimi = FakeKimi(failing(UpstreamUnavailable("no"), Opened("chat-1")))
    House(kimi).answer(request=ask(keep=True))
    assert kimi.deleted == ["chat-1"]


@pytest.mark.parametrize(
    "exchange",
    [answering(chat="chat-9"), failing(UpstreamUnavailable("no"), Opened("chat-9"))],
    ids=["answer", "error"],
)
def test_a_conversation_of_the_client_s_own_is_never_deleted(exchange: FakeExchange) -> None:
    """It was there before the request, so it is in no book of ours."""
    kimi = FakeKimi(exchange)
    house = House(kimi)
    house.answer(request=ask(conversation_id="chat-9"))
    assert [kimi.deletions, house.ledger_of()] == [[], []]


@pytest.mark.parametrize(
    ("request_", "setting", "told"),
    [
        (ask(), False, False),
        (ask(), True, True),
        (ask(keep=True), False, True),
        (ask(conversation_id="chat-9"), False, True),
    ],
)
def test_a_client_is_told_the_conversation_that_it_may_name(
    request_: ChatRequest, *, setting: bool, told: bool
) -> None:
    """One that is deleted is nothing to send back."""
    assert House(FakeKimi(), keep=setting).gateway.keeps(request_) is told


# --- Answers that end before Kimi's do ---------------------------------------------------------------------

WORK = ChatRequest("kimi", (user("hi"),), tools=ToolUse((ToolSpec("Read"),)))
RESULT = Message(Role.TOOL, (ToolResultPart("call-1"), TextPart("42")))
CALLED = Message(Role.ASSISTANT, (ToolCallPart("call-1", "Read", '{"path":"/a"}'),))
THEN = replace(WORK, messages=(user("hi"), CALLED, RESULT))


def marks_of(request: ChatRequest, account: Credential = ANN) -> Marks:
    """The marks of a request's tools."""
    marks = Terms.of(request, MODELS.choose(request.model), account.secret).marks
    assert marks is not None
    return marks


MARKS = marks_of(WORK)
CALL = f'{MARKS.call} name="Read">\n{{"path": "/a"}}\n{MARKS.call_end}>'
CUTS = pytest.mark.parametrize(
    ("request_", "text", "end"),
    [
        (replace(WORK, tools=replace(WORK.tools, parallel=False)), CALL, Finished("tool_calls", cut=True)),
        (WORK, f'{CALL}\n{MARKS.result} id="1">', Finished("tool_calls", cut=True)),
        (WORK, f'So:\n{MARKS.result} id="1">', Finished(cut=True)),
        (replace(WORK, stop=("END",)), "So END", Finished(stopped_by="END", cut=True)),
        (replace(TURN, stop=("END",)), "So END", Finished(stopped_by="END", cut=True)),
        (replace(TURN, max_tokens=2), "one two three four", Finished("length", cut=True)),
        (replace(WORK, max_tokens=2), CALL, Finished("length", cut=True)),
        (replace(TURN, form=JsonFormat()), '{"x": 1} ' + "so " * 99, Finished(cut=True)),
    ],
    ids=["one call", "result", "result alone", "stop", "stop without tools", "limit", "limit in a call", "object"],
)
"""What ends an answer while Kimi still writes."""


@CUTS
def test_an_answer_that_was_cut_is_stopped_and_deleted(request_: ChatRequest, text: str, end: Event) -> None:
    """What Kimi holds at its end is not what the client has; the next request is told all anew."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta(text)], [TextDelta("and more")], [Finished()])
    kimi = FakeKimi(exchange, answering(chat="chat-2"))
    house = House(kimi)
    events = house.answer(request=request_)
    assert events[-1] == end
    assert [exchange.stops, exchange.closed, kimi.deleted] == [[ANN.token], True, ["chat-1"]]
    assert [house.ledger_of(), house.streams(), house.pauses] == [[], 0, [0.0]]
    house.answer(request=replace(THEN, tools=request_.tools))
    assert kimi.continued == [None, None]


@CUTS
def test_an_account_is_free_only_when_what_was_cut_is_stopped(request_: ChatRequest, text: str, end: Event) -> None:
    """The end is told when that is under way: stopped, given back, deleted."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta(text)], [TextDelta("and more")], [Finished()])
    kimi = FakeKimi(exchange)
    house = House(kimi)
    seen: list[tuple[int, int, list[str]]] = []

    def look() -> None:
        seen.append((len(exchange.stops), house.streams(), list(kimi.deleted)))

    for events in house.gateway.answer(request_, (ANN,), Cancellation()):
        if events[-1] == end:
            assert exchange.closed
            assert house.work
            look()
    while house.work:
        house.work.pop(0)()
        look()
    assert [seen[0], seen[-1]] == [(0, 1, []), (1, 0, ["chat-1"])]
    assert all(stops or streams for stops, streams, _ in seen)
    assert all(not deleted or not streams for _, streams, deleted in seen)


def test_an_answer_that_cannot_be_stopped_frees_its_account_at_once() -> None:
    """As on the legacy site, where it ends with its connection; the conversation goes all the same."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("So END")], [Finished()], stoppable=False)
    kimi = FakeKimi(exchange)
    house = House(kimi)
    taken = [house.streams() for _ in house.gateway.answer(replace(TURN, stop=("END",)), (ANN,), Cancellation())]
    house.settle()
    assert [taken, exchange.stops, kimi.deleted] == [[0], [], ["chat-1"]]


def test_an_answer_that_is_cut_at_its_end_needs_no_stop() -> None:
    """Kimi had just come to its own."""
    exchange = FakeExchange([Opened("chat-1")], [TextDelta("So END"), Finished()])
    kimi = FakeKimi(exchange)
    house = House(kimi)
    assert house.answer(request=replace(TURN, stop=("END",)))[-1] == Finished(stopped_by="END", cut=True)
    assert [exchange.stops, kimi.deleted, house.streams()] == [[], ["chat-1"], 0]


def test_a_cut_answer_s_conversation_of_the_client_s_own_stays() -> None:
    """It is stopped and no more."""
    exchange = FakeExchange([Opened("chat-9")], [TextDelta("So END")], [Finished()])
    kimi = FakeKimi(exchange)
    House(kimi).answer(request=replace(TURN, stop=("END",), conversation_id="chat-9"))
    assert [exchange.stops, kimi.deletions] == [[ANN.token], []]


# --- Tools in a conversation -------------------------------------------------------------------------------


def calling(text: str = "") -> FakeExchange:
    """An answer that calls."""
    return FakeExchange([Opened("chat-1")], [TextDelta(f"{text}{CALL}")], [Finished()])


def test_a_whole_answer_that_calls_is_kept_and_continued() -> None:
    """Only the result is sent on, with the reminder; the tools are described once."""
    kimi = FakeKimi(calling("Let me see.\n"), answering("done"), answering("well"))
    house = House(kimi)
    assert house.answer(request=WORK)[-1] == Finished("tool_calls")
    assert [house.ledger_of(), house.streams(), house.work] == [["chat-1"], 0, []]
    assert text_of(house.answer(request=THEN)) == "done"
    house.answer(request=replace(THEN, messages=(*THEN.messages, said("done"), user("and?"))))
    assert kimi.continued == [None, *[Continuation("chat-1", "message-1")] * 2]
    first, second, third = (turn.text for turn in kimi.turns)
    assert "<tools>" in first
    assert second.startswith(f'{MARKS.result} id="1" name="Read">\n42\n{MARKS.result_end}>\n\n[To call a tool')
    assert third.startswith("and?\n\n[To call a tool")


@pytest.mark.parametrize(
    "tools",
    [
        ToolUse(),
        ToolUse(WORK.tools.tools, Choice.NONE),
        ToolUse((ToolSpec("Read", "Anew."),)),
        ToolUse((*WORK.tools.tools, ToolSpec("Walk"))),
    ],
    ids=["none left", "none", "other words", "one more"],
)
def test_other_tools_are_told_in_a_new_conversation(tools: ToolUse) -> None:
    """With the history in the same marks; the old one stays where it was."""
    kimi = FakeKimi(calling(), answering("done", "chat-2"))
    house = House(kimi)
    house.answer(request=WORK)
    assert text_of(house.answer(request=replace(THEN, tools=tools))) == "done"
    assert kimi.continued == [None, None]
    told = kimi.turns[1].text
    assert f'{MARKS.call} name="Read">\n{{"path":"/a"}}\n{MARKS.call_end}>' in told
    assert ("<tools>" in told) is bool(tools.told)
    assert house.ledger_of() == ["chat-1", "chat-2"]


def test_another_choice_goes_on_in_the_conversation() -> None:
    """The reminder tells of it."""
    kimi = FakeKimi(calling(), calling())
    house = House(kimi)
    house.answer(request=WORK)
    house.answer(request=replace(THEN, tools=replace(WORK.tools, choice=Choice.REQUIRED)))
    assert kimi.continued[1] == Continuation("chat-1", "message-1")
    assert "Now you have to call a tool" in kimi.turns[1].text


def test_results_are_told_in_the_order_of_their_calls() -> None:
    """However the client gives them; the history is the same."""
    two = f"{CALL}\n{CALL}"
    results = [Message(Role.TOOL, (ToolResultPart(f"id-{number}"), TextPart(f"result {number}"))) for number in (1, 2)]
    calls = Message(Role.ASSISTANT, tuple(ToolCallPart(f"id-{number}", "Read", '{"path": "/a"}') for number in (1, 2)))
    for order in (results, results[::-1]):
        kimi = FakeKimi(FakeExchange([Opened("chat-1")], [TextDelta(two)], [Finished()]), answering(), answering("so"))
        house = House(kimi)
        house.answer(request=WORK)
        second = replace(WORK, messages=(user("hi"), calls, *order))
        house.answer(request=second)
        house.answer(request=replace(WORK, messages=(user("hi"), calls, *results, said("hello"), user("and?"))))
        assert kimi.continued == [None, *[Continuation("chat-1", "message-1")] * 2]
        assert kimi.turns[1].text.index("result 1") < kimi.turns[1].text.index("result 2")


def test_a_call_in_thoughts_alone_is_a_whole_answer() -> None:
    """Although Kimi's side takes it for silence: no other account is tried."""
    exchange = FakeExchange([Opened("chat-1")], [ThinkingDelta(CALL)], [Failed(NothingSaid("no"))])
    kimi = FakeKimi(exchange, answering("done"))
    house = House(kimi)
    assert house.answer(ANN, BOB, request=WORK)[-1] == Finished("tool_calls")
    assert text_of(house.answer(request=THEN)) == "done"
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


def test_another_account_has_marks_of_its_own() -> None:
    """Its calls are read by those."""
    theirs = marks_of(WORK, BOB)
    assert theirs.nonce != MARKS.nonce
    call = f'{theirs.call} name="Read">{{}}{theirs.call_end}>'
    kimi = FakeKimi(failing(UpstreamBusy("no")), FakeExchange([Opened("chat-2")], [TextDelta(call)], [Finished()]))
    events = House(kimi).answer(ANN, BOB, request=WORK)
    assert events[-1] == Finished("tool_calls")
    assert [MARKS.call in kimi.turns[0].text, theirs.call in kimi.turns[1].text] == [True, True]


# --- Background calls --------------------------------------------------------------------------------------

BACKGROUND = ChatRequest("kimi-k3-thinking", (user("hi"), said("hello"), user(TITLE)), effort=Effort.HIGH)


@pytest.mark.parametrize("changes", [{}, {"conversation_id": "chat-9"}, {"keep": True}, {"session": "s"}])
def test_a_background_call_is_answered_in_a_conversation_to_throw_away(changes: dict[str, object]) -> None:
    """On the default model, without search and thinking, whatever else it carries."""
    kimi = FakeKimi(answering("a title", "chat-2"))
    house = House(kimi)
    request = replace(BACKGROUND, use_search=True, **changes)  # type: ignore[arg-type] # fields by their names
    assert text_of(house.answer(request=request)) == "a title"
    (asked,) = kimi.asked
    assert [asked.model, asked.use_search, asked.effort] == ["kimi", False, Effort.NONE]
    assert [kimi.continued, kimi.deleted, house.ledger_of()] == [[None], ["chat-2"], []]


def test_a_background_call_leaves_the_real_conversation_alone() -> None:
    """It goes on natively afterwards."""
    kimi = FakeKimi(answering("hello", "chat-1"), answering("a title", "chat-2"), answering("more", "chat-1"))
    house = House(kimi)
    house.answer(request=TURN)
    house.answer(request=BACKGROUND)
    house.answer(request=replace(TURN, messages=(*BACKGROUND.messages[:2], user("and?"))))
    assert kimi.continued == [None, None, Continuation("chat-1", "message-1")]
    assert kimi.deleted == ["chat-2"]


def test_nothing_goes_on_from_a_background_call() -> None:
    """Its conversation is gone."""
    kimi = FakeKimi(answering("a title"), answering())
    house = House(kimi)
    house.answer(request=BACKGROUND)
    house.answer(request=replace(BACKGROUND, messages=(*BACKGROUND.messages, said("a title"), user("and?"))))
    assert kimi.continued == [None, None]


@pytest.mark.parametrize("changes", [{"conversation_id": "chat-9"}, {"keep": True}])
def test_a_background_call_is_not_told_its_conversation(changes: dict[str, object]) -> None:
    """The client would take the thrown-away one for its own."""
    request = replace(BACKGROUND, **changes)  # type: ignore[arg-type] # fields by their names
    assert not House(FakeKimi()).gateway.keeps(request)


def test_a_background_call_may_go_to_any_account() -> None:
    """Also where the conversation that it carries is on one that is left alone."""
    kimi = FakeKimi(answering(chat="chat-7"), failing(UpstreamBusy("no")), answering("a title"))
    house = House(kimi)
    house.answer(BOB, request=ask(keep=True))
    house.answer(BOB)
    assert text_of(house.answer(ANN, BOB, request=replace(BACKGROUND, conversation_id="chat-7"))) == "a title"


# --- A client that leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["connect", "rest"])
@pytest.mark.parametrize("conversation_id", [None, "chat-9"])
def test_nothing_is_sent_for_a_client_that_has_left(protocol: str, conversation_id: str | None) -> None:
    """No refresh, no list of models, no conversation."""
    transport = FakeTransport(lambda _: json_answer({"id": "chat-1"}))
    house = House(over(transport), protocol=protocol)
    gone = Cancellation()
    gone.cancel()
    events = house.answer(refreshable(), request=ask(conversation_id=conversation_id), cancellation=gone)
    assert isinstance(error_of(events), ClientGone)
    assert transport.calls == []
    assert house.refreshed == []


def test_a_client_that_leaves_an_open_conversation_ends_the_upstream() -> None:
    """It is stopped and deleted."""
    client, ended = Cancellation(), list[bool]()

    def leave(upstream: Cancellation) -> None:
        client.cancel()
        ended.append(upstream.cancelled)

    exchange = FakeExchange([Opened("chat-1")], leave, ClientGone("gone"))
    kimi = FakeKimi(exchange)
    House(kimi).answer(cancellation=client)
    assert [ended, exchange.stops, kimi.deleted] == [[True], [ANN.token], ["chat-1"]]


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
    kimi = FakeKimi(exchange)
    House(kimi).answer(cancellation=client)
    assert cancelled == [False, True]
    assert kimi.deleted == ["chat-1"]


def test_a_client_that_leaves_costs_its_account_nothing() -> None:
    """It is asked again at once."""
    house = House(FakeKimi(FakeExchange([Opened("chat-1")], ClientGone("gone")), answering()))
    house.answer()
    assert text_of(house.answer()) == "hello"


# --- Over the real client ----------------------------------------------------------------------------------

CHAT = (
    frame({"chat": {"id": "chat-1"}})
    + frame({"message": {"id": "message-1", "role": "assistant"}})
    + frame({"block": {"id": "1", "text": {"content": "hi"}}})
    + TRAILER
)


def over(transport: FakeTransport) -> KimiClient:
    """The real client."""
    return KimiClient(transport=transport, sites=Sites(legacy="https://legacy.example"), models=MODELS)


def body_of(request: HttpRequest) -> bytes:
    """What was sent, if it was no file."""
    assert isinstance(request.body, bytes)
    return request.body


def site(*chats: Reply) -> FakeTransport:
    """A site of the Connect protocol that answers one Chat after the other like this, and all other calls with {}."""
    replies = iter(chats)
    return FakeTransport(lambda request: next(replies) if request.url.endswith("/Chat") else json_answer({}))


def test_one_completion_is_sent_for_one_answer() -> None:
    """Models, chat, deletion: no call beyond those needed."""
    transport = site(Streamed([CHAT]))
    assert text_of(House(over(transport), ttl=0.0).answer()) == "hi"
    assert transport.calls == ["GetAvailableModels", "Chat", "DeleteChat"]
    assert transport.open == 0


def test_a_next_turn_is_one_call_with_the_new_text_only() -> None:
    """Neither the history nor a search for the conversation's end."""
    transport = site(Streamed([CHAT]), Streamed([CHAT]))
    house = House(over(transport))
    house.answer(request=TURN)
    house.answer(request=replace(TURN, messages=(user("hi"), said("hi"), user("and?"))))
    assert transport.calls == ["GetAvailableModels", "Chat", "Chat"]
    body = body_of(transport.requests[-1])
    assert b"and?" in body
    assert b"<message" not in body


def test_an_access_token_that_is_refused_in_a_known_conversation_is_renewed() -> None:
    """The conversation goes on with the new one."""
    transport = site(Streamed([CHAT]), REFUSED, Streamed([CHAT]))
    house = House(over(transport))
    account = refreshable()
    house.answer(account, request=TURN)
    assert text_of(house.answer(account, request=replace(TURN, messages=(user("hi"), said("hi"), user("?"))))) == "hi"
    first, *others = (request for request in transport.requests if request.url.endswith("/Chat"))
    assert b"message-1" not in body_of(first)
    assert all(b"message-1" in body_of(other) for other in others)
    assert [other.headers["Authorization"] for other in others] == ["Bearer access-1", "Bearer access-2"]


def spoken(text: str, *, message: str = "message-1") -> bytes:
    """What Kimi sends of an answer before its end."""
    return (
        frame({"chat": {"id": "chat-1"}})
        + frame({"message": {"id": message, "role": "assistant"}})
        + frame({"block": {"id": "1", "text": {"content": text}}})
    )


def test_a_question_is_one_more_message_behind_the_answer() -> None:
    """In the same conversation, with its own text only."""
    unknown = CALL.replace("Read", "Fly")
    transport = site(
        Streamed([spoken(unknown), TRAILER]), Streamed([spoken(CALL, message="message-2"), TRAILER]), Streamed([CHAT])
    )
    house = House(over(transport))
    assert house.answer(request=WORK)[-1] == Finished("tool_calls")
    house.answer(request=THEN)
    assert transport.calls == ["GetAvailableModels", "Chat", "Chat", "Chat"]
    first, second, third = (body_of(request) for request in transport.requests[1:])
    assert [b"<tools>" in body for body in (first, second, third)] == [True, False, False]
    assert [b"no tool of the name Fly" in second, b"message-1" in second, b"message-2" in third] == [True] * 3


def test_an_answer_that_was_cut_is_stopped_at_kimi() -> None:
    """Before its account is free; then its conversation is deleted."""
    transport = site(Streamed([spoken("So END"), spoken("more"), TRAILER]))
    house = House(over(transport))
    assert house.answer(request=replace(TURN, stop=("END",)))[-1] == Finished(stopped_by="END", cut=True)
    assert transport.calls == ["GetAvailableModels", "Chat", "CancelChat", "DeleteChat"]
    assert [transport.open, house.streams()] == [0, 0]


@pytest.mark.parametrize("goes_on", [False, True])
def test_the_legacy_site_s_question_goes_to_the_end_of_its_chat(*, goes_on: bool) -> None:
    """It knows by itself where that is; where it refuses the question, the chat is not what the client has."""
    unknown = CALL.replace("Read", "Fly").replace("\n", "\\n").replace('"', '\\"')
    asked = Streamed(
        [f'data: {{"event":"cmpl","text":"{unknown}"}}\n\ndata: {{"event":"all_done"}}\n\n'.encode()],
        headers={"content-type": "text/event-stream"},
    )
    transport = legacy(asked, SAID if goes_on else json_answer({"error_type": "auth.token.invalid"}, 401))
    house = House(over(transport), protocol="rest")
    events = house.answer(refreshable(), request=WORK)
    completions = [request.url for request in transport.requests if request.url.endswith("/completion/stream")]
    assert [url.split("/")[-3] for url in completions] == ["chat-1", "chat-1"]
    if goes_on:
        assert text_of(events) == "hi"
        assert house.ledger_of() == ["chat-1"]
    else:
        assert isinstance(error_of(events), TokenExpired)
        assert house.ledger_of() == []


def legacy(*completions: Reply) -> FakeTransport:
    """The legacy site; its chats are chat-1, chat-2 and so on, one completion after the other is like this."""
    replies, numbers = iter(completions), iter(range(1, 9))

    def respond(request: HttpRequest) -> Reply:
        if request.url.endswith("/completion/stream"):
            return next(replies)
        if request.method == "POST" and request.url.endswith("/api/chat"):
            return json_answer({"id": f"chat-{next(numbers)}"})
        return json_answer({})

    return FakeTransport(respond)


SAID = Streamed(
    [b'data: {"event":"cmpl","text":"hi"}\n\ndata: {"event":"all_done"}\n\n'],
    headers={"content-type": "text/event-stream"},
)


@pytest.mark.parametrize(
    ("refusal", "chats"),
    [
        (REFUSED, ["chat-1", "chat-1", "chat-1"]),
        (json_answer({"error_type": "chat.not_found"}, 404), ["chat-1", "chat-1", "chat-2"]),
    ],
    ids=["token", "conversation"],
)
def test_the_legacy_site_s_refusals_of_a_known_conversation_are_mended(refusal: Reply, chats: list[str]) -> None:
    """By a new token or a new conversation; the client sees nothing of it."""
    transport = legacy(SAID, refusal, SAID)
    house = House(over(transport), protocol="rest")
    account = refreshable()
    house.answer(account, request=TURN)
    assert text_of(house.answer(account, request=replace(TURN, messages=(user("hi"), said("hi"), user("?"))))) == "hi"
    completions = [request.url for request in transport.requests if request.url.endswith("/completion/stream")]
    assert [url.split("/")[-3] for url in completions] == chats


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
