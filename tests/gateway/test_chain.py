"""Everything that is done to an answer between Kimi and the client."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import (
    Annotation,
    Cited,
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
    Warned,
)
from app.chat.request import (
    ChatRequest,
    Choice,
    JsonFormat,
    Message,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    ToolSpec,
    ToolUse,
)
from app.chat.stages import ended
from app.chat.tokens import PER_MESSAGE, estimate
from app.errors import RateLimitExceeded, StructuredOutputFailed, ToolCallUnreadable
from app.gateway.chain import Chain, Terms, new_call_id
from app.toolcalls.asking import UNMET
from app.toolcalls.marks import Marks
from tests.gateway.houses import MODELS, said, user

SECRET = b"secret"
SCHEMA = json.dumps({"type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}})
TOOLS = ToolUse((ToolSpec("Read", "Read a file.", SCHEMA), ToolSpec("Walk", "", "{}", eager=True)))
POINT = JsonFormat('{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]}')
ASKED = ChatRequest("kimi", (user("hi"),))
SOURCE = Source("https://a.example/", "A")
QUOTA = Failed(RateLimitExceeded("no"))


def asking(*messages: Message, **fields: object) -> ChatRequest:
    """A request of these messages."""
    return replace(ASKED, messages=messages or ASKED.messages, **fields)  # type: ignore[arg-type] # by their names


def terms(request: ChatRequest, secret: bytes = SECRET) -> Terms:
    """The terms of a request for an account."""
    return Terms.of(request, MODELS.choose(request.model), secret)


def marks_of(request: ChatRequest, secret: bytes = SECRET) -> Marks:
    """The marks of its tools."""
    marks = terms(request, secret).marks
    assert marks is not None
    return marks


def call(marks: Marks, name: str = "Read", arguments: str = '{"path": "/a"}') -> str:
    """A call as the model has to print it."""
    return f'{marks.call} name="{name}">\n{arguments}\n{marks.call_end}>'


def chain_of(request: ChatRequest, *, errs: bool = False) -> Chain:
    """The stages of an answer; its calls have ids that tell their order."""
    numbers = iter(range(1, 100))
    return Chain(terms(request), errs=errs, new_id=lambda: f"call-{next(numbers)}")


def passed(chain: Chain, *events: Event | str) -> list[Event]:
    """What comes of these, one after the other; texts stand for themselves."""
    return [out for event in events for out in chain([TextDelta(event) if isinstance(event, str) else event])]


def text_of(events: Sequence[Event]) -> str:
    """What a client reads."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def usage_of(events: Sequence[Event]) -> Usage:
    """What was counted."""
    (usage,) = (event for event in events if isinstance(event, Usage))
    return usage


# --- The terms ---------------------------------------------------------------------------------------------

RESULT = Message(Role.TOOL, (ToolResultPart("a"), TextPart("42")))
CALLED = Message(Role.ASSISTANT, (ToolCallPart("a", "Read", "{}"),))


@pytest.mark.parametrize(
    ("request_", "marked"),
    [
        (ASKED, False),
        (asking(user("hi"), said("hello"), user("and?")), False),
        (asking(tools=ToolUse((), Choice.NONE)), False),
        (asking(tools=TOOLS), True),
        (asking(tools=replace(TOOLS, choice=Choice.NONE)), True),
        (asking(user("hi"), CALLED, RESULT, user("and?")), True),
        (asking(user("hi"), CALLED, user("and?")), True),
        (asking(user("hi"), said("hello"), RESULT), True),
    ],
    ids=[
        "plain",
        "history",
        "none of none",
        "tools",
        "none",
        "calls",
        "a call without result",
        "a result without call",
    ],
)
def test_there_are_marks_where_there_are_tools_now_or_before(request_: ChatRequest, *, marked: bool) -> None:
    """An answer without them is read as it stands."""
    assert (terms(request_).marks is not None) is marked


@pytest.mark.parametrize(
    ("model", "use_search", "searches"),
    [
        ("kimi", None, False),
        ("kimi", True, True),
        ("kimi-search", None, True),
        ("kimi-search", False, False),
        ("kimi-research", None, True),
        ("kimi-research", False, True),
    ],
)
def test_the_model_is_told_of_search_where_that_is_on(model: str, use_search: object, *, searches: bool) -> None:
    """By its name or the request; research always searches."""
    request = asking(model=model, use_search=use_search, tools=TOOLS)
    assert terms(request).searches is searches
    assert ("the internet search is on" in terms(request).guide(told=False).section) is searches


def test_the_model_is_told_of_tools_and_form() -> None:
    """In the marks of the conversation."""
    guide = terms(asking(tools=TOOLS, form=POINT)).guide(told=False)
    assert guide.marks is not None
    assert [guide.marks.call in guide.section, guide.marks.call in guide.closing] == [True, True]
    assert "JSON Schema" in guide.closing
    assert terms(ASKED).guide(told=False).section == terms(ASKED).guide(told=True).closing == ""


SYSTEM = Message.of(Role.SYSTEM, "Be brief.")
LATER = st.lists(st.sampled_from([user("and?"), said("hello"), CALLED, RESULT, SYSTEM, user("hi")]), max_size=4).map(
    tuple
)
OPENINGS = [
    (user("hi"),),
    (SYSTEM, user("hi")),
    (SYSTEM, SYSTEM, user("hi")),
    (SYSTEM, CALLED),
    (SYSTEM, said("Welcome!"), user("hi")),
    (CALLED, RESULT),
]


@pytest.mark.parametrize("opening", OPENINGS)
@given(later=LATER)
def test_the_marks_stay_as_the_history_grows(opening: tuple[Message, ...], later: tuple[Message, ...]) -> None:
    """The model has seen them, and goes on using them; only another beginning has others."""
    first = asking(*opening, tools=TOOLS)
    grown = asking(*opening, *later, tools=TOOLS, stop=("a",), max_tokens=5, use_search=True)
    assert marks_of(first).nonce == marks_of(grown).nonce


def test_the_marks_stay_also_where_nobody_has_spoken_yet() -> None:
    """A program may begin with instructions alone."""
    nonces = {
        marks_of(asking(*messages, tools=TOOLS)).nonce
        for messages in [(SYSTEM,), (SYSTEM, CALLED, RESULT), (SYSTEM, CALLED, RESULT, said("x"), user("y"))]
    }
    assert len(nonces) == 1


def test_the_marks_of_other_accounts_and_beginnings_are_others() -> None:
    """Nobody learns them from a conversation of his own."""
    beginnings = [(user("hi"),), (user("ho"),), (SYSTEM, user("hi")), (Message.of(Role.SYSTEM, "Be long."), user("hi"))]
    requests = [asking(*messages, tools=TOOLS) for messages in beginnings]
    nonces = {marks_of(request, secret).nonce for request in requests for secret in (b"one", b"two")}
    assert len(nonces) == 8


def test_a_conversation_that_the_client_names_has_marks_by_its_name() -> None:
    """Only what is new comes with each turn."""
    named = [asking(user(text), conversation_id="chat-1", tools=TOOLS) for text in ("hi", "and?")]
    other = asking(user("hi"), conversation_id="chat-2", tools=TOOLS)
    assert marks_of(named[0]).nonce == marks_of(named[1]).nonce != marks_of(other).nonce


# --- The order of the stages -------------------------------------------------------------------------------


def test_an_answer_goes_through_all_stages() -> None:
    """Calls out of the text, a stop in what is left, citations, and the count behind all."""
    request = asking(tools=TOOLS, stop=("END",), model="kimi-search")
    text: list[Event | str] = ["Rain", Cited((SOURCE,)), ".\n", call(marks_of(request)), "\nBye END ", Finished()]
    events = passed(chain_of(request), *text)
    assert text_of(events) == "Rain[1].\nBye \n\nSources:\n1. [A](https://a.example/)"
    assert [event for event in events if isinstance(event, Annotation)] == [Annotation(SOURCE, 4, 7)]
    assert [event.call_id for event in events if isinstance(event, ToolCallStart)] == ["call-1"]
    assert isinstance(events[-2], Usage)
    assert events[-1] == Finished("tool_calls", stopped_by="END", cut=True)


def test_a_stop_in_the_arguments_of_a_call_stops_nothing() -> None:
    """Nor do marks."""
    request = asking(tools=TOOLS, stop=("path", "call"))
    events = passed(chain_of(request), call(marks_of(request)), Finished())
    assert events[-1] == Finished("tool_calls")


def test_the_words_of_an_answer_that_is_limited_are_counted_with_its_calls() -> None:
    """And a call that is cut stays a piece."""
    request = asking(tools=TOOLS, max_tokens=4)
    events = passed(chain_of(request), call(marks_of(request), arguments='{"path": "one two three four"}'), Finished())
    assert events[-1] == Finished("length", cut=True)
    assert [type(event) for event in events[:-2]] == [ToolCallStart, ToolCallDelta]
    assert not any(isinstance(event, ToolCallEnd) for event in events)


def test_a_form_takes_what_the_limits_have_left() -> None:
    """JSON that a limit has cut is none."""
    for form, stage in ((JsonFormat(), asking()), (POINT, asking(tools=TOOLS))):
        events = passed(chain_of(replace(stage, form=form, max_tokens=1)), '{"x": 1234567, "y": 1}', Finished())
        error = events[-1]
        assert isinstance(error, Failed)
        assert isinstance(error.error, StructuredOutputFailed)
        assert "limit of tokens" in error.error.message


def test_an_object_streams_where_no_tool_can_be_called() -> None:
    """With tools it has to be waited for: the answer may call instead."""
    plain, with_tools, none = (
        chain_of(asking(form=JsonFormat(), tools=tools))
        for tools in (ToolUse(), TOOLS, replace(TOOLS, choice=Choice.NONE))
    )
    assert text_of(passed(plain, '{"a": "long', " story")) == '{"a": "long story'
    assert text_of(passed(none, '{"a": "long', " story")) == '{"a": "long story'
    assert text_of(passed(with_tools, '{"a": "long', " story")) == ""


def test_a_form_has_no_list_of_sources() -> None:
    """It would be no JSON any more."""
    request = asking(model="kimi-search", form=JsonFormat())
    events = passed(chain_of(request), SOURCE, '{"a": 1}', Finished())
    assert text_of(events) == '{"a": 1}'
    assert [event for event in events if isinstance(event, Annotation)] == [Annotation(SOURCE, 8, 8)]


def test_strings_arrive_letter_by_letter_where_the_client_asks_for_it() -> None:
    """And member by member elsewhere; where a call has to come, with its end."""
    for name, choice, pieces in (("Read", Choice.AUTO, 0), ("Walk", Choice.AUTO, 1), ("Walk", Choice.REQUIRED, 0)):
        request = asking(tools=replace(TOOLS, choice=choice))
        begun = call(marks_of(request), name, '{"path": "a long story"}').partition("story")[0]
        events = passed(chain_of(request), begun)
        assert sum(isinstance(event, ToolCallDelta) for event in events) == pieces


def test_an_answer_that_follows_a_result_is_known() -> None:
    """What it announces is missed then."""
    for last, asked in ((RESULT, True), (user("and?"), False)):
        request = asking(user("hi"), CALLED, last, tools=TOOLS)
        chain = chain_of(request)
        passed(chain, "Next I read:", Finished())
        assert (chain.follow_up is not None) is asked


def test_a_call_that_had_to_come_may_be_an_error() -> None:
    """As the operator sees fit."""
    request = asking(tools=replace(TOOLS, choice=Choice.REQUIRED))
    for errs in (False, True):
        chain = chain_of(request, errs=errs)
        passed(chain, "No.", Finished())
        chain.begin()
        events = passed(chain, "No.", Finished())
        assert isinstance(events[-1], Failed) is errs
        assert errs or Warned(UNMET) in events


def test_ids_of_calls_are_drawn() -> None:
    """They look as the vendor's do."""
    assert new_call_id() != new_call_id()
    assert new_call_id().startswith("call_")
    request = asking(tools=TOOLS)
    (start,) = (
        event
        for event in Chain(terms(request), errs=False)([TextDelta(call(marks_of(request))), Finished()])
        if isinstance(event, ToolCallStart)
    )
    assert start.call_id.startswith("call_")


# --- Counting ----------------------------------------------------------------------------------------------


def test_what_the_client_sent_is_counted() -> None:
    """Its messages, calls and tools, none of what the gateway adds."""
    called = Message(Role.ASSISTANT, (TextPart("Let me see."), ToolCallPart("a", "Read", '{"path": "/a"}')))
    request = asking(SYSTEM, user("hi"), called, RESULT, tools=TOOLS, form=POINT)
    sent = ["Be brief.", "hi", "Let me see.", "42", '{"path": "/a"}', f"Read Read a file. {SCHEMA}", "Walk  {}"]
    events = passed(chain_of(request), '{"x": 1}', Finished())
    assert usage_of(events).prompt == sum(map(estimate, sent)) + 4 * PER_MESSAGE


def test_tools_that_are_not_told_are_not_counted() -> None:
    """They are not sent."""
    counts = [
        usage_of(passed(chain_of(asking(tools=tools)), "a", Finished())).prompt
        for tools in (ToolUse(), replace(TOOLS, choice=Choice.NONE))
    ]
    assert counts == [estimate("hi") + PER_MESSAGE] * 2


def test_what_the_client_was_given_is_counted() -> None:
    """Not what the model said in vain, nor what it was asked."""
    request = asking(tools=TOOLS)
    marks = marks_of(request)
    chain = chain_of(request)
    events = passed(chain, ThinkingDelta("hm"), call(marks, "Fly"), Finished())
    chain.begin()
    events += passed(chain, "Sorry, here it is.", call(marks), Finished())
    usage = usage_of(events)
    assert [usage.completion, usage.reasoning] == [estimate('{"path": "/a"}'), estimate("hm")]


# --- Several answers of the model's ------------------------------------------------------------------------


def test_a_conversation_is_named_once() -> None:
    """However many turns there are in it."""
    request = asking(tools=TOOLS)
    chain = chain_of(request)
    events = passed(chain, Opened("chat-1"), call(marks_of(request), "Fly"), Finished())
    assert [chain.follow_up is not None, ended(events)] == [True, False]
    chain.begin()
    events += chain([Opened("chat-1"), TextDelta("Well.")])
    events += passed(chain, Finished())
    assert [event for event in events if isinstance(event, Opened)] == [Opened("chat-1")]
    assert [chain.follow_up, events[-1]] == [None, Finished()]


def test_an_answer_without_tools_and_form_asks_nothing() -> None:
    """Whatever it says."""
    chain = chain_of(ASKED)
    assert passed(chain, "I do not have access to any tools:", Finished())[-1] == Finished()
    assert [chain.follow_up, chain.conclude()] == [None, []]


@pytest.mark.parametrize("tools", [ToolUse(), TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("form", [JsonFormat(), POINT], ids=["object", "schema"])
def test_a_form_that_is_asked_for_again_is_limited_anew(form: JsonFormat, tools: ToolUse) -> None:
    """It begins anew; with tools in between that had judged the first one, too."""
    chain = chain_of(asking(form=form, tools=tools, max_tokens=12, stop=("END",)))
    assert passed(chain, "I would rather talk about this.", Finished()) == []
    chain.begin()
    events = passed(chain, ThinkingDelta("hm"), '{"x": 123, "y": 1}', Finished())
    assert [json.loads(text_of(events)), events[-1], events[0]] == [{"x": 123, "y": 1}, Finished(), ThinkingDelta("hm")]


def test_a_form_that_is_asked_for_again_may_call() -> None:
    """The model has thought better of it."""
    request = asking(form=POINT, tools=TOOLS)
    chain = chain_of(request)
    passed(chain, "I would rather talk.", Finished())
    chain.begin()
    events = passed(chain, call(marks_of(request)), Finished())
    assert events[-1] == Finished("tool_calls")
    assert [event.index for event in events if isinstance(event, ToolCallStart)] == [0]


def test_a_call_that_is_asked_for_again_may_become_the_form() -> None:
    """What was said before it is no part of the value."""
    request = asking(form=POINT, tools=TOOLS)
    chain = chain_of(request)
    assert passed(chain, f"Let me see.\n{call(marks_of(request), 'Fly')}", Finished()) == []
    chain.begin()
    events = passed(chain, 'It is {"x": 1}.', Finished())
    assert [text_of(events), events[-1]] == ['{"x": 1}', Finished()]


def test_a_limit_goes_on_over_all_answers_of_words() -> None:
    """The client is given one answer."""
    request = asking(user("hi"), CALLED, RESULT, tools=TOOLS, max_tokens=8)
    chain = chain_of(request)
    events = passed(chain, "One two three four:", Finished())
    chain.begin()
    events += passed(chain, "Five six seven eight nine ten.", Finished())
    assert events[-1] == Finished("length", cut=True)
    assert estimate(text_of(events)) <= 8


# --- Where the model cannot be asked -----------------------------------------------------------------------


def test_an_answer_ends_as_it_stands_where_nothing_can_be_asked() -> None:
    """Through the stages behind the one that would have asked."""
    request = asking(tools=TOOLS)
    chain = chain_of(request)
    passed(chain, call(marks_of(request), "Fly", '{"to": "Rome"}'), Finished())
    events = chain.conclude()
    assert text_of(events) == 'Fly\n```json\n{"to": "Rome"}\n```'
    assert [isinstance(events[-2], Usage), events[-1], chain.follow_up] == [True, Finished(), None]


def test_what_cannot_be_used_is_an_error_where_nothing_can_be_asked() -> None:
    """Of calls and of forms."""
    request = asking(tools=TOOLS)
    chain = chain_of(request)
    passed(chain, call(marks_of(request), arguments="=="), Finished())
    assert [type(event.error) for event in chain.conclude() if isinstance(event, Failed)] == [ToolCallUnreadable]
    chain = chain_of(asking(form=POINT))
    passed(chain, "No.", Finished())
    assert [type(event.error) for event in chain.conclude() if isinstance(event, Failed)] == [StructuredOutputFailed]


@pytest.mark.parametrize(("text", "ends"), [("No.", Failed), ('{"x": 1}', Finished), ('{"x": "a"}', Failed)])
def test_a_form_behind_tools_cannot_ask_either(text: str, ends: type[Event]) -> None:
    """An answer never goes without an end."""
    request = asking(form=POINT, tools=replace(TOOLS, choice=Choice.REQUIRED))
    chain = chain_of(request)
    assert passed(chain, text, Finished()) == []
    events = chain.conclude()
    assert [type(events[-1]), chain.follow_up] == [ends, None]


# --- Whatever comes ----------------------------------------------------------------------------------------

REQUESTS = st.builds(
    lambda use, form, limits: asking(tools=use, form=form, **limits),
    st.sampled_from([ToolUse(), TOOLS, replace(TOOLS, choice=Choice.REQUIRED), replace(TOOLS, parallel=False)]),
    st.sampled_from([None, JsonFormat(), POINT, replace(POINT, strict=False)]),
    st.sampled_from([{}, {}, {"stop": ("END", "So")}, {"max_tokens": 6}]),
)
WORDS = st.sampled_from(
    ["So: ", '{"x": 1}', '{"x": ', "1}", "END", "@read", "@fly", "@broken", "@cut", " ", "I have no tools.", "@thought"]
)


@given(
    REQUESTS,
    st.lists(
        st.tuples(st.lists(WORDS, max_size=5), st.sampled_from([Finished(), Finished(), QUOTA])), min_size=7, max_size=7
    ),
)
def test_every_answer_has_one_end_after_few_questions(
    request_: ChatRequest, answers: list[tuple[list[str], Event]]
) -> None:
    """Whichever stage asks, and whatever the model makes of it."""
    marks = terms(request_).marks or Marks("ABCD")
    thought = ThinkingDelta(call(marks))
    words: dict[str, Event | str] = {
        "@read": call(marks),
        "@fly": call(marks, "Fly"),
        "@broken": call(marks, arguments="=="),
        "@cut": call(marks).partition("/a")[0],
        "@thought": thought,
    }
    chain = chain_of(request_)
    events: list[Event] = []
    questions = 0
    for pieces, end in answers:
        events += passed(chain, *(words.get(piece, piece) for piece in pieces), end)
        if ended(events):
            break
        assert chain.follow_up is not None
        questions += 1
        chain.begin()
    assert questions <= 4
    assert [event for event in events if isinstance(event, Finished | Failed)] == events[-1:]
    starts = [event.index for event in events if isinstance(event, ToolCallStart)]
    assert starts == [*range(len(starts))]
    assert terms(request_).marks is None or not marks.pattern.search(text_of(events))
    if isinstance(events[-1], Finished) and request_.form is not None and not starts:
        assert isinstance(json.loads(text_of(events)), dict)


@given(REQUESTS, st.lists(WORDS.filter(lambda word: word[0] != "@"), max_size=5))
def test_an_answer_that_cannot_be_asked_about_has_an_end_too(request_: ChatRequest, pieces: list[str]) -> None:
    """The same, once."""
    chain = chain_of(request_)
    events = passed(chain, *pieces, Finished())
    if not ended(events):
        assert chain.follow_up is not None
        events += chain.conclude()
        assert chain.follow_up is None
    assert [event for event in events if isinstance(event, Finished | Failed)] == events[-1:]
