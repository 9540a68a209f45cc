"""Calls in the marks of others."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.foreign import BLOCKS, LITERALS, SPECIAL, Block
from tests.toolcalls.answers import MARKS

K2, K2_SINGULAR, K2_BARE, K3, K3_BARE, HERMES = BLOCKS
ARGUMENTS = st.dictionaries(st.text(max_size=5), st.text(max_size=8) | st.integers() | st.lists(st.none(), max_size=2))
NAMES = st.from_regex("[A-Za-z_]{1,10}", fullmatch=True)


def k2(name: str, body: str) -> str:
    """A call as Kimi K2 writes it."""
    return f"<|tool_call_begin|>{name}<|tool_call_argument_begin|>{body}<|tool_call_end|>"


def k3(name: str, **arguments: object) -> str:
    """A call as Kimi K3 writes it: strings as they are."""
    inside = "".join(
        f'<|open|>argument key="{key}" type="{"string" if isinstance(value, str) else "x"}"<|sep|>'
        f"{value if isinstance(value, str) else json.dumps(value)}<|close|>argument<|sep|>"
        for key, value in arguments.items()
    )
    return f'<|open|>call tool="{name}" index="1"<|sep|>{inside}<|close|>call<|sep|>'


def calls(block: Block, text: str) -> list[tuple[str, object]]:
    """The calls in a text, with their arguments read."""
    return [(name, json.loads(body)) for name, body in block.calls(text)]


@pytest.mark.parametrize(
    ("block", "text", "expected"),
    [
        (K2, f"{K2.begins}{k2('functions.Read:0', '{}')}{K2.ends[0]}", [("functions.Read:0", {})]),
        (K2, f"{K2.begins}\n{k2(' Read ', '{}')} \n {k2('Bash', '[1]')}\n", [("Read", {}), ("Bash", [1])]),
        (K2, k2("functions.Read:0\n", '\n{"a": 1}\n'), [("functions.Read:0", {"a": 1})]),
        (K2, f"{K2.begins}{K2.ends[0]}", []),
        (K3, f"{K3.begins}{k3('Read', path='/a')}{k3('Bash')}", [("Read", {"path": "/a"}), ("Bash", {})]),
        (K3, k3("W", content='x = "1"\n', n=5, o={"a": []}), [("W", {"content": 'x = "1"\n', "n": 5, "o": {"a": []}})]),
        (K3, "<|open|>call <|sep|><|close|>call<|sep|>", [("", {})]),
        (K3, k3("Read").replace(' index="1"', ""), [("Read", {})]),
        (HERMES, '<tool_call>{"name": "Read", "arguments": {"a": 1}}</tool_call>', [("Read", {"a": 1})]),
        (HERMES, '<tool_call>\n{"name": "Read", "parameters": {"a": 1}}\n', [("Read", {"a": 1})]),
        (HERMES, '<tool_call>{"name": "Read", "arguments": "{\\"a\\": 1}"}</tool_call>', [("Read", {"a": 1})]),
        (HERMES, '<tool_call>{"name": "Read"}</tool_call>', [("Read", {})]),
        (HERMES, '<tool_call>{"name": "R", "arguments": {"a": "x\n"}}</tool_call>', [("R", {"a": "x\n"})]),
    ],
)
def test_each_dialect_is_understood(block: Block, text: str, expected: object) -> None:
    """Any number of calls in it."""
    assert calls(block, text) == expected


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (K2, "<|tool_call_begin|>Read"),
        (K2, "<|tool_call_begin|>Read<|tool_call_argument_begin|>{}"),
        (K3, "<|open|>call tool"),
        (K3, k3("Read", a=1).removesuffix("<|close|>call<|sep|>")),
        (K3, k3("Read", a=1).replace("<|close|>argument<|sep|>", "")),
        (K3, k3("Read", a=1).replace("1<", "==<")),
        (HERMES, "<tool_call></tool_call>"),
        (HERMES, "<tool_call>{</tool_call>"),
        (HERMES, "<tool_call>[]</tool_call>"),
        (HERMES, '<tool_call>{"arguments": {}}</tool_call>'),
        (HERMES, '<tool_call>{"name": "", "arguments": {}}</tool_call>'),
    ],
)
def test_what_is_none_is_refused(block: Block, text: str) -> None:
    """Whole or not at all."""
    with pytest.raises(ValueError, match=r"."):
        block.calls(text)


@given(NAMES, ARGUMENTS)
def test_arguments_come_out_as_they_were_written(name: str, arguments: dict[str, object]) -> None:
    """In every dialect that takes JSON."""
    body = json.dumps(arguments)
    assert calls(K2, k2(name, body)) == [(name, arguments)]
    assert calls(HERMES, f'<tool_call>{{"name": "{name}", "arguments": {body}}}</tool_call>') == [(name, arguments)]


@given(NAMES, st.text(max_size=30), st.lists(st.integers()))
def test_a_string_stands_as_it_is(name: str, text: str, numbers: list[int]) -> None:
    """In K3's dialect."""
    assert calls(K3_BARE, k3(name, a=text, b=numbers)) == [(name, {"a": text, "b": numbers})]


def test_the_marks_of_others_are_none_of_ours() -> None:
    """All begin with the same character; each is looked for."""
    assert {*SPECIAL, *(block.begins for block in BLOCKS)} == {*LITERALS}
    assert all(literal.startswith("<") and not literal.startswith(MARKS.all) for literal in LITERALS)
    assert all(not mark.startswith(LITERALS) for mark in MARKS.all)
    assert all(end in SPECIAL or end[0] == "<" for block in BLOCKS for end in block.ends)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (K2, "<|tool_call_begin|>" * 50_000),
        (K2, "<|tool_call_begin|>a<|tool_call_argument_begin|>" * 50_000),
        (K2, k2("a", "{}") * 50_000),
        (K3, "<|open|>call " * 50_000),
        (K3, "<|open|>call <|sep|>" + "<|open|>argument <|sep|>" * 50_000 + "<|close|>call<|sep|>"),
        (K3, '<|open|>call a="' + 'a="' * 50_000 + "<|sep|><|close|>call<|sep|>"),
        (K3, "<|open|>call " + "a" * 50_000 + "<|sep|><|close|>call<|sep|>"),
        (HERMES, "<tool_call>" + "{" * 50_000),
        (HERMES, "<tool_call>" + '{"name":' * 50_000),
    ],
)
def test_openers_without_closers_are_read_in_one_go(block: Block, text: str) -> None:
    """A search that starts anew at each of them would not come to an end here."""
    begin = time.process_time()
    with contextlib.suppress(ValueError):
        block.calls(text)
    assert time.process_time() - begin < 5
