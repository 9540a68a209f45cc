"""What a model is told of tools, and how calls and results of the history are written for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import (
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
from app.kimi.turn import merge, moved
from app.toolcalls.marks import Marks
from app.toolcalls.prompt import FREEFORM, Guide, call_again, guide, once_more
from app.toolcalls.schema import compact, example
from tests.toolcalls.strange import POINT, SCHEMAS, VALUES

MARKS = Marks("K7Q2")
READ = ToolSpec(
    "Read",
    'Read a file. "Quotes",\nlines and {braces} stay.',
    json.dumps({"type": "object", "properties": {"path": {"type": "string", "title": "Path"}}, "required": ["path"]}),
)
WALK = ToolSpec("Walk", "", json.dumps(POINT))
PATCH = ToolSpec("Patch", "Apply a patch.", freeform=True)
BOTH = ToolUse((READ, WALK))


def told(use: ToolUse = BOTH, form: JsonFormat | None = None, *, before: bool = False, searches: bool = False) -> Guide:
    """The guide of one turn."""
    return guide(use, form, MARKS, told=before, searches=searches)


def listed(section: str) -> list[dict[str, object]]:
    """The tools that a section describes."""
    lines = section.rpartition("The tools, one JSON object to a line:\n")[2].split("\n")
    return [json.loads(line) for line in lines]


def blocks(text: str) -> list[tuple[str, object]]:
    """The calls that are shown in a text: names and arguments."""
    shown = re.findall(r'^<call:K7Q2 name="([^"\n]*)">\n(.*)\n</call:K7Q2>$', text, re.MULTILINE)
    return [(name, json.loads(arguments)) for name, arguments in shown]


# --- The section -------------------------------------------------------------------------------------------


def test_every_tool_is_described_in_one_line() -> None:
    """With its words as they are, and its schema as a model reads it."""
    lines = listed(told().section)
    assert lines == [
        {"name": "Read", "description": READ.description, "parameters": compact(json.loads(READ.parameters))},
        {"name": "Walk", "parameters": compact(POINT)},
    ]
    assert "title" not in json.dumps(lines[0])


def test_the_example_is_made_of_the_caller_s_own_tools() -> None:
    """One call, and two below each other: nothing in it could be called that is not there."""
    shown = blocks(told().section)
    one, two = ("Read", example(json.loads(READ.parameters))), ("Walk", example(POINT))
    assert shown == [one, one, two]
    assert blocks(told(ToolUse((READ,))).section) == [one] * 3


def test_where_one_call_may_come_one_is_shown() -> None:
    """And told."""
    one = told(replace(BOTH, parallel=False))
    assert [name for name, _ in blocks(one.section)] == ["Read"]
    assert "Print one block at the most, and stop right after it." in one.section
    assert "Print one block at the most" in one.closing
    assert "at the most" not in told().section + told().closing
    assert "Stop right after the last block." in told().section


def test_a_freeform_tool_is_one_of_an_object_with_one_text() -> None:
    """There is one form of calls."""
    section = told(ToolUse((PATCH,))).section
    (line,) = listed(section)
    assert line == {"name": "Patch", "description": "Apply a patch.", "parameters": json.loads(FREEFORM)}
    assert blocks(section)[0] == ("Patch", {"input": "..."})


def test_the_form_of_results_is_shown_and_forbidden() -> None:
    """The model has to know it where it reads it, and never to write it."""
    section = told().section
    assert '<result:K7Q2 id="1" name="Read">' in section
    assert "Never print a result yourself." in section


@pytest.mark.parametrize(
    ("searches", "on"), [(True, ["Of your own features only the internet search is on here"]), (False, [])]
)
def test_kimi_s_own_features_are_told_off(*, searches: bool, on: list[str]) -> None:
    """But for the search where that is on: a model that is told otherwise does not search."""
    section = told(searches=searches).section
    assert ("Your own search, terminal, code and file features are off here" in section) is not searches
    assert all(sentence in section for sentence in on)


@pytest.mark.parametrize(
    "use",
    [ToolUse(), ToolUse((), Choice.NONE), replace(BOTH, choice=Choice.NONE)],
    ids=["no tools", "none of none", "none"],
)
def test_without_a_tool_that_may_be_called_none_is_described(use: ToolUse) -> None:
    """Tools that are shown and forbidden are called all the same: only that there are none is told."""
    assert told(use) == Guide("", "[No tool can be called in this turn: answer in words.]", MARKS)


def test_a_conversation_hears_of_its_tools_once() -> None:
    """The reminder closes each turn."""
    again = told(before=True)
    assert [again.section, again.closing] == ["", told().closing]


@pytest.mark.parametrize("allowed", [("Walk",), ("Walk", "Nothing")])
def test_only_tools_that_may_be_called_are_described(allowed: tuple[str, ...]) -> None:
    """And named in the reminder."""
    named = told(ToolUse((READ, WALK), Choice.REQUIRED, allowed=allowed))
    assert [line["name"] for line in listed(named.section)] == ["Walk"]
    assert {name for name, _ in blocks(named.section)} == {"Walk"}
    assert "Now you have to call Walk: print the block." in named.closing


# --- The closing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "demand"),
    [
        (BOTH, "If no tool is needed, answer in words."),
        (replace(BOTH, choice=Choice.REQUIRED), "Now you have to call a tool: print the block."),
        (
            ToolUse((READ, WALK, PATCH), Choice.REQUIRED, allowed=("Read", "Patch")),
            "Now you have to call Read or Patch: print the block.",
        ),
        (ToolUse((READ, WALK, PATCH), allowed=("Read", "Patch")), "If no tool is needed, answer in words."),
    ],
    ids=["auto", "required", "several", "auto among several"],
)
def test_the_closing_reminds_of_the_form_and_the_demand(use: ToolUse, demand: str) -> None:
    """What stands last is followed best."""
    closing = told(use).closing
    assert closing.startswith(
        '[To call a tool, print <call:K7Q2 name="NAME">, one JSON object with the arguments, </call:K7Q2>, '
        "as plain text. "
    )
    assert closing.endswith(f" {demand}]")
    assert len(closing.split()) < 50


@pytest.mark.parametrize(
    ("use", "when"),
    [(BOTH, "An answer that calls no tool has to be"), (ToolUse(), "Your whole answer has to be")],
)
@pytest.mark.parametrize("marks", [MARKS, None])
def test_a_form_stands_last(use: ToolUse, when: str, marks: Marks | None) -> None:
    """With its schema as a model reads it."""
    one = guide(use, JsonFormat(), marks, told=False, searches=False).closing.rpartition("[")[2]
    assert one == f"{when} one JSON object, with nothing before or behind it and no code fence.]"
    schema = guide(use, JsonFormat(json.dumps(POINT)), marks, told=False, searches=False).closing
    last = schema.rpartition("\n")[2]
    assert json.loads(last[:-1]) == compact(POINT)
    assert f"[{when} one JSON value that is valid under this JSON Schema" in schema


def test_without_tools_and_form_nothing_is_told() -> None:
    """The prompt is the person's own."""
    assert guide(ToolUse(), None, None, told=False, searches=False) == Guide()


# --- Calls and results of the history ----------------------------------------------------------------------


def calling(*calls: tuple[str, str], text: str = "") -> Message:
    """An assistant's message that calls."""
    said = (TextPart(text),) if text else ()
    return Message(Role.ASSISTANT, (*said, *(ToolCallPart("id", name, arguments) for name, arguments in calls)))


def result(text: str, *, number: int | None = 1, **about: object) -> Message:
    """The result of a call."""
    about = {"call_id": "id", "name": "Read", **about}
    return Message(Role.TOOL, (ToolResultPart(number=number, **about), TextPart(text)))  # type: ignore[arg-type] # by name


def test_a_call_is_written_as_the_model_has_to_write_it() -> None:
    """Its arguments stand as they were."""
    written = told().calls(calling(("Read", '{ "path":\n"/a" }'), ("Walk", "{}")))
    assert written == (
        '<call:K7Q2 name="Read">\n{ "path":\n"/a" }\n</call:K7Q2>\n<call:K7Q2 name="Walk">\n{}\n</call:K7Q2>'
    )


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("", '{"arguments": ""}'),
        ("not json", '{"arguments": "not json"}'),
        ("[1]", '{"arguments": "[1]"}'),
        ("null", '{"arguments": "null"}'),
        ('{"a": 1', '{"arguments": "{\\"a\\": 1"}'),
        ('{"a": NaN}', '{"arguments": "{\\"a\\": NaN}"}'),
        ('{"a": "' + MARKS.call_end + '>"}', '{"a": "\\u003c/call:K7Q2>"}'),
        (MARKS.call, '{"arguments": "\\u003ccall:K7Q2"}'),
    ],
)
def test_arguments_are_an_object_in_any_case(arguments: str, written: str) -> None:
    """A second form would be imitated; marks in strings are written by their escapes."""
    ((name, value),) = blocks(told().calls(calling(("Read", arguments))))
    assert [name, value] == ["Read", json.loads(written)]
    assert f"\n{written}\n" in told().calls(calling(("Read", arguments)))


def test_a_result_stands_as_it_is() -> None:
    """But for marks, which are broken by a backslash."""
    text = '</message>\n<b> & "x" \\ {}\n\n  <result> </call>'
    assert told().result(result(text)) == f'<result:K7Q2 id="1" name="Read">\n{text}\n</result:K7Q2>'
    broken = told().result(result(f"{MARKS.result_end}> {MARKS.call}"))
    assert broken == '<result:K7Q2 id="1" name="Read">\n<\\/result:K7Q2> <\\call:K7Q2\n</result:K7Q2>'


@pytest.mark.parametrize(
    ("message", "head"),
    [
        (result("", number=12), '<result:K7Q2 id="12" name="Read">'),
        (result("", failed=True), '<result:K7Q2 id="1" name="Read" status="error">'),
        (result("", number=None, name=None), '<result:K7Q2 id="id" name="">'),
        (result("", number=None, call_id=None), '<result:K7Q2 id="unknown" name="Read">'),
        (result("", number=None, call_id='a" b\n<c>' + "d" * 99), f'<result:K7Q2 id="a__b__c_{"d" * 56}" name="Read">'),
        (Message.of(Role.TOOL, ""), '<result:K7Q2 id="unknown" name="">'),
    ],
)
def test_a_result_says_whose_it_is(message: Message, head: str) -> None:
    """The number of its call; where that is not known, what the client says."""
    assert told().result(message).split("\n")[0] == head


@pytest.mark.parametrize("name", ['a" x="b', "a\nb", "a>b", "<call:K7Q2", "</result:K7Q2>", "a\u2028b", "a'b", "a b"])
def test_odd_names_cannot_leave_their_place(name: str) -> None:
    """Not the quotes, nor the line."""
    for text in (told().calls(calling((name, "{}"))), told().result(result("{}", name=name))):
        head, body, end = text.splitlines()
        assert re.fullmatch(r'<(call:K7Q2|result:K7Q2 id="1") name="[\w.:/-]*">', head)
        assert [body, bool(MARKS.pattern.match(end))] == ["{}", True]


def test_a_long_name_stays_whole() -> None:
    """The model has to call the tool by it."""
    spec = ToolSpec("mcp__" + "a" * 120 + "x:/")
    assert {name for name, _ in blocks(told(ToolUse((spec,))).section)} == {spec.name}
    assert blocks(told().calls(calling((spec.name, "{}")))) == [(spec.name, {})]
    assert f'name="{spec.name}"' in told().result(result("", name=spec.name))


def test_without_marks_there_are_no_calls() -> None:
    """Neither before nor now."""
    plain = Guide()
    assert [plain.calls(calling(("Read", "{}"))), plain.result(result("a"))] == ["", "a"]
    assert plain.guarded(f"{MARKS.call}") == MARKS.call


# --- Asked again -------------------------------------------------------------------------------------------


def test_a_model_that_is_asked_again_is_shown_the_form() -> None:
    """In one line, without a mark of anybody else's."""
    question = call_again(MARKS, f"Not {MARKS.result}\nnor this.")
    assert question == (
        "[Not <\\result:K7Q2 nor this. It was not run. Print this call again, corrected, in full and alone: "
        '<call:K7Q2 name="NAME">, one JSON object with the arguments, </call:K7Q2>]'
    )
    assert once_more(MARKS, "Go on").startswith("[Go on: <call:K7Q2")


# --- Whatever it is made of --------------------------------------------------------------------------------


@given(SCHEMAS | VALUES, st.text(max_size=9), st.text(max_size=9))
def test_any_schema_can_be_told(schema: object, name: str, description: str) -> None:
    """As the parameters of a tool, or of an answer; nothing raises, and the lines are JSON."""
    text = json.dumps(schema)
    one = told(ToolUse((ToolSpec(name, description, text), READ)), JsonFormat(text))
    line = listed(one.section)[0]
    assert [line["name"], line.get("description", "")] == [name, description]
    assert line["parameters"] == compact(schema)
    assert all(isinstance(arguments, dict) for _, arguments in blocks(one.section))
    assert blocks(one.section)
    one.section.encode()
    one.closing.encode()


@pytest.mark.parametrize("depth", [100, 900, 990, 5000])
@pytest.mark.parametrize("shell", ['{"items": %s}', '{"properties": {"a": %s}}', "[%s]", '{"default": [%s]}'])
def test_a_schema_that_is_too_deep_is_told_all_the_same(depth: int, shell: str) -> None:
    """As any object."""
    before, after = shell.split("%s")
    text = before * depth + "{}" + after * depth
    one = told(ToolUse((ToolSpec("Deep", "Dig.", text), READ)), JsonFormat(text))
    assert listed(one.section)[1]["name"] == "Read"
    assert one.section.count("\n{") >= 2
    assert "JSON" in one.closing


@pytest.mark.parametrize("text", ["", "{", "nonsense", "NaN", '{"a": 1e999}', '{"description": "\\ud800"}'])
def test_what_is_no_schema_is_told_as_any_object(text: str) -> None:
    """Nothing raises, and what is told can be sent."""
    one = told(ToolUse((ToolSpec("Odd", "\ud83d", text),)), JsonFormat(text))
    assert one.section.encode()
    assert one.closing.encode()
    assert listed(one.section)[0]["name"] == "Odd"


MARKED = st.lists(
    st.sampled_from(
        [
            *(*MARKS.all, f'{MARKS.call} name="Read">', f"{MARKS.call_end}>", f"{MARKS.result_end}>", "<", "</"),
            *(
                "call:K7Q2",
                ":K7Q2",
                "K7Q2",
                "<call",
                "<result",
                "\n",
                '"',
                "\\",
                "\\u003c",
                "{}",
                " ",
                "x",
                "</message>",
            ),
            *("<call:K7Q", "2", "<call:", "</tools>", "<message", "`", "[", "]", "{", "}"),
        ]
    ),
    max_size=5,
).map("".join)
JSONS = st.dictionaries(MARKED, MARKED | st.lists(MARKED, max_size=2), max_size=2).map(json.dumps)


def parts_of(text: str) -> tuple[TextPart, ...]:
    """A text in two parts, so that something may arise between them."""
    return TextPart(text[: len(text) // 2]), TextPart(text[len(text) // 2 :])


SAID = st.builds(
    lambda role, text: Message(role, parts_of(text)), st.sampled_from([Role.USER, Role.SYSTEM, Role.ASSISTANT]), MARKED
)
CALLED = st.builds(
    lambda text, calls: Message(Role.ASSISTANT, (*parts_of(text), *calls)),
    MARKED,
    st.lists(st.builds(ToolCallPart, MARKED, MARKED, JSONS | MARKED), min_size=1, max_size=2),
)
RESULTS = st.builds(
    lambda text, about: Message(Role.TOOL, (about, *parts_of(text))),
    MARKED,
    st.builds(ToolResultPart, MARKED | st.none(), MARKED | st.none(), st.booleans(), st.integers(1, 3) | st.none()),
)
TOOLS = st.lists(
    st.builds(ToolSpec, MARKED, MARKED, JSONS | MARKED, st.booleans()), max_size=2, unique_by=lambda spec: spec.name
)
USES = st.builds(
    lambda tools, choice, named, parallel: ToolUse(
        tuple(tools), choice, tuple(tool.name for tool in tools) if named else None, parallel
    ),
    TOOLS,
    st.sampled_from(Choice),
    st.booleans(),
    st.booleans(),
)
FORMS = st.none() | st.builds(JsonFormat, st.none() | JSONS)


def harmless(message: Message) -> Message:
    """The same message, of which nothing says anything."""
    parts: list[object] = []
    for part in message.parts:
        match part:
            case ToolCallPart():
                parts.append(ToolCallPart("x", "x", "{}"))
            case ToolResultPart():
                parts.append(ToolResultPart("x", "x", part.failed, part.number))
            case _:
                parts.append(TextPart("x"))
    return Message(message.role, tuple(parts))  # type: ignore[arg-type] # they are parts


def tamed(use: ToolUse) -> ToolUse:
    """The same tools, of which nothing says anything."""
    tools = tuple(ToolSpec(f"x{number}") for number in range(len(use.tools)))
    return replace(use, tools=tools, allowed=None if use.allowed is None else tuple(tool.name for tool in tools))


@given(st.lists(SAID | CALLED | RESULTS, min_size=1, max_size=5), USES, FORMS, st.booleans())
def test_a_mark_stands_only_where_the_renderer_has_put_it(
    messages: list[Message], use: ToolUse, form: JsonFormat | None, before: object
) -> None:
    """Whatever texts, names, arguments, ids, descriptions and results hold: with the real letters, too."""

    def marks_of(messages: list[Message], use: ToolUse, form: JsonFormat | None) -> list[list[str]]:
        one = told(use, form, before=bool(before))
        texts = [merge(messages, guide=one), merge(messages, wrap_urls=True, guide=one), moved(messages, one)]
        return [[mark[0] for mark in MARKS.pattern.finditer(text)] for text in texts]

    plain = None if form is None else JsonFormat(None if form.schema is None else "{}")
    assert marks_of(messages, use, form) == marks_of([*map(harmless, messages)], tamed(use), plain)


@given(st.lists(RESULTS, min_size=1, max_size=3))
def test_results_stand_as_they_are_but_for_marks(messages: list[Message]) -> None:
    """A tool's words are not to be bent."""
    text = merge(messages, guide=told())
    assert all(f"\n{MARKS.guarded(message.text)}\n{MARKS.result_end}>" in text for message in messages)
    assert all(
        MARKS.guarded(message.text).replace("<\\", "<") == message.text.replace("<\\", "<") for message in messages
    )
