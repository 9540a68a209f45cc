"""Continuity: an unchanged client goes on natively, and nobody ever in a wrong thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from app.accounts.credentials import Credential
from app.accounts.pool import Limits
from app.chat.cancellation import Cancellation
from app.chat.completion import Fold
from app.chat.events import Event, Failed, Served
from app.chat.request import (
    ChatRequest,
    Choice,
    Continuation,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.conversations.continuity import OWNER_LIFE, Continuity, Holder
from app.conversations.history import after
from app.errors import InvalidRequest, UpstreamBusy
from app.gateway.chain import Terms
from app.gateway.custody import SLACK
from app.state.sqlite import MEMORY, SqliteStore
from tests.conversations.trees import TreeKimi, Turn, turns
from tests.fakes import FakeClock, FakeKimi, jwt
from tests.gateway.houses import ANN, BOB, MODELS, TTL, House, answering, error_of, failing, refreshable, text_of

SYSTEM = Message.of(Role.SYSTEM, "Be brief.")


class Talk:
    """A client that sends its whole history with every turn, and keeps what it gets."""

    def __init__(
        self,
        kimi: TreeKimi | None = None,
        *,
        accounts: Sequence[Credential] = (ANN,),
        request: ChatRequest | None = None,
        house: House | None = None,
        **changes: object,
    ) -> None:
        self.kimi = kimi or TreeKimi()
        self.house = house or House(
            self.kimi,
            limits=Limits(streams_per_account=9, queue=0.0),
            grant=lambda credential, number: jwt(sub=credential.claims.subject, n=number),
            **changes,  # type: ignore[arg-type] # fields by their names
        )
        self.accounts = tuple(accounts)
        self.request = request or ChatRequest("kimi", ())
        self.messages: tuple[Message, ...] = self.request.messages

    def wants(self, text: str) -> ChatRequest:
        """The next request."""
        return replace(self.request, messages=(*self.messages, Message.of(Role.USER, text)))

    def send(self, request: ChatRequest) -> list[Event]:
        """All events of an answer; the history is not touched."""
        return self.house.answer(*self.accounts, request=request)

    def say(self, *texts: str) -> Talk:
        """Take turns; each answer goes into the history as it came."""
        for text in texts:
            request = self.wants(text)
            self.messages = (*request.messages, Message.of(Role.ASSISTANT, text_of(self.send(request))))
        return self

    def edit(self, place: int, text: str) -> Talk:
        """Change a message of the history."""
        changed = Message.of(self.messages[place].role, text)
        self.messages = (*self.messages[:place], changed, *self.messages[place + 1 :])
        return self

    @property
    def met(self) -> list[Turn]:
        """What the model met; all of it said exactly what was asked."""
        assert all(turn.is_true for turn in self.kimi.turns)
        return self.kimi.turns

    @property
    def last(self) -> Turn:
        """The latest turn."""
        return self.met[-1]


# --- Goes on natively --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["connect", "rest"])
def test_an_unchanged_history_goes_on_in_its_conversation(protocol: str) -> None:
    """Ten turns, one conversation, ten short texts."""
    talk = Talk(accounts=(refreshable(),), protocol=protocol)
    texts = [f"Question {number}?" for number in range(10)]
    talk.say(*texts)
    assert [turn.text for turn in talk.met] == texts
    assert {turn.chat_id for turn in talk.met} == {"chat-0"}
    assert len(talk.last.before) == 18


def test_a_turn_goes_on_at_the_last_answer() -> None:
    """Whatever the person has added by hand meanwhile."""
    talk = Talk().say("hi")
    talk.kimi.speak_by_hand("chat-0")
    talk.say("and?")
    assert [talk.last.is_native, len(talk.last.before)] == [True, 2]


def test_a_history_that_was_merged_goes_on_natively_afterwards() -> None:
    """The second turn is short again."""
    talk = Talk()
    talk.messages = turns("a", "b")
    talk.say("hi", "and?")
    assert [turn.is_native for turn in talk.met] == [False, True]


def test_another_process_goes_on_with_it() -> None:
    """What is known is in the store."""
    talk = Talk().say("hi")
    talk.house = House(talk.kimi, clock=talk.house.clock, store=talk.house.store)
    talk.say("and?")
    assert talk.last.is_native


def test_another_token_of_the_account_goes_on_with_it() -> None:
    """Tokens change, the account stays."""
    talk = Talk(accounts=(refreshable("ann"),)).say("hi")
    talk.accounts = (ANN,)
    talk.say("and?")
    assert talk.last.is_native


def test_of_several_accounts_the_one_goes_on_that_holds_the_conversation() -> None:
    """Also when it is another one's turn."""
    talk = Talk(accounts=(ANN, BOB))
    talk.say("hi", "and?", "so?")
    assert [turn.is_native for turn in talk.met] == [False, True, True]
    assert {chat.owner for chat in talk.kimi.chats.values()} == {"ann"}


def test_a_program_s_tools_may_answer_the_model() -> None:
    """Whatever follows the answer is the new turn."""
    talk = Talk().say("hi")
    result = (*talk.messages, Message.of(Role.TOOL, "42"), SYSTEM, Message.of(Role.USER, "well?"))
    talk.send(replace(talk.request, messages=result))
    assert talk.last.is_native


# --- Is merged ---------------------------------------------------------------------------------------------


def untouched(talk: Talk, nodes: int = 4) -> bool:
    """Whether the first conversation is as it was, and the latest turn merged in another one."""
    turn = talk.last
    return len(talk.kimi.chats["chat-0"].nodes) == nodes and not turn.is_native and turn.chat_id != "chat-0"


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_edited_history_is_merged(place: int) -> None:
    """Whoever's message it is; the old thread is not touched."""
    talk = Talk().say("hi", "and?").edit(place, "something else").say("so?")
    assert untouched(talk)


def test_a_regenerated_answer_is_merged() -> None:
    """The old one stays where it is."""
    talk = Talk().say("hi", "and?")
    talk.messages = talk.messages[:2]
    talk.say("and?")
    assert untouched(talk)


def test_a_regenerated_first_answer_is_a_new_conversation() -> None:
    """There is no history."""
    talk = Talk().say("hi", "and?")
    talk.messages = ()
    talk.say("hi")
    assert untouched(talk)


def test_a_branch_is_merged() -> None:
    """And the thread that it left goes on natively."""
    talk = Talk().say("hi", "and?")
    whole = talk.messages
    talk.messages = whole[:2]
    talk.say("or?")
    assert untouched(talk)
    talk.messages = whole
    talk.say("so?")
    assert [talk.last.is_native, talk.last.chat_id] == [True, "chat-0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tools": ToolUse((ToolSpec("tool"),))},
        {"model": "kimi-k3"},
        {"model": "0123456789abcdefghij"},
        {"model": "kimi-research"},
    ],
    ids=["tools", "model", "agent", "research"],
)
def test_what_another_conversation_is_needed_for_is_merged(changes: dict[str, object]) -> None:
    """Tools that came, or another kind of model."""
    talk = Talk().say("hi", "and?")
    talk.request = replace(talk.request, **changes)  # type: ignore[arg-type] # fields by their names
    assert untouched(talk.say("so?"))


@pytest.mark.parametrize("system", [(), (Message.of(Role.SYSTEM, "Be long."),)], ids=["gone", "changed"])
def test_a_changed_system_text_is_merged(system: tuple[Message, ...]) -> None:
    """Kimi has heard the old one."""
    talk = Talk(request=ChatRequest("kimi", (SYSTEM,))).say("hi", "and?")
    talk.messages = (*system, *talk.messages[1:])
    assert untouched(talk.say("so?"))


def test_tools_that_are_gone_are_merged() -> None:
    """As those that came."""
    talk = Talk(request=ChatRequest("kimi", (), tools=ToolUse((ToolSpec("tool"),)))).say("hi", "and?")
    talk.request = ChatRequest("kimi", ())
    assert untouched(talk.say("so?"))


@pytest.mark.parametrize("model", ["kimi-search", "kimi-thinking", "gpt-4o"])
def test_what_the_same_conversation_serves_goes_on(model: str) -> None:
    """Search and thinking are a turn's own."""
    talk = Talk().say("hi")
    talk.request = replace(talk.request, model=model)
    assert talk.say("so?").last.is_native


def test_another_account_cannot_go_on_with_it() -> None:
    """It does not even find it."""
    talk = Talk().say("hi", "and?")
    talk.accounts = (BOB,)
    assert untouched(talk.say("so?"))


@pytest.mark.parametrize(
    ("first", "then"),
    [([refreshable("ann")], [ANN]), ([refreshable("ann")], [ANN, refreshable("ann")]), ([ANN], [refreshable("ann")])],
    ids=["access", "both", "refresh"],
)
def test_a_conversation_of_another_protocol_is_not_continued(first: list[Credential], then: list[Credential]) -> None:
    """One site does not know the other's, and could not delete it either."""
    talk = Talk(accounts=first, protocol="rest").say("hi")
    talk.accounts = tuple(then)
    talk.say("and?")
    assert text_of(talk.send(talk.wants("so?")))
    for _ in range(2):
        talk.house.clock.advance(TTL + SLACK)
        for credential in (ANN, refreshable("ann")):
            talk.house.cleanup.tidy(credential)
            talk.house.settle()
    assert talk.kimi.chats == {}


def test_an_account_that_is_left_alone_is_not_waited_for() -> None:
    """Another one answers, merged; the conversation waits for its own account."""
    talk = Talk(accounts=(ANN, BOB)).say("hi")
    talk.kimi.outcomes = ["refused"]
    talk.say("and?")
    assert not talk.last.is_native
    assert [chat.owner for chat in talk.kimi.chats.values()] == ["ann", "bob"]
    assert talk.house.ledger_of(ANN) == ["chat-0"]


def test_continuity_may_be_off() -> None:
    """Every turn is merged, every conversation deleted at once."""
    talk = Talk(ttl=0.0).say("hi", "and?", "so?")
    assert not any(turn.is_native for turn in talk.met)
    assert [talk.kimi.chats, len(talk.kimi.deleted)] == [{}, 3]


def test_a_conversation_is_known_for_its_time_only() -> None:
    """Counted from the last turn; then it is deleted."""
    talk = Talk().say("hi")
    talk.house.clock.advance(TTL - 1)
    talk.say("and?")
    talk.house.clock.advance(TTL - 1)
    assert talk.say("so?").last.is_native
    talk.house.clock.advance(TTL)
    assert not talk.say("well?").last.is_native
    talk.house.clock.advance(SLACK)
    talk.house.cleanup.tidy(ANN)
    talk.house.settle()
    assert "chat-0" not in talk.kimi.chats


@pytest.mark.parametrize("field", [{"keep": True}, {"conversation_id": "chat-0"}])
def test_a_client_that_names_conversations_itself_is_obeyed(field: dict[str, object]) -> None:
    """Its own name comes before what the history says."""
    talk = Talk().say("hi")
    talk.send(replace(talk.wants("and?"), **field))  # type: ignore[arg-type] # fields by their names
    turn = talk.kimi.turns[-1]
    assert turn.chat_id == ("chat-0" if "conversation_id" in field else "chat-1")


@pytest.mark.parametrize("protocol", ["connect", "rest"])
def test_a_conversation_that_went_on_by_its_name_is_not_where_it_was(protocol: str) -> None:
    """A history that ends before that does not go on behind it."""
    talk = Talk(accounts=(refreshable(),), protocol=protocol, keep=True).say("hi")
    talk.send(replace(talk.wants("by name"), conversation_id="chat-0", messages=turns("by name")))
    talk.kimi.turns.clear()
    talk.say("and?")
    assert talk.last.is_true


# --- Two at a time -----------------------------------------------------------------------------------------


def begin(talk: Talk, request: ChatRequest) -> object:
    """An answer that has told its first word."""
    answer = talk.house.gateway.answer(request, talk.accounts, Cancellation())
    next(answer)
    return answer


def finish(answer: object) -> str:
    """The rest of an answer."""
    return text_of([event for events in answer for event in events])  # type: ignore[attr-defined] # an iterator


def test_of_two_branches_in_parallel_one_goes_on_natively() -> None:
    """The other is merged, and none hears of the other."""
    talk = Talk().say("hi")
    answers = [begin(talk, talk.wants(text)) for text in ("and?", "or?")]
    assert [turn.is_native for turn in talk.met] == [False, True, False]
    for answer in reversed(answers):
        finish(answer)
    assert [turn.chat_id for turn in talk.met] == ["chat-0", "chat-0", "chat-1"]


def test_both_branches_go_on_natively_afterwards() -> None:
    """Each in its own conversation."""
    talk = Talk().say("hi")
    first, second = (Talk(talk.kimi, house=talk.house) for _ in range(2))
    first.messages = second.messages = talk.messages
    requests = [first.wants("and?"), second.wants("or?")]
    answers = [begin(talk, request) for request in requests]
    for client, request, answer in zip((first, second), requests, answers, strict=True):
        finish(answer)
        text = talk.kimi.words(2 + answers.index(answer))
        client.messages = (*request.messages, Message.of(Role.ASSISTANT, text))
    first.say("so?")
    second.say("so?")
    assert [turn.is_native for turn in talk.met[-2:]] == [True, True]
    assert {turn.chat_id for turn in talk.met[-2:]} == {"chat-0", "chat-1"}


def test_the_same_request_twice_at_a_time_is_two_answers() -> None:
    """A client that sends twice does not get one of them twice."""
    talk = Talk().say("hi")
    request = talk.wants("and?")
    answers = [begin(talk, request) for _ in range(2)]
    assert [turn.is_native for turn in talk.met[1:]] == [True, False]
    for answer in answers:
        finish(answer)


# --- Answers that are not whole ----------------------------------------------------------------------------


def test_nothing_goes_on_from_an_answer_that_was_cut() -> None:
    """Its conversation is deleted, and the client's piece of it merged."""
    talk = Talk(TreeKimi("whole", "cut"))
    talk.say("hi", "and?")
    assert talk.kimi.deleted == ["chat-0"]
    assert not talk.say("go on").last.is_native


def test_nothing_goes_on_from_an_answer_whose_client_left() -> None:
    """It may have been written to its end at Kimi, and is not what the client has."""
    talk = Talk().say("hi")
    request = talk.wants("and?")
    answer = talk.house.gateway.answer(request, (ANN,), Cancellation())
    next(answer)
    answer.close()  # type: ignore[attr-defined] # it is a generator
    talk.house.settle()
    assert [talk.kimi.deleted, talk.house.ledger_of()] == [["chat-0"], []]
    assert not talk.say("and?").last.is_native


@pytest.mark.parametrize("outcome", ["refused", "refused late"])
def test_a_refused_turn_gives_its_conversation_back(outcome: str) -> None:
    """The client tries again, and goes on where it was."""
    talk = Talk(TreeKimi("whole", outcome)).say("hi")
    assert isinstance(error_of(talk.send(talk.wants("and?"))), UpstreamBusy)
    talk.house.clock.advance(2)
    assert talk.say("and?").last.is_native
    assert [turn.chat_id for turn in talk.met] == ["chat-0"] * len(talk.met)


@pytest.mark.parametrize("outcome", ["refused", "refused late"])
def test_the_legacy_site_s_refused_turn_does_not(outcome: str) -> None:
    """It may have kept the question; the conversation is deleted."""
    talk = Talk(TreeKimi("whole", outcome), accounts=(refreshable(),), protocol="rest").say("hi")
    assert isinstance(error_of(talk.send(talk.wants("and?"))), UpstreamBusy)
    assert talk.kimi.deleted == ["chat-0"]
    talk.house.clock.advance(2)
    assert not talk.say("and?").last.is_native


# --- Tools -------------------------------------------------------------------------------------------------

WORK = ChatRequest("kimi", (), tools=ToolUse((ToolSpec("Read", "Read a file."), ToolSpec("Walk"))))
ARGUMENTS = '{"path": "/a", "limit": 5}'


class Work(Talk):
    """A client with tools: `run` takes a turn in which the model calls, and runs what it has called."""

    def __init__(self, kimi: TreeKimi | None = None, **changes: object) -> None:
        self.texts: dict[int, str] = {}
        kimi = kimi or TreeKimi(words=lambda number: self.texts.get(number, f"Answer {number}."))
        super().__init__(kimi, request=WORK, **changes)  # type: ignore[arg-type] # fields by their names

    def run(self, *names: str, results: Sequence[str] = ("42", "43")) -> Work:
        """Have the model call these tools; their results follow what was said last."""
        self.have_called(*names)
        request = self.wants("do it")
        fold = Fold()
        fold.feed(self.send(request))
        calls = fold.completion().calls
        assert [call.name for call in calls] == [*names]
        answers = [
            Message(Role.TOOL, (ToolResultPart(call.call_id), TextPart(text)))
            for call, text in zip(calls, results, strict=False)
        ]
        self.messages = (*request.messages, Message(Role.ASSISTANT, calls), *answers)
        return self

    def have_called(self, *names: str) -> None:
        """The model's next answer calls."""
        marks = Terms.of(self.wants("do it"), MODELS.choose("kimi"), ANN.secret).marks
        assert marks is not None
        calls = [f'{marks.call} name="{name}">\n{ARGUMENTS}\n{marks.call_end}>' for name in names]
        self.texts[len(self.kimi.turns) + 1] = "Let me see.\n" + "\n".join(calls)

    def finish(self) -> Work:
        """Send the results, and keep the answer."""
        request = replace(self.request, messages=self.messages)
        self.messages = (*self.messages, Message.of(Role.ASSISTANT, text_of(self.send(request))))
        return self

    def rewrite(self, change: Callable[[ToolCallPart], ToolCallPart], **result: object) -> Work:
        """Repeat all calls in another way, and with `result` the results."""
        self.messages = tuple(
            Message(
                message.role,
                tuple(
                    change(part)
                    if isinstance(part, ToolCallPart)
                    else replace(part, **result)  # type: ignore[arg-type] # fields by their names
                    if isinstance(part, ToolResultPart)
                    else part
                    for part in message.parts
                ),
            )
            for message in self.messages
        )
        return self


def test_a_task_with_tools_goes_on_in_its_conversation() -> None:
    """Only results are sent on, as long as the client repeats what it was given."""
    work = Work().run("Read", "Walk").finish().run("Walk").finish()
    work.say("thanks")
    assert [turn.is_native for turn in work.met] == [False, True, True, True, True]
    assert {turn.chat_id for turn in work.met} == {"chat-0"}
    assert ["Read a file." in turn.text for turn in work.met] == [True, False, False, False, False]
    assert work.met[1].text.count("<result:") == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda call: call,
        lambda call: replace(call, arguments='{"limit":5.0,"path":"\\u002fa"}'),
        lambda call: replace(call, arguments='{\n  "path": "/a",\n  "limit": 5\n}'),
        lambda call: replace(call, freeform=True),
    ],
    ids=["as it was", "minified", "laid out", "as another kind"],
)
@pytest.mark.parametrize("said", ["", "Let me see.", "Something else."])
def test_a_call_is_recognised_however_it_is_repeated(change: Callable[[ToolCallPart], ToolCallPart], said: str) -> None:
    """With its words or without: `content` is null in many clients."""
    work = Work().run("Read").rewrite(change)
    called = work.messages[1]
    work.messages = (work.messages[0], replace(called, parts=(TextPart(said), *called.parts)), work.messages[2])
    work.finish()
    work.say("thanks")
    assert [turn.is_native for turn in work.kimi.turns] == [False, True, True]


def test_a_call_is_recognised_under_other_ids() -> None:
    """Clients give their own; results without any answer by their place."""
    work = Work().run("Read", "Walk")
    work.rewrite(lambda call: replace(call, call_id=f"own-{call.name}"))
    for place, name in ((2, "own-Read"), (3, "own-Walk")):
        message = work.messages[place]
        named = replace(message, parts=(ToolResultPart(name), *message.parts[1:]))
        work.messages = (*work.messages[:place], named, *work.messages[place + 1 :])
    work.finish()
    work.rewrite(lambda call: replace(call, call_id=""), call_id=None)
    work.say("thanks")
    assert [turn.is_native for turn in work.kimi.turns] == [False, True, True]


def test_results_in_another_order_are_the_same() -> None:
    """Their ids tell whose they are."""
    work = Work().run("Read", "Walk")
    work.messages = (*work.messages[:2], work.messages[3], work.messages[2])
    work.finish()
    work.messages = (*work.messages[:2], work.messages[3], work.messages[2], *work.messages[4:])
    work.say("thanks")
    assert [turn.is_native for turn in work.kimi.turns] == [False, True, True]
    text = work.kimi.turns[1].text
    assert text.index("42") < text.index("43")


@pytest.mark.parametrize(
    "change",
    [
        lambda call: replace(call, name="Walk"),
        lambda call: replace(call, arguments='{"path": "/b", "limit": 5}'),
        lambda call: replace(call, arguments='{"path": "/a"}'),
        lambda call: replace(call, arguments=""),
    ],
    ids=["name", "arguments", "fewer", "none"],
)
def test_another_call_is_another_history(change: Callable[[ToolCallPart], ToolCallPart]) -> None:
    """It is merged, and the conversation stays where it was."""
    work = Work().run("Read").rewrite(change).finish()
    assert [turn.is_native for turn in work.met] == [False, False]
    assert len(work.kimi.chats["chat-0"].nodes) == 2


@pytest.mark.parametrize("change", [{"failed": True}, {"text": "44"}])
def test_another_result_is_another_history(change: dict[str, object]) -> None:
    """Once the model has answered to the first."""
    work = Work().run("Read").finish()
    result = work.messages[2]
    about, text = (
        (replace(result.answers, failed=True), "42")
        if "failed" in change and result.answers
        else (result.parts[0], "44")
    )
    work.messages = (*work.messages[:2], replace(result, parts=(about, TextPart(text))), *work.messages[3:])
    work.say("thanks")
    assert [turn.is_native for turn in work.met] == [False, True, False]


@pytest.mark.parametrize(
    "tools",
    [
        ToolUse(),
        ToolUse(WORK.tools.tools, Choice.NONE),
        ToolUse(WORK.tools.tools[:1]),
        ToolUse(WORK.tools.tools, allowed=("Read",)),
        ToolUse((*WORK.tools.tools, ToolSpec("Fly"))),
        ToolUse((ToolSpec("Read", "Read it."), WORK.tools.tools[1])),
        ToolUse((replace(WORK.tools.tools[0], parameters='{"type": "object"}'), WORK.tools.tools[1])),
    ],
    ids=["no more", "none", "fewer", "some", "more", "other words", "other parameters"],
)
def test_other_tools_are_another_history(tools: ToolUse) -> None:
    """The model has been told of others."""
    work = Work().run("Read")
    work.request = replace(work.request, tools=tools)
    work.finish()
    assert [turn.is_native for turn in work.kimi.turns] == [False, False]
    assert ("Read a file." in work.kimi.turns[1].text) is ("Read a file." in {tool.description for tool in tools.told})


@pytest.mark.parametrize(
    "tools",
    [
        ToolUse(WORK.tools.tools, Choice.REQUIRED),
        ToolUse(WORK.tools.tools, parallel=False),
        ToolUse(WORK.tools.tools[::-1]),
        ToolUse(WORK.tools.tools, allowed=("Read", "Walk")),
        ToolUse((replace(WORK.tools.tools[0], eager=True), WORK.tools.tools[1])),
    ],
    ids=["required", "one call", "another order", "all allowed", "eager"],
)
def test_the_same_tools_in_another_use_are_the_same_history(tools: ToolUse) -> None:
    """The reminder tells of that."""
    work = Work().run("Read")
    work.request = replace(work.request, tools=tools)
    work.finish()
    assert [turn.is_native for turn in work.kimi.turns][:2] == [False, True]


def test_a_task_with_tools_is_merged_in_the_same_marks() -> None:
    """Another account is told the whole history; its own marks stand in it, and no other."""
    work = Work(accounts=(ANN, BOB)).run("Read")
    work.kimi.outcomes = ["refused"]
    work.finish()
    theirs = Terms.of(replace(WORK, messages=work.messages), MODELS.choose("kimi"), BOB.secret).marks
    assert theirs is not None
    text = work.kimi.turns[-1].text
    assert not work.kimi.turns[-1].is_native
    assert text.count(f'{theirs.call} name="Read">\n{ARGUMENTS}') == 1
    assert text.count(f'{theirs.result} id="1" name="Read">\n42\n') == 1
    assert {mark[-4:] for mark in re.findall(r"<(?:call|result):[A-Z0-9]{4}", text)} == {theirs.nonce}


# --- Conversations that are gone ---------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["connect", "rest"])
def test_a_conversation_that_is_gone_is_replaced(protocol: str) -> None:
    """One attempt more, merged; the client sees an answer and nothing else."""
    talk = Talk(accounts=(refreshable(),), protocol=protocol).say("hi")
    del talk.kimi.chats["chat-0"]
    events = talk.send(talk.wants("and?"))
    assert [type(event) for event in events if isinstance(event, Served | Failed)] == [Served]
    assert text_of(events) == talk.kimi.words(2)
    assert not talk.last.is_native
    assert talk.house.ledger_of() == [talk.last.chat_id]


def test_a_message_that_is_gone_is_no_reason_to_fail_either() -> None:
    """The person may have deleted it."""
    talk = Talk().say("hi")
    talk.kimi.chats["chat-0"].nodes.clear()
    assert text_of(talk.send(talk.wants("and?"))) == talk.kimi.words(2)
    assert not talk.last.is_native
    assert talk.kimi.deleted == ["chat-0"]


def test_a_new_conversation_that_is_refused_as_invalid_is_not_tried_again() -> None:
    """There is nothing to replace; the request itself is at fault."""
    kimi = FakeKimi(failing(InvalidRequest("no")))
    assert isinstance(error_of(House(kimi).answer()), InvalidRequest)
    assert len(kimi.accounts) == 1


def test_a_request_that_is_at_fault_is_tried_in_a_new_conversation_once() -> None:
    """Whether the conversation is to blame cannot be told."""
    kimi = FakeKimi(answering(), failing(InvalidRequest("no")), failing(InvalidRequest("no")))
    house = House(kimi)
    house.answer(request=ASKED)
    assert isinstance(error_of(house.answer(request=THEN)), InvalidRequest)
    assert kimi.continued == [None, Continuation("chat-1", "message-1"), None]


# --- The client's own name for its conversation ------------------------------------------------------------

NAMED = ChatRequest("kimi", (), session="session-1")


@pytest.mark.parametrize(
    ("kept", "native"),
    [
        ("<think>well</think>\n\nAnswer 1.", True),
        ("Answer\n\n1.", True),
        ("Answer  1. ", True),
        ("Answer 2.", False),
        ("Answer 1", False),
    ],
)
def test_a_session_recognises_an_answer_that_was_laid_out_anew(kept: str, *, native: bool) -> None:
    """But never an edited one."""
    talk = Talk(request=NAMED).say("hi").edit(1, kept).say("and?")
    assert talk.last.is_native is native


def test_without_a_session_the_layout_counts() -> None:
    """Only edges and thinking do not."""
    assert not Talk().say("hi").edit(1, "Answer\n\n1.").say("and?").last.is_native
    assert Talk().say("hi").edit(1, " Answer 1.\n").say("and?").last.is_native


def test_equal_conversations_of_two_sessions_do_not_mix() -> None:
    """Each goes on in its own, in any order, although every word is the same."""
    kimi = TreeKimi(words=lambda _: "OK")
    one = Talk(kimi, request=NAMED).say("hi")
    two = Talk(kimi, request=replace(NAMED, session="session-2"), house=one.house).say("hi")
    one.say("and?")
    two.say("and?")
    one.say("so?")
    assert [turn.chat_id for turn in one.met] == ["chat-0", "chat-1", "chat-0", "chat-1", "chat-0"]


def test_a_session_s_name_alone_leads_nowhere() -> None:
    """A client that begins anew under the same name gets a new conversation."""
    talk = Talk(request=NAMED).say("hi")
    talk.messages = turns("another", "opening")
    assert untouched(talk.say("and?"), nodes=2)


# --- The records -------------------------------------------------------------------------------------------

HOLDER = Holder("account", b"secret", "connect")
ASKED = ChatRequest("kimi", turns("hi"))
THEN = replace(ASKED, messages=turns("hi", "hello", "and?"))


class Shelf:
    """The records of conversations, and the hand that puts ASKED's there."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore(MEMORY, clock=self.clock)
        self.records = Continuity(self.store, ttl=TTL)

    def remember(self, conversation_id: str = "chat-1", tip: str | None = "message-1") -> Shelf:
        """Put the conversation of ASKED there."""
        self.records.remember(
            HOLDER, after(ASKED, "kimi", Message.of(Role.ASSISTANT, "hello")), Continuation(conversation_id, tip)
        )
        return self


@pytest.mark.parametrize("tip", ["message-1", None])
def test_a_record_says_where_to_go_on(tip: str | None) -> None:
    """Conversation and message."""
    found = Shelf().remember(tip=tip).records.find(THEN, "kimi", [HOLDER])
    assert found is not None
    assert [found.holder.account, found.idle.continuation] == ["account", Continuation("chat-1", tip)]


@pytest.mark.parametrize(
    "holders",
    [
        [],
        [Holder("another", b"secret", "connect")],
        [Holder("account", b"another", "connect")],
        [Holder("account", b"secret", "rest")],
    ],
    ids=["nobody", "account", "secret", "protocol"],
)
def test_a_record_is_found_by_its_holder_only(holders: list[Holder]) -> None:
    """By name, secret and protocol."""
    assert Shelf().remember().records.find(THEN, "kimi", holders) is None


def test_a_record_is_found_among_several_accounts() -> None:
    """The account that holds it is told."""
    holders = [Holder("another", b"other", "connect"), HOLDER]
    found = Shelf().remember().records.find(THEN, "kimi", holders)
    assert found is not None
    assert found.holder.account == "account"


def test_a_record_is_claimed_once() -> None:
    """Whoever finds it at the same time comes too late; given back, it can be claimed again."""
    records = Shelf().remember().records
    one, two = (records.find(THEN, "kimi", [HOLDER]) for _ in range(2))
    assert one is not None
    assert two is not None
    assert [records.claim(one), records.claim(two)] == [True, False]
    assert records.find(THEN, "kimi", [HOLDER]) is None
    records.give_back(one)
    found = records.find(THEN, "kimi", [HOLDER])
    assert found is not None
    assert records.claim(found)


def test_a_record_that_has_changed_cannot_be_claimed_by_its_old_look() -> None:
    """The conversation is at another message now."""
    shelf = Shelf().remember()
    old = shelf.records.find(THEN, "kimi", [HOLDER])
    shelf.remember(tip="message-3")
    assert old is not None
    assert not shelf.records.claim(old)


def test_a_conversation_is_found_at_its_tip_only() -> None:
    """The names of earlier turns lead to it no more."""
    shelf = Shelf().remember()
    shelf.records.remember(
        HOLDER, after(THEN, "kimi", Message.of(Role.ASSISTANT, "so")), Continuation("chat-1", "message-3")
    )
    assert shelf.records.find(THEN, "kimi", [HOLDER]) is None
    later = replace(THEN, messages=turns("hi", "hello", "and?", "so", "well?"))
    assert shelf.records.find(later, "kimi", [HOLDER]) is not None


def test_a_record_expires() -> None:
    """After its time, also one that was given back."""
    shelf = Shelf().remember()
    shelf.clock.advance(TTL - 1)
    found = shelf.records.find(THEN, "kimi", [HOLDER])
    assert found is not None
    shelf.clock.advance(1)
    assert shelf.records.find(THEN, "kimi", [HOLDER]) is None
    assert not shelf.records.claim(found)


def test_records_do_not_tell_what_was_said() -> None:
    """Neither in keys nor in values."""
    shelf = Shelf().remember()
    rows = shelf.store._connection.execute("SELECT key, value FROM item").fetchall()
    assert len(rows) == 2
    assert not any(word in str(row) for row in rows for word in ("hello", "hi'", "secret"))


def test_the_owner_of_a_conversation_is_remembered() -> None:
    """Among several accounts; one alone is the owner of whatever it names."""
    shelf = Shelf()
    assert shelf.records.owner("chat-1", ["account"]) == "account"
    assert shelf.records.owner("chat-1", ["another", "account"]) is None
    shelf.records.own("account", "chat-1")
    assert shelf.records.owner("chat-1", ["another", "account"]) == "account"
    assert shelf.records.owner("chat-2", ["another", "account"]) is None
    shelf.clock.advance(OWNER_LIFE)
    assert shelf.records.owner("chat-1", ["another", "account"]) is None


# --- The simulated Kimi itself -----------------------------------------------------------------------------


def test_a_wrong_thread_would_be_seen() -> None:
    """The check that all tests here rest on can fail."""
    kimi = Talk().say("hi", "and?").kimi
    turn = kimi.turns[-1]
    assert turn.is_true
    assert not replace(turn, before=()).is_true
    assert not replace(turn, text="another").is_true
    assert not replace(turn, before=turn.before[:1]).is_true
    assert not replace(turn, before=(*turn.before, *turn.before)).is_true
    wrong = replace(turn.request, messages=turns("hi", "Answer 2.", "and?"))
    assert not replace(turn, request=wrong).is_true
