"""An answer that has to be JSON: it is that, or it is an error."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NoReturn

import pytest
from hypothesis import example, given
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
    Warned,
)
from app.chat.request import JsonFormat
from app.errors import GatewayError, StructuredOutputFailed, UpstreamBusy
from app.toolcalls.marks import Marks
from app.toolcalls.schema import problems
from app.toolcalls.structured import MAX_AFTER, MAX_FOLLOW_UPS, ObjectReading, ValueReading
from tests.drip import drip

SOURCE = Source("https://a.example/", "A")
BUSY = Failed(UpstreamBusy("no"))
POINT = json.dumps(
    {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
        "required": ["x"],
        "additionalProperties": False,
    }
)
STRICT, LAX, FREE = JsonFormat(POINT), JsonFormat(POINT, strict=False), JsonFormat()
CALL: list[Event] = [ToolCallStart(0, "call-1", "Read"), ToolCallDelta(0, "{}"), ToolCallEnd(0)]
LIMIT = Finished("length", cut=True)
STOP = Finished("stop", stopped_by="END", cut=True)

Reading = ObjectReading | ValueReading


def stages(form: JsonFormat | None) -> Reading:
    """The stage for a form; None is that of any object."""
    return ObjectReading() if form is None else ValueReading(form)


def fed(reading: Reading, *events: Event | str) -> list[Event]:
    """What comes of these, one after the other; texts stand for themselves."""
    return [out for event in events for out in reading([TextDelta(event) if isinstance(event, str) else event])]


def text_of(events: Sequence[Event]) -> str:
    """What a client reads."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def words_of(events: Sequence[Event]) -> list[str]:
    """The words of warning."""
    return [event.word for event in events if isinstance(event, Warned)]


def refuse(word: str) -> NoReturn:
    """JSON has no such number."""
    raise ValueError(word)


def value_of(events: Sequence[Event]) -> object:
    """The JSON value of an answer that ended well."""
    assert isinstance(events[-1], Finished)
    value: object = json.loads(text_of(events), parse_constant=refuse)
    return value


def error_of(events: Sequence[Event]) -> GatewayError:
    """The error that ends an answer."""
    assert isinstance(events[-1], Failed)
    return events[-1].error


FORMS = pytest.mark.parametrize("form", [None, STRICT, LAX, FREE], ids=["object", "strict", "lax", "free"])


# --- Where the JSON stands ---------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1}',
        '\n {"x": 1}\n ',
        '```json\n{"x": 1}\n```',
        '```\n{"x":\n 1}\n```',
        'Here it is:\n\n```JSON\n{"x": 1}\n```\nThat is all.',
        'Sure! {"x": 1} is the point.',
        '{"x": 1}\n\nI hope that helps {you}.',
        'A {point} is {"x": 1}.',
        '{"x": 1,}',
    ],
)
def test_a_value_is_taken_out_of_what_stands_around_it(form: JsonFormat | None, text: str) -> None:
    """Fences and prose, also with brackets in it."""
    assert value_of(fed(stages(form), text, Finished())) == {"x": 1}


@FORMS
def test_a_code_fence_in_a_string_is_no_fence(form: JsonFormat | None) -> None:
    """The value is JSON, whatever it holds."""
    text = json.dumps({"x": 1, "y": "```json\n{}\n```"})
    events = fed(stages(None if form is None else FREE), f"```json\n{text}\n```", Finished())
    assert value_of(events) == json.loads(text)


@pytest.mark.parametrize("form", [STRICT, LAX, FREE], ids=["strict", "lax", "free"])
@pytest.mark.parametrize(
    "text",
    [
        'As it says [1], {"x": 1}.',
        'Not {"a": 2} but {"x": 1}.',
        '```json\n{"a": 2}\n```\nor rather\n```json\n{"x": 1}\n```',
        '[] {"x": 1}',
    ],
)
def test_of_several_values_the_first_that_fits_is_meant(form: JsonFormat, text: str) -> None:
    """A citation in brackets is JSON too."""
    events = fed(ValueReading(form), text, Finished())
    first = {"a": 2} if form is FREE and "{" in text.partition('"x"')[0][:-2] else {"x": 1}
    assert [value_of(events), words_of(events)] == [first, []]


@FORMS
@pytest.mark.parametrize(
    "text",
    [
        "{'a': {\"x\": 1}}",
        '[{"x": 1}, {"x": 2}]',
        '[{"x": 1}',
        '[one, {"x": 1}]',
        '{a: [{"x": 1}], b: {"x": 2}}',
    ],
)
def test_a_part_of_another_value_is_not_the_value(form: JsonFormat | None, text: str) -> None:
    """The rest of it would be lost without a word."""
    reading = stages(form)
    assert fed(reading, *text, Finished()) == []
    assert reading.follow_up is not None


@pytest.mark.parametrize("form", [FREE, LAX], ids=["free", "lax"])
@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"x": 1}, "b": ',
        '{"a": {"x": 1}, "b": oops}',
        '{"a": [{"x": 1}, {"x": 2}',
        'So:\n```json\n{"a": {"x": 1}, "b" 2}\n```',
    ],
)
def test_a_part_of_a_broken_value_is_not_the_value(form: JsonFormat, text: str) -> None:
    """It is asked for again."""
    reading = ValueReading(form)
    assert fed(reading, text, Finished()) == []
    assert reading.follow_up is not None


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "42", 42),
        ({"type": "string"}, '"hello"', "hello"),
        ({"type": "array", "items": {"type": "integer"}}, "So: [1, 2]", [1, 2]),
        ({"type": "array"}, '[{"a": 1}, {"b": 2}]', [{"a": 1}, {"b": 2}]),
        ({"type": ["object", "null"]}, "```\nnull\n```", None),
        (True, '{"a": 1}', {"a": 1}),
    ],
)
def test_a_schema_may_ask_for_any_value(schema: object, text: str, value: object) -> None:
    """Not for an object only."""
    assert value_of(fed(ValueReading(JsonFormat(json.dumps(schema))), text, Finished())) == value


def test_without_a_schema_it_has_to_be_an_object() -> None:
    """Nothing else counts."""
    for text in ("[1]", "42", '"a"'):
        for reading in (ObjectReading(), ValueReading(FREE)):
            assert fed(reading, text, Finished()) == []
            assert reading.follow_up is not None


# --- An object as it arrives -------------------------------------------------------------------------------


def test_an_object_is_passed_on_as_it_arrives() -> None:
    """Letter by letter, in the members and in long strings."""
    reading = ObjectReading()
    assert text_of(fed(reading, 'Here: {"title": "A long st')) == '{"title": "A long st'
    assert text_of(fed(reading, "ory", '", "pages": 12')) == 'ory"'
    assert text_of(fed(reading, ', "done": tr')) == ', "pages": 12'
    assert text_of(fed(reading, "ue}")) == ', "done": true}'
    assert fed(reading, "\nBye.", Finished()) == [Finished()]


@pytest.mark.parametrize(
    ("text", "value", "words"),
    [
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}, ["control_chars"]),
        ('{"a": "\\d"}', {"a": "\\d"}, ["bad_escape"]),
        ('{"a": "C:\\new", "b": 1}', {"a": "C:\\new", "b": 1}, []),
        ('{"a": [1, 2,], "b": 1}', {"a": [1, 2], "b": 1}, ["repaired"]),
        ('{"a": {"b": 1,},}', {"a": {"b": 1}}, ["repaired"]),
        ("{}", {}, []),
        ('{"a": 1, "a": 2}', {"a": 2}, []),
        ('{"a": "\\ud83d"}', {"a": "\ud83d"}, []),
    ],
)
def test_what_can_be_mended_where_it_stands_is_mended(text: str, value: object, words: list[str]) -> None:
    """The client gets one valid object, and is told what was done."""
    events = fed(ObjectReading(), text, Finished())
    if value == {"a": "C:\\new", "b": 1}:
        value = {"a": "C:\new", "b": 1}  # it is valid as it stands
    assert [value_of(events), words_of(events)] == [value, words]


@pytest.mark.parametrize("text", ['{"a": [1e999,]}', '{"a": 1e999}', '{"a": {"b": -1e999,}}'])
@FORMS
def test_a_number_beyond_all_numbers_is_never_written_as_a_word(form: JsonFormat | None, text: str) -> None:
    """JSON has no Infinity."""
    events = fed(stages(None if form is None else JsonFormat("{}")), text, Finished())
    assert events == [] or value_of(events)


def test_an_object_that_is_mended_as_a_whole_comes_at_the_end() -> None:
    """Nothing of it is sure before."""
    reading = ObjectReading()
    assert fed(reading, '{"a": 1 "b": 2', "}\n") == []
    events = fed(reading, Finished())
    assert [value_of(events), words_of(events)] == [{"a": 1, "b": 2}, ["repaired"]]


def test_what_was_passed_on_is_never_taken_back() -> None:
    """An object that turns out to be broken is an error, and nothing is asked."""
    reading = ObjectReading()
    events = fed(reading, '{"a": 1, "b": ==}', Finished())
    assert [text_of(events), reading.follow_up] == ['{"a": 1', None]
    assert isinstance(error_of(events), StructuredOutputFailed)


def test_an_object_that_breaks_off_is_an_error() -> None:
    """Only brackets may be missing, and only where the model ended by itself."""
    assert value_of(fed(ObjectReading(), '{"a": {"b": [1, "c"', Finished())) == {"a": {"b": [1, "c"]}}
    assert isinstance(error_of(fed(ObjectReading(), '{"a": 1, "b": "lo', Finished())), StructuredOutputFailed)
    assert isinstance(error_of(fed(ObjectReading(), '{"a": {"b": [1, "c"', LIMIT)), StructuredOutputFailed)


def test_a_value_that_is_too_deep_is_given_up() -> None:
    """Whatever follows it."""
    reading = ObjectReading()
    text = '{"a": ' + "[" * 5000 + "]" * 5000 + "}"
    assert fed(reading, text, ", and", ' "b": {', Finished()) == []
    assert reading.follow_up is not None


def test_a_model_that_goes_on_behind_its_object_is_stopped() -> None:
    """The client has all that it asked for."""
    reading = ObjectReading()
    assert fed(reading, '{"a": 1}', "a" * MAX_AFTER)[-1:] == [TextDelta("}")]
    assert fed(reading, "a") == [Finished(cut=True)]
    assert fed(reading, "a", Finished()) == []
    assert fed(ObjectReading(), '{"a": 1}' + "a" * 999)[-1] == Finished(cut=True)


def test_how_an_object_arrives_changes_nothing() -> None:
    """The value is the same however the network cuts it; only an escape may be written in two ways."""

    def read(pieces: Sequence[str]) -> tuple[object, list[str], bool]:
        events = fed(ObjectReading(), *filter(None, pieces), Finished())
        return value_of(events), words_of(events), isinstance(events[-1], Finished)

    text = 'Well {so}: ```json\n{"a\\n": "x\\q\\u00e9\n", "b": [1, {"c": null,}], "d": "C:\\\\x", "e": -1.5e3 }\n``` }.'
    assert drip(read, text, small=300)[2]


# --- A value that is held ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [STRICT, LAX, FREE], ids=["strict", "lax", "free"])
def test_a_value_comes_whole_at_the_end(form: JsonFormat) -> None:
    """Nothing can be taken back, and only the whole can be judged."""
    reading = ValueReading(form)
    assert fed(reading, '{"x"', ": 1", "}") == []
    assert fed(reading, Finished()) == [TextDelta('{"x": 1}'), Finished()]


def test_a_value_that_does_not_fit_is_asked_for_again_with_what_is_wrong() -> None:
    """In lines for a model, the first three."""
    reading = ValueReading(STRICT)
    assert fed(reading, '{"y": "a", "z": 1}', Finished()) == []
    asked = reading.follow_up
    assert asked == (
        "[Your answer cannot be used:\n"
        "- $: additional properties are not allowed: 'z'\n"
        "- $: 'x' is a required property\n"
        "- y: 'a' is not of type 'integer'\n"
        "Answer again: the corrected JSON alone, nothing else.]"
    )
    reading.begin()
    assert value_of(fed(reading, '{"x": 2}', Finished())) == {"x": 2}


def test_a_question_quotes_no_mark_of_the_model_s() -> None:
    """It would stand in the conversation as a call."""
    marks = Marks("K7Q2")
    reading = ValueReading(STRICT, marks)
    fed(reading, json.dumps({"x": marks.call, marks.result: 1}), Finished())
    asked = reading.follow_up or ""
    assert ["<\\call:K7Q2" in asked, "<\\result:K7Q2" in asked, marks.pattern.findall(asked)] == [True, True, []]


def test_a_lax_form_takes_what_does_not_fit_in_the_end() -> None:
    """Better than none; the client is told."""
    reading = ValueReading(LAX)
    for _ in range(MAX_FOLLOW_UPS):
        assert fed(reading, '{"y": 1}', Finished()) == []
        reading.begin()
    events = fed(reading, 'Well: {"y": 2}', Finished())
    assert [value_of(events), words_of(events)] == [{"y": 2}, ["schema_mismatch"]]


@pytest.mark.parametrize("text", ["Hello.", '{"x": ', "", "I cannot do that."])
def test_a_lax_form_takes_no_prose(text: str) -> None:
    """JSON it has to be."""
    reading = ValueReading(LAX)
    for _ in range(MAX_FOLLOW_UPS):
        assert fed(reading, *filter(None, [text]), Finished()) == []
        reading.begin()
    assert isinstance(error_of(fed(reading, *filter(None, [text]), Finished())), StructuredOutputFailed)


def test_what_was_mended_is_told() -> None:
    """In words for programs, before the value."""
    assert words_of(fed(ValueReading(STRICT), '{"x": 1,}', Finished())) == ["repaired"]


# --- Asked again -------------------------------------------------------------------------------------------


@FORMS
def test_what_cannot_be_used_is_asked_for_again_and_then_an_error(form: JsonFormat | None) -> None:
    """Twice, never more; the error says what was at fault."""
    reading = stages(form)
    for _ in range(MAX_FOLLOW_UPS):
        assert fed(reading, "I would rather talk.", Finished(), "More.", BUSY) == []
        assert reading.follow_up is not None
        assert reading.follow_up.startswith("[Your answer ")
        reading.begin()
    error = error_of(fed(reading, "I would rather talk.", Finished()))
    assert [error.status, error.code, error.param] == [502, "structured_output_failed", None]
    assert "of the form" in error.message
    assert reading.follow_up is None


@FORMS
def test_the_answer_to_the_question_is_the_answer(form: JsonFormat | None) -> None:
    """Nothing is left of the one before."""
    reading = stages(form)
    fed(reading, 'It is {"x": oops', Finished())
    reading.begin()
    assert value_of(fed(reading, '{"x": 1}', Finished())) == {"x": 1}


@FORMS
def test_where_the_model_cannot_be_asked_it_is_an_error(form: JsonFormat | None) -> None:
    """As after all questions."""
    reading = stages(form)
    fed(reading, "I would rather talk.", Finished())
    assert isinstance(error_of(reading.conclude()), StructuredOutputFailed)
    assert reading.follow_up is None


def test_where_the_model_cannot_be_asked_a_lax_form_takes_what_there_is() -> None:
    """It has come this far."""
    reading = ValueReading(LAX)
    fed(reading, '{"y": 1}', Finished())
    events = reading.conclude()
    assert [value_of(events), words_of(events)] == [{"y": 1}, ["schema_mismatch"]]


@FORMS
def test_a_stage_that_asked_nothing_goes_on(form: JsonFormat | None) -> None:
    """Another stage may have asked: what was said before belongs to the same answer, and is looked through."""
    reading = stages(form)
    fed(reading, "Let me see. ")
    reading.begin()
    assert value_of(fed(reading, '{"x": 1}', Finished())) == {"x": 1}


# --- Cuts and failures -------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize(
    ("end", "words"), [(LIMIT, "limit of tokens"), (Finished("length"), "limit of tokens"), (STOP, "stop seq")]
)
@pytest.mark.parametrize("text", ['{"x": 1', '{"x"', "Well", '{"x": [{}'])
def test_an_answer_that_was_cut_is_an_error_that_names_the_cut(
    form: JsonFormat | None, text: str, end: Event, words: str
) -> None:
    """Nothing is asked: it would be cut again."""
    reading = stages(form)
    error = error_of(fed(reading, text, end))
    assert [error.code, error.param, reading.follow_up] == ["structured_output_failed", None, None]
    assert words in error.message


@FORMS
@pytest.mark.parametrize("end", [LIMIT, STOP, Finished(cut=True)])
def test_a_cut_behind_the_json_cuts_nothing_of_it(form: JsonFormat | None, end: Finished) -> None:
    """The client has the whole; a limit ended only what it is not given."""
    events = fed(stages(form), '```json\n{"x": 1}\n```\nThis is the', end)
    assert [value_of(events), events[-1]] == [{"x": 1}, Finished("stop", stopped_by=end.stopped_by, cut=True)]


def test_a_number_that_was_cut_is_not_taken() -> None:
    """Nobody knows how it went on."""
    form = JsonFormat('{"type": "integer"}')
    assert "limit of tokens" in error_of(fed(ValueReading(form), "42", LIMIT)).message


def test_what_was_cut_and_does_not_fit_is_an_error() -> None:
    """It cannot be asked for again, and may not be what was meant."""
    assert "limit of tokens" in error_of(fed(ValueReading(LAX), '{"y": 1} or', LIMIT)).message


@FORMS
def test_a_failure_passes(form: JsonFormat | None) -> None:
    """And ends the answer."""
    reading = stages(form)
    assert fed(reading, "Well", BUSY) == [BUSY]
    assert fed(reading, '{"x": 1}', Finished()) == []


@FORMS
def test_nothing_comes_after_the_end(form: JsonFormat | None) -> None:
    """Not in the same list, nor in another."""
    reading = stages(form)
    out = reading([TextDelta('{"x": 1}'), Finished(), TextDelta('{"x": 2}'), Finished(), BUSY])
    assert [value_of(out), reading([TextDelta("a"), Finished()])] == [{"x": 1}, []]


# --- What is no text ---------------------------------------------------------------------------------------


@FORMS
@pytest.mark.parametrize("event", [ThinkingDelta("hm"), Opened("chat-1"), Warned("word")])
def test_what_is_no_text_passes_at_once(form: JsonFormat | None, event: Event) -> None:
    """A client may show it meanwhile."""
    assert stages(form)([event]) == [event]


@FORMS
def test_citations_are_left_out(form: JsonFormat | None) -> None:
    """There is no text that they could stand in."""
    events = fed(stages(form), '{"x":', Cited((SOURCE,)), Annotation(SOURCE, 0, 0), " 1}", Finished())
    assert value_of(events) == {"x": 1}
    assert not any(isinstance(event, Cited | Annotation) for event in events)


@pytest.mark.parametrize("form", [STRICT, LAX, FREE], ids=["strict", "lax", "free"])
def test_an_answer_that_calls_is_passed_on_as_it_is(form: JsonFormat) -> None:
    """The form is that of the last answer."""
    events = fed(ValueReading(form), "Let me", " see.", *CALL, "Done.", Cited((SOURCE,)), Finished("tool_calls"))
    assert events == [
        *(TextDelta("Let me see."), *CALL, TextDelta("Done."), Cited((SOURCE,)), Finished("tool_calls")),
    ]


def test_an_answer_that_calls_may_be_cut() -> None:
    """As one without a form."""
    assert fed(ValueReading(STRICT), *CALL[:2], LIMIT) == [*CALL[:2], LIMIT]


# --- Whatever the model says -------------------------------------------------------------------------------

FRAGMENTS = st.sampled_from(
    [
        *("{", "}", "[", "]", '"', ":", ",", "\\", "\\u00", "\\ud83d", "\\n", "```json\n", "```", "\n", " ", "'", "x"),
        *('{"x": 1}', '{"x": "1"}', '{"y": 2', '"x"', '"y": [', "1", "-0.5", "1e999", "NaN", "true", "null", "So: "),
        *('{"a": "say "hi""}', '"C:\\d"', '{"a": {"x": 1}}', "{}", "{'x': 1}", "// no\n", "[1]", "\x00", "好"),
    ]
)
ENDS = st.sampled_from([Finished(), Finished(), Finished(), LIMIT, STOP, Finished("length"), BUSY])
SAID = st.lists(
    st.tuples(st.lists(FRAGMENTS, max_size=10), ENDS), min_size=MAX_FOLLOW_UPS + 1, max_size=MAX_FOLLOW_UPS + 1
)


@given(st.sampled_from([None, STRICT, LAX, FREE]), SAID)
@example(form=None, said=[(['{"a": [1e999,]}'], Finished())] * 3)
def test_an_answer_is_valid_or_it_is_none(form: JsonFormat | None, said: list[tuple[list[str], Event]]) -> None:
    """Whatever the model says, however often it is asked and wherever it is cut."""
    reading = stages(form)
    events: list[Event] = []
    questions = 0
    for pieces, end in said:
        events += fed(reading, *pieces, end)
        if reading.follow_up is None:
            break
        assert text_of(events) == ""
        questions += 1
        reading.begin()
    assert questions <= MAX_FOLLOW_UPS
    assert [event for event in events if isinstance(event, Finished | Failed)] == events[-1:]
    if isinstance(events[-1], Finished):
        value = value_of(events)
        assert isinstance(value, dict) or form in (STRICT, LAX)
        assert form is not STRICT or problems(POINT, value) == ()
        assert form is not LAX or problems(POINT, value) == () or "schema_mismatch" in words_of(events)
    else:
        assert isinstance(error_of(events), StructuredOutputFailed | UpstreamBusy)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([None, FREE]),
    st.dictionaries(st.text(max_size=4), VALUES, max_size=4),
    st.sampled_from([("", ""), ("```json\n", "\n```"), ("Here: ", " So."), ("\n", "\n\n")]),
    st.integers(1, 7),
    st.booleans(),
)
def test_a_valid_object_is_given_as_it_was_meant(
    form: JsonFormat | None, value: dict[str, object], around: tuple[str, str], size: int, escaped: object
) -> None:
    """Whatever it holds, and however it arrives."""
    text = around[0] + json.dumps(value, ensure_ascii=bool(escaped), indent=2 if size > 4 else None) + around[1]
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    events = fed(stages(form), *pieces, Finished())
    assert [value_of(events), words_of(events)] == [value, []]
