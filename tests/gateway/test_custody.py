"""What becomes of the conversation of one answer: written down, then idle, the client's own, or deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.chat.cancellation import Cancellation
from app.chat.events import (
    Event,
    Failed,
    Finished,
    Opened,
    Source,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from app.chat.request import (
    ChatRequest,
    Continuation,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from app.conversations.ledger import Entry
from app.errors import (
    AccountRestricted,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from app.gateway.custody import SLACK, Custody, Keeping, holder_of
from tests.fakes import FakeExchange, FakeKimi
from tests.gateway.houses import ANN, TTL, House, answering, ask, failing, said, user

TURN = ChatRequest("kimi", (user("hi"),))
NEXT = replace(TURN, messages=(user("hi"), said("hello"), user("and?")))
CALL: list[Event] = [ToolCallStart(0, "call-1", "Read"), ToolCallDelta(0, '{"a": 1}'), ToolCallEnd(0)]
WHOLE: list[list[Event]] = [[Opened("chat-1")], [TextDelta("hel")], [TextDelta("lo"), Finished()]]


class Desk:
    """Custody of one answer with its books; the answer's events are handed in by `see`."""

    def __init__(
        self,
        request: ChatRequest = TURN,
        *,
        ttl: float = TTL,
        keep: bool = False,
        passing: bool = False,
        tip: str | None = "message-1",
        house: House | None = None,
        protocol: str = "connect",
    ) -> None:
        self.house = house or House(FakeKimi(), ttl=ttl, keep=keep)
        self.exchange = FakeExchange(*WHOLE, tip=tip)
        found = self.house.continuity.find(request, "kimi", [holder_of(ANN, "connect")])
        thread = found if found is not None and self.house.continuity.claim(found) else None
        keeping = Keeping(
            ledger=self.house.ledger,
            cleanup=self.house.cleanup,
            continuity=self.house.continuity,
            presence=self.house.presence,
            ttl=ttl,
            keeps_all=keep,
        )
        self.custody = Custody(keeping, ANN, request, protocol, kind="kimi", thread=thread, passing=passing)

    def see(self, *lists: list[Event]) -> Desk:
        """Let these events pass."""
        for events in lists:
            for event in events:
                self.exchange._note(event)
            self.custody.saw(events, self.exchange)
        return self

    @property
    def entries(self) -> list[Entry]:
        """What is written down."""
        return self.house.ledger.entries(ANN.account)

    def idle(self) -> Continuation | None:
        """Where the next turn would go."""
        found = self.house.continuity.find(NEXT, "kimi", [holder_of(ANN, "connect")])
        return None if found is None else found.idle.continuation

    @property
    def fate(self) -> str:
        """What has become of the conversation once the answer is over."""
        self.custody.end()
        if not self.entries:
            return "not ours"
        (entry,) = self.entries
        now = self.house.clock()
        assert entry.user is None
        assert entry.due in {now, now + TTL + SLACK}
        return "to be deleted" if entry.due == now else "idle" if self.idle() else "lost"


# --- Written down ------------------------------------------------------------------------------------------


def test_a_conversation_is_written_down_before_its_first_event_is_passed_on() -> None:
    """As used by this process."""
    house = House(FakeKimi(answering()))
    answer = house.gateway.answer(ask(), (ANN,), Cancellation())
    next(answer)
    (entry,) = house.ledger.entries(ANN.account)
    assert entry == Entry("chat-1", "connect", house.presence.name, due=0.0)


def test_a_conversation_is_written_down_before_anything_more_is_read() -> None:
    """The first word may take a minute."""
    seen: list[list[str]] = []
    exchange = FakeExchange(
        lambda _: seen.append(house.ledger_of()),
        [Opened("chat-1")],
        lambda _: seen.append(house.ledger_of()),
        [TextDelta("hello"), Finished()],
    )
    house = House(FakeKimi(exchange))
    house.answer()
    assert seen == [[], ["chat-1"]]


def test_a_conversation_is_written_down_with_the_protocol_that_opened_it() -> None:
    """Only that site can delete it."""
    (entry,) = Desk(protocol="rest").see([Opened("chat-1")]).entries
    assert entry.protocol == "rest"


def test_a_conversation_that_goes_on_is_in_use_again_before_its_turn_is_sent() -> None:
    """Its clean-up was due some time; another process must not take it for idle."""
    first = Desk().see(*WHOLE)
    first.custody.end()
    second = Desk(NEXT, house=first.house)
    (entry,) = second.entries
    assert [entry.conversation_id, entry.user] == ["chat-1", first.house.presence.name]


def test_the_process_is_seen_to_live_while_it_uses_a_conversation() -> None:
    """So that no other one deletes it."""
    desk = Desk().see([Opened("chat-1")])
    (entry,) = desk.entries
    assert entry.user is not None
    assert House(FakeKimi(), clock=desk.house.clock, store=desk.house.store).presence.lives(entry.user)


# --- Its end -----------------------------------------------------------------------------------------------


def test_a_whole_answer_leaves_its_conversation_idle() -> None:
    """At the message that was written, for the time that is set and a little longer."""
    desk = Desk().see(*WHOLE)
    assert desk.idle() == Continuation("chat-1", "message-1")
    assert desk.fate == "idle"


def test_the_next_request_may_come_as_soon_as_the_end_is_told() -> None:
    """The conversation is idle before `end`."""
    desk = Desk().see(*WHOLE[:-1])
    assert desk.idle() is None
    desk.see(WHOLE[-1])
    assert desk.idle() is not None


@pytest.mark.parametrize(
    "lists",
    [
        WHOLE[:2],
        [*WHOLE[:2], [Failed(UpstreamTimeout("no"))]],
        [[Opened("chat-1")], [Failed(UpstreamTimeout("no"))]],
        [[Opened("chat-1")], [Failed(UpstreamBusy("no"))]],
        [[Opened("chat-1")], [TextDelta("a")], [Failed(UpstreamBusy("no"))]],
        [[Opened("chat-1")], [TextDelta("hello"), Finished("length")]],
        [[Opened("chat-1")], [TextDelta("hello"), Finished("length", cut=True)]],
        [[Opened("chat-1")], [TextDelta("hello"), Finished(stopped_by="END", cut=True)]],
        [[Opened("chat-1")], [*CALL, Finished("tool_calls", cut=True)]],
        [[Opened("chat-1")]],
    ],
    ids=[
        *("cut", "failed", "failed early", "refused", "refused late", "at its limit", "at the client's limit"),
        *("at a stop", "at a call", "silent"),
    ],
)
@pytest.mark.parametrize("keeps", [False, True])
def test_nothing_goes_on_from_an_answer_that_is_not_whole(lists: list[list[Event]], *, keeps: bool) -> None:
    """Its conversation is deleted; one that the client asked to keep is its own from the first word on."""
    desk = Desk(replace(TURN, keep=keeps)).see(*lists)
    begun = any(isinstance(event, TextDelta | ToolCallStart) for events in lists for event in events)
    assert desk.fate == ("not ours" if keeps and begun else "to be deleted")
    assert desk.idle() is None


@pytest.mark.parametrize(
    "desk",
    [
        Desk(ttl=0.0),
        Desk(passing=True),
        Desk(tip=None),
        Desk(replace(TURN, messages=(user("hi"), said("I say: ")))),
    ],
    ids=["continuity is off", "a background call", "where it ended is not known", "the client began the answer"],
)
def test_a_conversation_that_no_request_can_continue_is_deleted(desk: Desk) -> None:
    """It would be kept for nothing."""
    assert desk.see(*WHOLE).fate == "to be deleted"
    assert desk.idle() is None


def test_an_answer_without_a_conversation_leaves_nothing() -> None:
    """It was refused before there was one."""
    assert Desk().see([Failed(UpstreamBusy("no"))]).fate == "not ours"


def test_the_end_is_told_once() -> None:
    """A second time changes nothing."""
    desk = Desk().see(*WHOLE[:2])
    desk.custody.end()
    desk.house.ledger.strike(ANN.account, ["chat-1"])
    desk.custody.end()
    assert desk.entries == []


# --- Kept for the client -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("desk", "goes_on"), [(Desk(replace(TURN, keep=True)), False), (Desk(keep=True), True)])
def test_a_conversation_is_the_client_s_own_from_its_first_word_on(desk: Desk, *, goes_on: bool) -> None:
    """Struck off, and known by its owner; where the operator keeps all, histories go on in it too."""
    desk.see(WHOLE[0])
    assert [entry.conversation_id for entry in desk.entries] == ["chat-1"]
    desk.see(WHOLE[1])
    assert desk.entries == []
    assert desk.house.continuity.owner("chat-1", ["another", ANN.account]) == ANN.account
    desk.see(WHOLE[2])
    assert desk.fate == "not ours"
    assert (desk.idle() is not None) == goes_on


@pytest.mark.parametrize("word", [TextDelta("a"), ThinkingDelta("a"), ToolCallStart(0, "call-1", "Read")])
def test_thinking_and_calls_are_words_too(word: Event) -> None:
    """The client has seen something of it."""
    assert Desk(replace(TURN, keep=True)).see([Opened("chat-1")], [word]).fate == "not ours"


@pytest.mark.parametrize("lists", [WHOLE, WHOLE[:2], [[Opened("chat-9")], [Failed(UpstreamBusy("no"))]]])
def test_a_conversation_that_the_client_names_is_none_of_ours(lists: list[list[Event]]) -> None:
    """Whatever becomes of the answer."""
    desk = Desk(replace(TURN, conversation_id="chat-9")).see(*lists)
    assert desk.fate == "not ours"
    assert desk.idle() is None


# --- Given back --------------------------------------------------------------------------------------------


def going_on(*, tip: str | None = "message-1") -> Desk:
    """A turn in a conversation that an earlier answer left idle; without `tip`, one of the legacy site."""
    house = House(FakeKimi())
    at = Continuation("chat-1", tip)
    first = Desk(house=house).see(*WHOLE)
    if tip is None:
        found = house.continuity.find(NEXT, "kimi", [holder_of(ANN, "connect")])
        assert found is not None
        assert house.continuity.claim(found)
        first.custody._finish(_At(at))
    return Desk(NEXT, house=house)


class _At(FakeExchange):
    """An exchange that has ended somewhere."""

    def __init__(self, tip: Continuation) -> None:
        super().__init__()
        self._place = tip

    @property
    def tip(self) -> Continuation | None:
        return self._place


@pytest.mark.parametrize("before", [[], [Opened("chat-1")]])
@pytest.mark.parametrize(
    "error", [RateLimitExceeded, UpstreamBusy, AccountRestricted, TokenExpired, UpstreamUnreachable]
)
def test_a_turn_that_was_refused_gives_its_conversation_back(error: type[GatewayError], before: list[Event]) -> None:
    """It is where it was, and can be claimed again."""
    desk = going_on()
    assert desk.idle() is None
    desk.see([*before, Failed(error("no"))])
    assert desk.idle() == Continuation("chat-1", "message-1")
    assert desk.fate == "idle"


@pytest.mark.parametrize(
    "lists",
    [
        [[Opened("chat-1")], [TextDelta("a")], [Failed(UpstreamBusy("no"))]],
        [[Opened("chat-1")], [ThinkingDelta("a")], [Failed(UpstreamBusy("no"))]],
        [[Failed(UpstreamTimeout("no"))]],
        [[Opened("chat-1")]],
    ],
    ids=["after a word", "after a thought", "timeout", "hang-up"],
)
def test_a_turn_that_may_have_been_heard_is_not_gone_back_on(lists: list[list[Event]]) -> None:
    """What Kimi wrote into the conversation is not what the client has."""
    desk = going_on().see(*lists)
    assert desk.idle() is None
    assert desk.fate == "to be deleted"


@pytest.mark.parametrize(("error", "back"), [(UpstreamBusy, False), (TokenExpired, True), (UpstreamUnreachable, True)])
def test_the_legacy_site_may_have_kept_a_turn_that_it_did_not_answer(error: type[GatewayError], *, back: bool) -> None:
    """It is not told which message is answered; a turn that never got so far has left nothing there."""
    desk = going_on(tip=None).see([Failed(error("no"))])
    assert (desk.idle() is not None) == back
    assert desk.fate == ("idle" if back else "to be deleted")


@pytest.mark.parametrize("error", [TokenExpired, UpstreamUnreachable, UpstreamBusy, RateLimitExceeded])
@pytest.mark.parametrize(("tip", "back"), [("message-1", True), (None, False)])
def test_a_question_that_was_refused_gives_back_what_is_a_tree(
    error: type[GatewayError], tip: str | None, *, back: bool
) -> None:
    """The turn before it was answered, in a way that the client was not given; the legacy site goes on behind that."""
    desk = going_on(tip=tip).see([Opened("chat-1")])
    desk.custody.goes_on()
    desk.see([Failed(error("no"))])
    assert (desk.idle() == Continuation("chat-1", tip)) is back
    assert desk.fate == ("idle" if back else "to be deleted")


@pytest.mark.parametrize("tip", ["message-1", None])
def test_a_turn_that_was_not_sent_gives_its_conversation_back(tip: str | None) -> None:
    """On either site: nothing of it ever got there."""
    desk = going_on(tip=tip)
    desk.house.clock.advance(100)
    desk.custody.unsent()
    assert desk.idle() == Continuation("chat-1", tip)
    (entry,) = desk.entries
    assert entry == Entry("chat-1", "connect", None, due=desk.house.clock() + TTL + SLACK)
    desk.custody.end()
    assert desk.entries == [entry]
    assert desk.house.work == []


@pytest.mark.parametrize(
    "desk",
    [Desk(), Desk(passing=True), Desk(replace(TURN, conversation_id="chat-9")), Desk(replace(TURN, keep=True))],
    ids=["new", "a background call", "the client's own", "to be kept"],
)
def test_a_turn_that_was_not_sent_in_no_idle_conversation_leaves_nothing(desk: Desk) -> None:
    """There is nothing to give back, and nothing to delete."""
    desk.custody.unsent()
    desk.custody.end()
    assert [desk.entries, desk.idle(), desk.house.work] == [[], None, []]


# --- What goes into the next turn's recognition ------------------------------------------------------------


def test_a_history_goes_on_with_all_that_the_client_was_shown() -> None:
    """Text in its order, nothing of thinking and counts."""
    desk = Desk().see(
        [Opened("chat-1"), ThinkingDelta("hm")],
        [TextDelta("hel")],
        [TextDelta("lo"), Usage(1, 1, 1), Finished()],
    )
    assert desk.idle() is not None


def test_a_history_goes_on_with_the_calls_of_an_answer() -> None:
    """The client sends them back with their results, under ids of its own and without the words beside them."""
    desk = Desk().see([Opened("chat-1"), TextDelta("Let me see.")], [*CALL, Finished("tool_calls")])
    called = Message(Role.ASSISTANT, (ToolCallPart("another", "Read", '{"a":1}'),))
    result = Message(Role.TOOL, (ToolResultPart("another", "Read", number=1), TextPart("42")))
    then = replace(TURN, messages=(*TURN.messages, called, result))
    found = desk.house.continuity.find(then, "kimi", [holder_of(ANN, "connect")])
    assert found is not None
    assert found.idle.continuation == Continuation("chat-1", "message-1")
    desk.custody.end()
    (entry,) = desk.entries
    assert entry.due == desk.house.clock() + TTL + SLACK


def test_a_history_goes_on_with_the_list_of_sources_that_was_written() -> None:
    """The gateway's own words are part of what the client sends back."""
    exchange = FakeExchange([Opened("chat-1"), Source("https://a.example/", "A")], [TextDelta("hello")], [Finished()])
    kimi = FakeKimi(exchange, answering("more"))
    house = House(kimi)
    first = house.answer(request=replace(TURN, model="kimi-search"))
    text = "".join(event.text for event in first if isinstance(event, TextDelta))
    assert "Sources:" in text
    house.answer(request=ChatRequest("kimi-search", (user("hi"), said(text), user("and?"))))
    assert kimi.continued == [None, Continuation("chat-1", "message-1")]


def test_a_refused_answer_is_deleted_by_the_gateway() -> None:
    """From custody to clean-up, whole."""
    kimi = FakeKimi(failing(UpstreamBusy("no"), Opened("chat-1")))
    House(kimi).answer()
    assert kimi.deleted == ["chat-1"]
