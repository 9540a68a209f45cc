"""What models put around the arguments of a call."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.repair import Mended
from app.toolcalls.wrapping import is_wrapping, may_become_wrapping, understood, unwrapped

NAMES = ("command", "timeout")
ARGUMENTS = {"command": "ls", "timeout": 5}
KEYS = st.sampled_from(["name", "type", "id", "arguments", "parameters", "args", "input", "command", "x", ""])
VALUES: st.SearchStrategy[object] = st.sampled_from(
    ["a", "", "{}", '{"a": 1}', "[1]", 1, None, {}, {"command": "x"}, [], [{}], [{"input": {}}]]
)


def read(
    value: object, names: tuple[str, ...] = NAMES, *, freeform: bool = False
) -> tuple[object, tuple[str, ...]] | None:
    """What is understood of a value, and the words for it."""
    found = understood(json.dumps(value), names, freeform=freeform)
    if found is None:
        return None
    assert json.loads(found.text) == found.value
    return found.value, found.warnings


@pytest.mark.parametrize(
    "value",
    [
        {"name": "Bash", "arguments": ARGUMENTS},
        {"arguments": ARGUMENTS, "name": "Bash"},
        {"type": "function", "id": "call-1", "name": "Bash", "arguments": ARGUMENTS},
        {"name": "Bash", "parameters": ARGUMENTS},
        {"name": "Bash", "args": ARGUMENTS},
        {"name": "Bash", "input": ARGUMENTS},
        {"arguments": ARGUMENTS},
        {"input": ARGUMENTS},
        {"name": "Bash", "arguments": json.dumps(ARGUMENTS)},
        {"name": "Bash", "arguments": json.dumps(ARGUMENTS)[:-1] + ",}"},
        [ARGUMENTS],
        [{"name": "Bash", "arguments": ARGUMENTS}],
        json.dumps(ARGUMENTS),
        json.dumps({"name": "Bash", "arguments": ARGUMENTS}),
        {"name": "Bash", "arguments": {"input": ARGUMENTS}},
        {"arguments": {"name": "Bash", "arguments": json.dumps([ARGUMENTS])[1:-1]}},
    ],
)
def test_a_wrapping_is_taken_off(value: object) -> None:
    """A name, a list of one, a string, and several of them one in another."""
    assert read(value) == (ARGUMENTS, ("unwrapped",))


@pytest.mark.parametrize(
    "value",
    [
        ARGUMENTS,
        {},
        {"name": "x"},
        {"name": "x", "type": "y", "id": "z"},
        {"name": "Bash", "arguments": ARGUMENTS, "more": 1},
        {"command": "ls", "arguments": ARGUMENTS},
        {"arguments": ARGUMENTS, "input": {}},
        {"name": "Bash", "arguments": "ls -la"},
        {"name": "Bash", "arguments": [ARGUMENTS, ARGUMENTS]},
        {"args": None},
        {"args": ""},
        {"x": ARGUMENTS},
    ],
)
def test_what_is_no_wrapping_stays(value: object) -> None:
    """An object is what it is."""
    assert read(value) == (value, ())


@pytest.mark.parametrize(
    "value", [1, None, True, [], [1], [ARGUMENTS, ARGUMENTS], [[ARGUMENTS]], "ls", "", "[1]", '["{}"]']
)
def test_what_holds_no_object_is_nothing(value: object) -> None:
    """Arguments are an object."""
    assert read(value) is None


@pytest.mark.parametrize("empty", [{}, "{}", " { } ", None, ""])
@pytest.mark.parametrize("names", [NAMES, ()])
def test_a_wrapping_may_hold_nothing(empty: object, names: tuple[str, ...]) -> None:
    """Then the call has no arguments."""
    assert read({"name": "list_all", "arguments": empty}, names) == ({}, ("unwrapped",))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ({"input": {"a": 1}}, ("input",)),
        ({"name": "x", "args": {"a": 1}}, ("name", "args")),
        ({"id": "7", "args": {"a": 1}}, ("id",)),
        ({"type": "x", "name": "y", "input": {}}, ("type",)),
        ({"arguments": {"a": 1}}, ()),
        ({"type": "x", "arguments": {"a": 1}}, ()),
    ],
)
def test_parameters_of_the_tool_are_no_wrapping(value: dict[str, object], names: tuple[str, ...]) -> None:
    """And a tool without any may take whatever it is given."""
    assert read(value, names) == (value, ())


def test_a_tool_with_a_name_may_be_wrapped() -> None:
    """Then the outer name is that of the tool."""
    inner = {"name": "Ann", "email": "a@b.example"}
    assert read({"name": "create_user", "arguments": inner}, ("name", "email")) == (inner, ("unwrapped",))


def test_what_was_mended_inside_is_told_as_well() -> None:
    """First what had to be done to the text."""
    found = understood('{"name": "Bash", "arguments": {"command": "\\d",}}', NAMES)
    assert found is not None
    assert (found.value, found.warnings) == ({"command": "\\d"}, ("repaired", "unwrapped"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("*** Begin Patch\n", "*** Begin Patch\n"),
        ({"input": "x"}, "x"),
        ({"input": "x", "why": "y"}, "x"),
        ({"name": "apply_patch", "input": "x"}, "x"),
        ({"name": "apply_patch", "arguments": {"input": "x"}}, "x"),
        ({"name": "apply_patch", "arguments": '{"input": "x"}'}, "x"),
        ({"name": "apply_patch", "arguments": "*** Begin"}, "*** Begin"),
        ([{"input": "x"}], "x"),
        ({"input": '{"input": "x"}'}, '{"input": "x"}'),
        ({"input": ""}, ""),
        ({}, ""),
        ("", ""),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_a_freeform_tool_takes_one_text(value: object, text: str) -> None:
    """As a string or as its `input`."""
    found = read(value, ("input",), freeform=True)
    assert found is not None
    assert isinstance(found[0], dict)
    assert found[0]["input"] == text


@pytest.mark.parametrize("value", [{"a": 1}, {"input": 5}, {"input": {"a": "b"}}, [1], 5, None, [{"a": "b"}]])
def test_a_value_without_a_text_is_nothing_for_a_freeform_tool(value: object) -> None:
    """Who calls takes the body itself for its text."""
    assert read(value, ("input",), freeform=True) is None


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(KEYS, unique=True, max_size=3).map(tuple))
def test_whatever_is_taken_off_was_a_wrapping(value: dict[str, object], names: tuple[str, ...]) -> None:
    """What is found is an object, and the value itself if its keys tell of none."""
    found = unwrapped(Mended("", value), names)
    assert found is not None
    assert isinstance(found.value, dict)
    if not is_wrapping(value, names):
        assert found.value == value


@given(st.lists(KEYS, unique=True, min_size=1, max_size=5), st.lists(KEYS, unique=True, max_size=3))
def test_a_wrapping_can_be_told_from_its_beginning(keys: list[str], names: list[str]) -> None:
    """Whatever begins one is known as such, in every order of its members."""
    if is_wrapping(keys, names):
        for order in itertools.permutations(keys):
            assert all(may_become_wrapping(order[:count], names) for count in range(1, len(keys) + 1))
    if not may_become_wrapping(keys, names):
        assert not is_wrapping(keys, names)


def test_nothing_begins_no_wrapping() -> None:
    """An object without a member is not waited for."""
    assert not may_become_wrapping([], NAMES)
    assert not is_wrapping([], NAMES)
