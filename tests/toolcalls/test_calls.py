"""One call, from its header to the end of its body."""

from __future__ import annotations

import json

import pytest

from app.chat.request import ToolSpec
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.calls import Rules
from app.toolcalls.schema import Parameters
from tests.drip import drip
from tests.toolcalls.answers import MARKS, Outcome, call, read, rules

EAGER = rules(Mode.EAGER)
LONG = json.dumps({"file_path": "/a long path", "limit": 5})
END = f"{MARKS.call_end}>"
PATCH = '*** Begin Patch\n*** Add File: a\n+{]"\n*** End Patch'
FREEFORM = Tool(ToolSpec("apply_patch", freeform=True), Parameters("{}"))


def come_of(text: str, told: Rules | None = None, *, clean: bool = True) -> Outcome:
    """What comes of an answer, however it arrives."""
    return drip(lambda chunks: read(chunks, told, clean=clean), text)


@pytest.mark.parametrize(
    ("written", "name", "normalised"),
    [
        ("Read", "Read", False),
        (" Read ", "Read", False),
        ("read", "Read", True),
        ("functions.Read", "Read", True),
        ("functions.Read:0", "Read", True),
        ("functions.READ:12", "Read", True),
        ("Read:0\n", "Read", True),
        ("functions.mcp__db__query:3", "mcp__db__query", True),
        ("Rea", None, True),
        ("functions.Read:a", None, True),
        ("", None, True),
    ],
)
def test_a_name_is_found_in_the_forms_of_models(written: str, name: str | None, *, normalised: bool) -> None:
    """With the decoration of their own calls, and in other letters."""
    tool, other = rules().find(written)
    assert (tool.spec.name if tool else None, other) == (name, normalised)


def test_a_name_in_other_letters_is_found_if_there_is_one() -> None:
    """Of two that differ in their letters only, none is meant."""
    tools = {name: Tool(ToolSpec(name), Parameters("{}")) for name in ("Read", "READ", "functions.x:1")}
    told = Rules(tools, frozenset(tools))
    assert [told.find(name)[0] for name in ("Read", "READ", "read")] == [tools["Read"], tools["READ"], None]
    assert told.find("functions.x:1") == (tools["functions.x:1"], False)


@pytest.mark.parametrize(
    "attributes",
    [
        *(
            ' name="Read"',
            " name='Read'",
            " name=Read",
            ' name = "Read"',
            ' id="1" name="Read" x=y',
            ' tool_name="x" name="Read"',
        ),
        *(" Read", ' "Read"', ' tool="Read"', " 1 Read"),
    ],
)
def test_the_name_stands_in_the_header(attributes: str) -> None:
    """In its place, or alone."""
    outcome = come_of(f'{MARKS.call}{attributes}>{{"file_path": "/a"}}{END}')
    assert outcome.values == [("Read", {"file_path": "/a"})]
    assert outcome.warnings == ([] if "name" in attributes else ["name_normalised"])


@pytest.mark.parametrize(
    ("attributes", "name"),
    [(' name="Fly"', "Fly"), (' name=""', ""), (' name="Fly" tool="Read"', "Fly"), (" Fly away", "Fly away"), ("", "")],
)
def test_a_tool_that_there_is_not_is_a_fault(attributes: str, name: str) -> None:
    """Told with the name that was written."""
    assert come_of(f"{MARKS.call}{attributes}>{{}}{END}").faults == [("unknown_tool", name, False)]
    assert come_of(f"{MARKS.call}{attributes}/>").faults == [("unknown_tool", name, False)]
    assert come_of(f"{MARKS.call}{attributes}>{{", clean=False).faults == [("unknown_tool", name, False)]


def test_a_tool_that_may_not_be_called_is_a_fault() -> None:
    """It is another one than one that there is not."""
    told = rules(allowed=frozenset(["Bash"]))
    assert come_of(call(), told).faults == [("not_allowed", "Read", False)]
    assert come_of(call("Bash", '{"command": "ls"}'), told).codes == []


@pytest.mark.parametrize("body", ['{"file_path": "/a"}', "{", "==", "{}}"])
def test_calls_are_discarded_without_a_word(body: str) -> None:
    """Good ones and others."""
    assert come_of(f"a\n{call(body=body)}", rules(discards=True)) == Outcome("a", order=["TextDelta"])
    assert come_of(f"a\n{call('Fly', body)}\n", rules(discards=True), clean=False) == Outcome("a", order=["TextDelta"])


@pytest.mark.parametrize(
    "block",
    [
        f'{MARKS.call} name="list_all"/>',
        f'{MARKS.call} name="list_all">{END}',
        f'{MARKS.call} name="list_all">\n \n{END}',
        f'{MARKS.call} name="list_all"></call>',
        call("list_all", "{}"),
        call("list_all", "```\n{}\n```"),
        f'{MARKS.call} name="list_all">\n```\n```\n{END}',
    ],
)
def test_no_arguments_are_an_empty_object(block: str) -> None:
    """Written or not."""
    outcome = come_of(f"{block}\nDone.")
    if "```\n```" in block:
        assert outcome.codes == ["bad_arguments"]
    else:
        assert (outcome.values, outcome.codes, outcome.text) == ([("list_all", {})], [], "Done.")


@pytest.mark.parametrize(
    "body",
    [
        "```\n{}\n```",
        "```json\n{}\n```",
        "~~~~ json\r\n{}\r\n~~~~",
        "\n\n```json\n\n{}\n\n```\n",
        "```json\n{}",
        "{}\n```",
    ],
)
def test_a_fence_around_the_body_is_part_of_the_call(body: str) -> None:
    """Also half of one."""
    outcome = come_of(f"{call('Read', body).replace('{}', LONG)}\nDone.")
    assert outcome.values == [("Read", json.loads(LONG))]
    assert outcome.text.endswith("Done.")


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("body", [LONG.replace("5", '"5"'), LONG.replace("5", "[5]"), '{"file_path": "/a long path"}'])
@pytest.mark.parametrize("end", [f"\n{END}", "", f"\n{call()}"])
def test_brackets_that_are_missing_are_added(mode: Mode, body: str, end: str) -> None:
    """Before a mark, and at the end of an answer that ends well; also where the string was passed on already."""
    outcome = come_of(f'{MARKS.call} name="Read">{body[:-1]}{end}', rules(mode))
    assert outcome.codes == []
    arguments = outcome.values[0][1]
    assert arguments["file_path"] == "/a long path"
    assert "repaired" in outcome.warnings
    assert ("unterminated" in outcome.warnings) == (not end)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("place", range(len('{"file_path": "/a long path", "limit": 5')))
def test_half_a_call_is_no_call(mode: Mode, place: int) -> None:
    """What was passed on of it has no end."""
    for clean in (True, False):
        outcome = come_of(f'{MARKS.call} name="Read">{LONG[:place]}', rules(mode), clean=clean)
        if outcome.calls:
            assert clean
            assert outcome.values == [("Read", {"file_path": "/a long path"})]
        else:
            assert outcome.codes == ["truncated_call"]


def test_a_number_at_the_end_may_be_half_of_one() -> None:
    """No bracket is added behind it."""
    assert come_of(f'{MARKS.call} name="Read">{LONG[:-1]}').codes == ["truncated_call"]
    assert come_of(f'{MARKS.call} name="Read">{LONG[:-1]}\n{END}').codes == ["bad_arguments"]


@pytest.mark.parametrize("clean", [True, False])
def test_a_whole_call_without_its_closing_tag_is_one(*, clean: bool) -> None:
    """Nothing of it is missing."""
    assert come_of(f'{MARKS.call} name="Read">{LONG}', clean=clean).values == [("Read", json.loads(LONG))]


@pytest.mark.parametrize("mode", Mode)
def test_a_call_is_announced_with_the_first_of_it_that_is_sure(mode: Mode) -> None:
    """Each mode has its own time."""
    body = '{"file_path": "/a long path", "limit": 5}'
    text = f'{MARKS.call} name="Read">{body}'
    said = {place: read([text[:place]], rules(mode), clean=False).announced for place in range(len(text))}
    first = min((place for place, announced in said.items() if announced), default=None)
    sure = {Mode.CALL: None, Mode.VALUE: text.index(":", text.index("limit")), Mode.EAGER: text.index("long")}
    assert first is None if sure[mode] is None else abs((first or 0) - (sure[mode] or 0)) <= 2


def test_what_was_passed_on_cannot_be_taken_back() -> None:
    """Where it turns out to be wrong the call has failed, and that is told."""
    text = f'{MARKS.call} name="Bash">{{"command": "echo 5" disk"}}\n{END}\n{call()}'
    assert come_of(text, EAGER).faults == [("bad_arguments", "Bash", True)]
    assert come_of(text, EAGER).values == [("Read", {"file_path": "/a"})]
    assert come_of(text).values[0] == ("Bash", {"command": 'echo 5" disk'})


def test_one_text_is_taken_as_it_is_written() -> None:
    """By a tool that takes one text: as an object, as a string, or bare."""
    told = Rules({"apply_patch": FREEFORM}, frozenset(["apply_patch"]))
    for body in (json.dumps({"input": PATCH}), json.dumps(PATCH), PATCH):
        assert come_of(call("apply_patch", body), told).values == [("apply_patch", {"input": PATCH})]


def test_a_quote_that_is_missing_costs_one_call_only() -> None:
    """The next one is read as it stands."""
    lost = f'{MARKS.call} name="Read">\n{{"file_path": "/a}}\n{END}'
    outcome = come_of(f"{lost}\n{call()}")
    assert outcome.calls == [("Read", '{"file_path": "/a"}')]
    assert [fault[0] for fault in outcome.faults] == ["bad_arguments"]
