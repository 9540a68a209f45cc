"""One answer to the client, over as many turns with Kimi as it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta
from app.chat.request import ChatRequest, Continuation, ToolSpec, ToolUse
from app.errors import GatewayError, TokenExpired, ToolCallUnreadable, UpstreamBusy
from app.gateway.chain import Chain, Terms
from app.gateway.custody import Custody, Keeping
from app.gateway.patience import Patience
from app.gateway.talk import Talk
from app.kimi.turn import Turn
from tests.fakes import FakeExchange, FakeKimi, Step
from tests.gateway.houses import ANN, MODELS, TTL, House, error_of, text_of, user

REQUEST = ChatRequest("kimi", (user("hi"),), tools=ToolUse((ToolSpec("Read"),)))
TERMS = Terms.of(REQUEST, MODELS.choose("kimi"), ANN.secret)
FIRST = Turn("hi")


def call(name: str = "Read", arguments: str = "{}") -> str:
    """A call as the model has to print it."""
    marks = TERMS.marks
    assert marks is not None
    return f'{marks.call} name="{name}">\n{arguments}\n{marks.call_end}>'


def exchange(*script: Step | str, tip: str | None = "message-1") -> FakeExchange:
    """An exchange in chat-1; a text stands for itself."""
    steps: list[Step] = [[TextDelta(step)] if isinstance(step, str) else step for step in script]
    return FakeExchange([Opened("chat-1")], *steps, tip=tip)


class Script:
    """A talk whose turns are answered by these exchanges, or refused by errors."""

    def __init__(
        self,
        *exchanges: FakeExchange | GatewayError,
        request: ChatRequest = REQUEST,
        house: House | None = None,
        client: Cancellation | None = None,
    ) -> None:
        self.turns: list[tuple[Turn, Continuation | None]] = []
        self.client = client or Cancellation()
        self.house = house or House(FakeKimi())
        self.lists: list[list[Event]] = []
        self._exchanges = iter(exchanges)
        self._request = request
        chain = Chain(Terms.of(request, MODELS.choose("kimi"), ANN.secret), errs=False)
        self.talk = Talk(chain=chain, open_turn=self._open)
        keeping = Keeping(
            ledger=self.house.ledger,
            cleanup=self.house.cleanup,
            continuity=self.house.continuity,
            presence=self.house.presence,
            ttl=TTL,
        )
        self.custody = Custody(keeping, ANN, request, "connect", kind="kimi", thread=None, passing=False)

    def run(self) -> Script:
        """All of it."""
        with Patience(self.client) as patience:
            for events in self.talk.events(FIRST, None, self.custody, patience):
                assert events
                self.lists.append(events)
        return self

    @property
    def events(self) -> list[Event]:
        """All events, the last list included."""
        return [event for events in [*self.lists, self.talk.end] for event in events]

    @property
    def questions(self) -> list[str]:
        """What was asked behind the first turn."""
        return [turn.text for turn, _ in self.turns[1:]]

    def _open(self, turn: Turn, continues: Continuation | None) -> FakeExchange:
        self.turns.append((turn, continues))
        opened = next(self._exchanges)
        if isinstance(opened, GatewayError):
            raise opened
        return opened


def names(events: Sequence[Event]) -> list[str]:
    """The kinds of events."""
    return [type(event).__name__ for event in events]


def test_an_answer_is_one_turn_where_nothing_is_wrong() -> None:
    """Its last list is not given, so that its end can be told when all is in order."""
    script = Script(exchange("Hel", "lo", [Finished()])).run()
    assert script.turns == [(FIRST, None)]
    assert [text_of([event for events in script.lists for event in events]), names(script.talk.end)] == [
        "Hello",
        ["Usage", "Finished"],
    ]
    assert script.talk.exchange is not None
    assert script.talk.exchange.running is False


def test_a_question_is_a_turn_at_the_tip_of_the_same_conversation() -> None:
    """Nothing is sent twice, and no file goes with it."""
    script = Script(exchange(call("Fly"), [Finished()]), exchange(call(), [Finished()], tip="message-2")).run()
    (_, (question, continues)) = script.turns
    assert question == Turn(script.questions[0])
    assert script.questions[0].startswith("[There is no tool of the name Fly; the tools are Read.")
    assert continues == Continuation("chat-1", "message-1")
    assert names(script.events) == [
        *("Opened", "ToolCallStart", "ToolCallDelta", "ToolCallEnd", "Usage", "Finished"),
    ]


def test_a_second_question_goes_on_behind_the_first() -> None:
    """Each at the message before it."""
    exchanges = [
        exchange(text, [Finished()], tip=f"message-{number}")
        for number, text in enumerate([call("Fly"), call(arguments="=="), call()])
    ]
    script = Script(*exchanges).run()
    assert [continues for _, continues in script.turns] == [
        *(None, Continuation("chat-1", "message-0"), Continuation("chat-1", "message-1")),
    ]
    assert script.events[-1] == Finished("tool_calls")


def test_each_exchange_is_closed_before_the_next_is_opened() -> None:
    """Kimi takes one stream at a time."""
    first = exchange(call("Fly"), [Finished()])
    closed: list[bool] = []
    second = exchange(lambda _: closed.append(first.closed), "Well.", [Finished()])
    script = Script(first, second).run()
    assert [closed, second.closed, script.talk.exchange is second] == [[True], True, True]


def test_the_client_sees_one_answer() -> None:
    """Its lists come as they are read; none of them is empty, and the conversation is named once."""
    script = Script(
        exchange("Let me see.\n", call("Fly"), [Finished()]), exchange([], "Well: ", [], "42.", [Finished()])
    ).run()
    assert text_of(script.events) == "Let me see.\n\nWell: 42."
    assert script.events.count(Opened("chat-1")) == 1


def test_an_answer_that_is_over_is_not_read_on() -> None:
    """Kimi's still runs, which is its caller's to see to."""
    running = exchange(f"{call()}\n", "and more", [Finished()])
    script = Script(running, request=replace(REQUEST, tools=replace(REQUEST.tools, parallel=False))).run()
    assert [script.events[-1], running.running, running.closed] == [Finished("tool_calls", cut=True), True, True]
    assert script.questions == []


def test_where_the_answer_s_place_is_not_known_nothing_is_asked() -> None:
    """It ends as it stands."""
    script = Script(exchange(call("Fly"), [Finished()], tip=None)).run()
    assert [text_of(script.events), script.events[-1], script.questions] == ["Fly\n```json\n{}\n```", Finished(), []]
    failed = Script(exchange(call(arguments="=="), [Finished()], tip=None)).run()
    assert [type(error_of(failed.events)), failed.questions] == [ToolCallUnreadable, []]


@pytest.mark.parametrize("told", [False, True])
def test_a_turn_that_fails_ends_the_answer(*, told: bool) -> None:
    """Raised or told."""
    error = UpstreamBusy("no")
    script = Script(exchange("Hello", [Failed(error)] if told else error)).run()
    assert [text_of(script.events), error_of(script.events)] == ["Hello", error]
    assert names(script.talk.end) == ["Failed"]


@pytest.mark.parametrize(
    "second", [TokenExpired("no"), FakeExchange([Failed(TokenExpired("no"))])], ids=["token", "turn"]
)
@pytest.mark.parametrize("good", [False, True])
def test_a_question_that_fails_ends_the_answer(second: FakeExchange | GatewayError, *, good: bool) -> None:
    """As a failure, or with the calls that were good."""
    script = Script(exchange(f"{call() * good}\n{call('Fly')}", [Finished()]), second).run()
    if good:
        assert script.events[-1] == Finished("tool_calls", cut=True)
    else:
        assert isinstance(error_of(script.events), TokenExpired)
    assert len(script.turns) == 2


def test_custody_sees_what_the_client_is_given() -> None:
    """Of all turns; the conversation is written down with the first list, also where that says nothing."""
    books: list[list[str]] = []
    first = FakeExchange(lambda _: None, [Opened("chat-1")], [TextDelta(call("Fly"))], [Finished()])
    house = House(FakeKimi())
    second = exchange(lambda _: books.append(house.ledger_of()), call(), [Finished()], tip="message-2")
    script = Script(first, second, house=house).run()
    assert books == [["chat-1"]]
    script.custody.end()
    (entry,) = script.house.ledger.entries(ANN.account)
    assert entry.due > script.house.clock()  # it is idle: the answer was whole
    assert not script.house.work


def test_a_client_that_leaves_between_two_turns_is_asked_about_no_more() -> None:
    """The question is not sent: it would be for nobody."""
    client = Cancellation()
    first = exchange(call("Fly"), lambda _: client.cancel(), [Finished()])
    script = Script(first, exchange("never", [Finished()]), client=client).run()
    assert [error_of(script.events).code, len(script.turns)] == ["client_closed_request", 1]


def test_a_talk_that_is_dropped_closes_its_exchange() -> None:
    """As the pump drops it when its client has left."""
    running = exchange("Hello", "more", [Finished()])
    script = Script(running)
    with Patience(script.client) as patience:
        lists = script.talk.events(FIRST, None, script.custody, patience)
        assert [next(lists), next(lists)] == [[Opened("chat-1")], [TextDelta("Hello")]]
        lists.close()
    assert [running.closed, running.running, script.talk.end] == [True, True, []]
