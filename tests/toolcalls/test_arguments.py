"""The arguments of one call, as they are passed on."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import ToolSpec
from app.toolcalls.arguments import Arguments, Mode, Tool
from app.toolcalls.scanner import Scanner
from app.toolcalls.schema import Parameters
from tests.drip import drip, rechunkings

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "command": {"type": "string"},
            "content": {"type": "string"},
            "timeout": {"type": "integer"},
            "both": {"type": ["string", "integer"]},
            "either": {"type": ["integer", "null"]},
            "opts": {"type": "object"},
            "any": {},
        },
        "required": ["command"],
    },
)
NAMED = '{"type":"object","properties":{"name":{"type":"string"},"content":{"type":"string"},"id":{"type":"string"}}}'
FREEFORM = '{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
MODES = [Mode.CALL, Mode.VALUE, Mode.EAGER]
STREAMED = [Mode.VALUE, Mode.EAGER]

TEXTS = st.lists(
    st.sampled_from([*'{}[],:"\\/\n\t ax', "\u597d", "\U0001f600", "C:\\new", "\\\\share\\", "\\d", "\ud83d", "\udc00"])
    | st.text(max_size=2),
    max_size=8,
).map("".join)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["command", "content", "any", "name", "args"]) | TEXTS, TEXTS | VALUES, max_size=4
)
BODIES = st.lists(
    st.sampled_from(
        [
            *('{"command": "', '{"content": "', '{"name": "x", ', '"arguments": {', '"timeout": "5"', ', "any": ', '"'),
            *(', "content": "', "}", "]", "[", "{", ",", ":", "\\", "\\u", "\\ud83d", "\\d", '\\"', "\n", "x", "true"),
            *('{"command":"echo 5" disk"}', "\u597d", "\ud83d", " ", "'", "1", "abcdef", '"either": "1"', "C:\\x"),
        ],
    ),
    max_size=10,
).map("".join)
"""Bodies that are nearly right in many cases."""


@dataclass(frozen=True)
class Passed:
    """What was passed on with each piece of a body, the rest, and the words about it."""

    pieces: tuple[str, ...]
    rest: str | None
    words: tuple[str, ...]

    @property
    def before(self) -> str:
        """All that was passed on before the end was seen."""
        return "".join(self.pieces)

    @property
    def text(self) -> str | None:
        """All of the arguments; None if they came to nothing."""
        return None if self.rest is None else self.before + self.rest


parameters = cache(Parameters)
"""They are read once: a call does not change them."""


def run(
    pieces: Sequence[str],
    mode: Mode,
    schema: str = SCHEMA,
    *,
    freeform: bool = False,
    unwraps: bool = True,
    closers: bool = False,
) -> Passed:
    """Read a body that arrives in these pieces as a call does; with `closers`, add the brackets that it lacks."""
    scanner, whole = Scanner(), False
    arguments = Arguments(parameters(schema), mode, freeform=freeform, unwraps=unwraps)
    passed = []
    for piece in pieces:
        if scanner.broken is None and not whole:
            whole = scanner.feed(piece) is not None
            if whole:
                scanner.conclude()
        passed.append(arguments.of(scanner))
    missing = scanner.missing if closers else None
    rest = arguments.finish("".join(pieces) + (missing or ""), whole=whole)
    if rest is not None:
        "".join([*passed, rest]).encode()
    return Passed(tuple(passed), rest, (*dict.fromkeys(arguments.warnings), *arguments.mismatches()))


def read(body: str, mode: Mode, schema: str = SCHEMA, *, freeform: bool = False, unwraps: bool = True) -> object:
    """The arguments of a body, the same however it is cut; None if they came to nothing."""

    def meant(pieces: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
        passed = run(pieces, mode, schema, freeform=freeform, unwraps=unwraps)
        return passed.text, passed.words if passed.text is not None else ()

    text, _ = drip(meant, body, count=5)
    return None if text is None else json.loads(text)


def words(body: str, mode: Mode, schema: str = SCHEMA) -> tuple[str, ...]:
    """The words about the arguments of a body."""
    return run([body], mode, schema).words


def same(one: object, other: object) -> bool:
    """Whether two values are the same as JSON, of which 1 and true are not."""
    return json.dumps(one) == json.dumps(other)


# Whatever is written


@pytest.mark.parametrize("mode", MODES)
@given(value=OBJECTS, style=st.sampled_from([{"ensure_ascii": False}, {"indent": 1}, {"separators": (",", ":")}]))
def test_the_pieces_are_the_arguments(mode: Mode, value: dict[str, object], style: dict[str, Any]) -> None:
    """All together, however the body is cut, and they are the same text for every cut."""
    body = json.dumps(value, **style)
    expected = run([body], mode, "{}", unwraps=False)
    assert expected.text is not None
    assert same(json.loads(expected.text), json.loads(body))
    for pieces in rechunkings(body, count=4, small=50):
        passed = run(pieces, mode, "{}", unwraps=False)
        assert (passed.text, passed.words) == (expected.text, ())


@pytest.mark.parametrize("mode", MODES)
@given(body=BODIES, unwraps=st.booleans())
def test_how_a_body_arrives_changes_nothing(mode: Mode, body: str, unwraps: bool) -> None:  # noqa: FBT001
    """Neither what was passed on by the end nor whether it came to nothing; what it came to is an object."""
    expected = run([body], mode, unwraps=unwraps)
    assert expected.text is None or isinstance(json.loads(expected.text), dict)
    for pieces in rechunkings(body, count=6, small=60):
        passed = run(pieces, mode, unwraps=unwraps)
        assert (passed.before, passed.rest) == (expected.before, expected.rest)
        assert passed.rest is None or passed.words == expected.words


@given(body=BODIES)
def test_the_modes_agree(body: str) -> None:
    """What is passed on early is never another object than what the whole body means."""
    last, *early = [run([body], mode) for mode in MODES]
    for passed in early:
        if passed.text is not None and last.text is not None:
            assert same(json.loads(passed.text), json.loads(last.text))


@given(value=st.dictionaries(st.sampled_from(["command", "content", "any"]), TEXTS, min_size=1), share=st.floats(0, 1))
def test_what_was_passed_on_early_is_the_beginning_of_the_arguments(value: dict[str, str], share: float) -> None:
    """Also in the middle of a string."""
    body = json.dumps(value)
    for mode in STREAMED:
        whole = run([body], mode)
        part = run([body[: int(share * len(body))]], mode)
        assert whole.text is not None
        assert whole.text.startswith(part.before)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", ["{}", " {\n} ", '{"a": {}}', "[{}]", '"{}"', '{"name": "x", "arguments": {}}'])
def test_arguments_may_be_empty(mode: Mode, body: str) -> None:
    """They are an object all the same."""
    assert read(body, mode) in ({}, {"a": {}})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("body", ["", "x", "[]", "1", '"x"', "null", '{"command": ', '{"command": "x', "[1, 2]"])
def test_what_is_no_object_comes_to_nothing(mode: Mode, body: str) -> None:
    """And nothing of it counts."""
    assert read(body, mode) is None


# When it is passed on


def test_nothing_is_passed_on_before_the_call_is_whole() -> None:
    """Where the whole body is to be judged first."""
    passed = run(list('{"command": "ls", "timeout": 5}'), Mode.CALL)
    assert passed.before == ""
    assert passed.rest == '{"command": "ls", "timeout": 5}'


def test_a_member_is_passed_on_with_the_colon_of_the_next_one() -> None:
    """Not later, and not before: a quote too many shows by then."""
    passed = run(list('{"command": "ls -la", "timeout" : 5, "opts": {"a": [1, 2]}}'), Mode.VALUE)
    assert [(place, piece) for place, piece in enumerate(passed.pieces) if piece] == [
        (32, '{"command": "ls -la"'),
        (43, ', "timeout": 5'),
        (58, ', "opts": {"a": [1, 2]}'),
    ]
    assert passed.rest == "}"


def test_the_characters_of_a_string_are_passed_on_as_they_come() -> None:
    """From the first that tell that it is no path; its end when it is confirmed."""
    passed = run(list('{"command": "echo", "timeout": 5}'), Mode.EAGER)
    assert [(place, piece) for place, piece in enumerate(passed.pieces) if piece] == [
        (15, '{"command": "ech'),
        (16, "o"),
        (29, '"'),
        (32, ', "timeout": 5'),
    ]
    assert passed.rest == "}"


def test_the_end_of_a_string_does_not_wait() -> None:
    """What came with its closing quote is passed on at once, in however many pieces it came."""
    pieces = ['{"content": "first ', "second ", 'third"', ' , "any"', ": 1}"]
    assert run(pieces, Mode.EAGER).pieces == ('{"content": "first ', "second ", "third", "", '", "any": 1')
    assert run(['{"content": "first"', " }"], Mode.EAGER).pieces == ('{"content": "first', '"')


def test_a_short_string_waits_until_it_is_confirmed() -> None:
    """It might be the beginning of a path."""
    assert run(['{"content": "C:"', ', "any": 1}'], Mode.EAGER).pieces == ("", '{"content": "C:", "any": 1')
    assert run(['{"content": "C: x"', ', "any": 1}'], Mode.EAGER).pieces == ('{"content": "C: x', '", "any": 1')


@pytest.mark.parametrize(
    "begin",
    [
        '{"content": "\\n#!/bin/sh',
        '{"content": "\\"quoted',
        '{"content": "\\u4f60\\u597d',
        '{"content": "a:b',
        '{"any": "text',
    ],
)
def test_a_string_may_begin_with_an_escape(begin: str) -> None:
    """That alone does not make it a path."""
    assert run([begin], Mode.EAGER).before == begin


@pytest.mark.parametrize(
    "begin",
    [
        '{"content": "C:\\\\Users and more',
        '{"content": "C:\\Users and more',
        '{"content": "\\\\server and more',
        '{"timeout": "12345',
        '{"either": "12345',
        '{"opts": "{ \\"a\\": 1',
        '{"content": "ab',
        '{"name": "Bash',
        '{"input": "{ \\"command\\": ',
        '{"opts": {"a": "text',
        '{"opts": ["text text',
        '["text text',
        '"text text',
        '{"text text',
        '{"cont\\d": "text',
    ],
)
def test_a_string_waits_where_it_may_become_something_else(begin: str) -> None:
    """A path whose backslashes are meant, another type, a wrapping; and only what is a member's string is streamed."""
    assert run(list(begin), Mode.EAGER).before == ""


def test_where_a_text_is_allowed_it_is_streamed() -> None:
    """Though other types are as well: a text is never made another one there."""
    assert run(['{"both": "12345'], Mode.EAGER).before == '{"both": "12345'
    assert read('{"both": "12345"}', Mode.EAGER) == {"both": "12345"}


def test_several_strings_are_streamed_one_after_another() -> None:
    """Each from its own beginning."""
    body = '{"command": "first one", "content": "second \\"one\\"", "x": "C:\\\\third", "y": "fourth"}'
    passed = run(list(body), Mode.EAGER)
    assert passed.text == body
    streamed = [piece for piece in passed.pieces if len(piece) == 1]
    assert len(streamed) == 19


# What is mended on the way


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("body", "value", "said"),
    [
        ('{"command": "cat <<EOF\n\tline\x00\nEOF"}', {"command": "cat <<EOF\n\tline\x00\nEOF"}, ("control_chars",)),
        ('{"command": "grep -P \'\\d+\\s\'"}', {"command": "grep -P '\\d+\\s'"}, ("bad_escape",)),
        (
            '{"command": "text \\u12 \\u12g4 \\x41 \\\\d \\n"}',
            {"command": "text \\u12 \\u12g4 \\x41 \\d \n"},
            ("bad_escape",),
        ),
        ('{"command": "text \\\n\\d\n"}', {"command": "text \\\n\\d\n"}, ("bad_escape",)),
        ('{"command": "C:\\Users\\new\\temp"}', {"command": "C:\\Users\\new\\temp"}, ("bad_escape",)),
        ('{"command": "\\\\server\\share\\new"}', {"command": "\\\\server\\share\\new"}, ("bad_escape",)),
        ('{"command": "C:\\\\Users\\\\new"}', {"command": "C:\\Users\\new"}, ()),
        ('{"command": "\\ud83d\\ude00 \\u4f60 \\/"}', {"command": "\U0001f600 \u4f60 /"}, ()),
        ('{"command": "text \\ud83d text"}', {"command": "text \ud83d text"}, ()),
        ('{"command": "text \ud83d text"}', {"command": "text \ud83d text"}, ()),
        (
            '{"command": "ls", "opts": {"a": "\\d", "\ud83d": [1,]}}',
            {"command": "ls", "opts": {"a": "\\d", "\ud83d": [1]}},
            ("repaired",),
        ),
        ('{"com\nmand": 1, "command": "x"}', {"com\nmand": 1, "command": "x"}, ()),
        ('{"command": "x", "command": "y"}', {"command": "y"}, ()),
        ('{"command": "xxxxx", "any": 1, "command": 5}', {"command": "5", "any": 1}, ("coerced:command",)),
        ('{"command": "x",}', {"command": "x"}, ()),
    ],
)
def test_what_can_be_mended_where_it_stands_is(mode: Mode, body: str, value: object, said: tuple[str, ...]) -> None:
    """In every mode to the same, and in every cut."""
    assert same(read(body, mode), value)
    assert words(body, mode) == said


@pytest.mark.parametrize("mode", MODES)
def test_a_half_of_a_pair_of_surrogates_is_never_sent_as_it_is(mode: Mode) -> None:
    """The halves of one may have come apart upstream; as escapes they are whole again."""
    body = '{"a\ud83d": "text \ud83d", "any": ["\ude00"], "content": "text \ud83d\ude00 text"}'
    for pieces in rechunkings(body, count=5):
        passed = run(pieces, mode)
        assert passed.text is not None
        assert passed.text.isascii()
        assert json.loads(passed.text)["content"] == "text \U0001f600 text"


@given(TEXTS, st.integers(1, 7))
def test_a_streamed_string_is_what_was_written(text: str, size: int) -> None:
    """Raw characters, bad escapes and escapes that are cut in two included."""
    raw = text.replace('"', '\\"')
    body = f'{{"content": "text {raw}."}}'
    passed = run([body[at : at + size] for at in range(0, len(body), size)], Mode.EAGER)
    expected = run([body], Mode.CALL)
    if passed.text is not None:
        assert expected.text is not None
        assert same(json.loads(passed.text), json.loads(expected.text))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("body", "value", "said"),
    [
        ('{"timeout": "5", "command": 7}', {"timeout": 5, "command": "7"}, ("coerced:timeout", "coerced:command")),
        (
            '{"either": "5", "opts": "{\\"a\\": 1}"}',
            {"either": 5, "opts": {"a": 1}},
            ("coerced:either", "coerced:opts"),
        ),
        ('{"timeout": 5.0}', {"timeout": 5}, ("coerced:timeout",)),
        ('{"timeout": "soon", "either": null, "both": "5"}', {"timeout": "soon", "either": None, "both": "5"}, ()),
        ('{"other": "5"}', {"other": "5"}, ()),
        ('{"time\\u006fut": "5"}', {"timeout": 5}, ("coerced:timeout",)),
    ],
)
def test_each_member_is_brought_to_its_type(mode: Mode, body: str, value: object, said: tuple[str, ...]) -> None:
    """Where its own is not allowed, and where it can be understood in one way."""
    assert same(read(body, mode), value)
    assert tuple(word for word in words(body, mode) if not word.startswith("schema:")) == said


def test_what_does_not_fit_the_schema_is_told() -> None:
    """It is passed on all the same."""
    assert words('{"timeout": "soon"}', Mode.VALUE) == ("schema:missing:command", "schema:type:timeout")
    assert words('{"timeout": 5, "command": "x"}', Mode.VALUE) == ()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "body",
    [
        '{"command": "a b", "\\d": "x"}',
        '{"\\d": "x", "command": "a b"}',
        '{"timeout": 5, "command": "a b", "\\q\\d": {"a": 1}, "any": "text"}',
    ],
)
def test_a_name_with_a_bad_escape_is_mended_at_the_end(mode: Mode, body: str) -> None:
    """What was passed on before is part of the object, and stands in it once."""
    value = read(body, mode)
    assert same(value, json.loads(body.replace("\\", "\\\\")))


# What needs more


@pytest.mark.parametrize("mode", [Mode.CALL, Mode.VALUE])
@pytest.mark.parametrize(
    ("body", "value", "said"),
    [
        ('{"command":"echo 5" disk"}', {"command": 'echo 5" disk'}, "quotes_repaired"),
        ('{"timeout": 5, "command":"echo 5" disk"}', {"timeout": 5, "command": 'echo 5" disk'}, "quotes_repaired"),
        ('{"command":"echo 5" disk", "timeout": "5"}', {"command": 'echo 5" disk', "timeout": 5}, "quotes_repaired"),
        ('{"timeout": 5 "command": "ls"}', {"timeout": 5, "command": "ls"}, "repaired"),
        ("{'command': 'ls', 'timeout': 5}", {"command": "ls", "timeout": 5}, "repaired"),
    ],
)
def test_a_broken_body_is_mended_as_a_whole(mode: Mode, body: str, value: object, said: str) -> None:
    """If what was passed on is how it begins."""
    assert read(body, mode) == value
    assert said in words(body, mode)


@pytest.mark.parametrize(
    "body",
    ['{"command":"echo 5" disk"}', '{"any": 1, "command":"echo 5" disk", "timeout": 5}', '{"command":"text""}'],
)
def test_what_was_streamed_cannot_be_taken_back(body: str) -> None:
    """A string that turns out to be longer than it seemed has failed."""
    assert read(body, Mode.EAGER) is None


def test_what_was_streamed_and_is_whole_stands() -> None:
    """Though the body is mended behind it."""
    assert read('{"command": "ls -la" "timeout": 5}', Mode.EAGER) == {"command": "ls -la", "timeout": 5}
    assert read('{"timeout": 5, "command": "ls -la" \'any\': "x"}', Mode.EAGER) is None
    assert read('{"command":"ab" disk"}', Mode.EAGER) == {"command": 'ab" disk'}


@pytest.mark.parametrize("mode", STREAMED)
@pytest.mark.parametrize(
    "body",
    [
        '{"timeout": 5, "command": "say "hi"", "timeout": 6}',
        '{"timeout": 5, "timeout": 6, "command": "say "hi""}',
    ],
)
def test_a_body_that_begins_otherwise_has_failed(mode: Mode, body: str) -> None:
    """What was passed on would have to be taken back."""
    assert read(body, mode) is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "body",
    [
        '{"command": "ls -la"',
        '{"command": "ls -la", "any": true',
        '{"timeout": 5, "command": "ls -la" \n',
        '{"command": "x", "opts": {"a": [{"b": "x"}]',
    ],
)
def test_brackets_that_are_missing_are_added_by_who_calls(mode: Mode, body: str) -> None:
    """What was streamed is whole then, and is not taken back."""
    for pieces in rechunkings(body, count=5):
        passed = run(pieces, mode, closers=True)
        assert passed.text is not None
        assert json.loads(passed.text)["command"] in {"ls -la", "x"}


# What models put around


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schema", [SCHEMA, "{}"])
@pytest.mark.parametrize(
    "body",
    [
        '{"name": "Bash", "arguments": {"command": "ls -la"}}',
        '{"arguments": {"command": "ls -la"}, "name": "Bash"}',
        '{"arguments": "{\\"command\\": \\"ls -la\\"}", "type": "function", "name": "Bash"}',
        '{"type": "function", "id": "call-1", "name": "Bash", "input": {"command": "ls -la"}}',
        '{"name": "Bash", "parameters": "{\\"command\\": \\"ls -la\\",}"}',
        '{"name": "Bash", "arguments": {"arguments": {"name": "x", "input": {"command": "ls -la"}}}}',
        '[{"name": "Bash", "args": {"command": "ls -la"}}]',
        '[{"command": "ls -la"}]',
        '"{\\"command\\": \\"ls -la\\"}"',
        '{"name": "Bash", "arguments": {"command": "ls -la"},}',
    ],
)
def test_a_wrapping_is_taken_off_in_every_mode(mode: Mode, schema: str, body: str) -> None:
    """And nothing of it is passed on before."""
    if schema == "{}":
        body = body.replace('{"arguments": {"name": "x", "input": {"command": "ls -la"}}}', '{"command": "ls -la"}')
    assert read(body, mode, schema) == {"command": "ls -la"}
    assert run(list(body), mode, schema).before == ""
    assert "unwrapped" in words(body, mode, schema)


@pytest.mark.parametrize("mode", MODES)
def test_a_wrapping_is_taken_off_for_a_tool_with_a_name(mode: Mode) -> None:
    """Its parameter waits for the next member, which tells."""
    assert read('{"name": "create", "arguments": {"name": "Ann", "content": "text"}}', mode, NAMED) == {
        "name": "Ann",
        "content": "text",
    }
    assert read('{"name": "Ann Lee", "content": "text", "arguments": {}}', mode, NAMED) == {
        "name": "Ann Lee",
        "content": "text",
        "arguments": {},
    }


def test_a_name_does_not_keep_a_text_waiting() -> None:
    """With the next member's name it is known that nothing is wrapped."""
    pieces = ['{"name": "Ann Lee"', ', "content": ', '"text ', "text"]
    assert run(pieces, Mode.EAGER, NAMED).pieces == ("", '{"name": "Ann Lee"', ', "content": "text ', "text")
    assert run(pieces, Mode.VALUE, NAMED).pieces == ("", '{"name": "Ann Lee"', "", "")
    assert run(['{"name": "x", "other": '], Mode.VALUE).pieces == ('{"name": "x"',)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("body", "schema"),
    [
        ('{"name": "x"}', SCHEMA),
        ('{"name": "x", "id": "y", "type": "z"}', SCHEMA),
        ('{"arguments": {"a": 1}}', "{}"),
        ('{"name": "x", "arguments": "not JSON"}', SCHEMA),
        ('{"name": "x", "arguments": {"a": 1}, "more": 2}', SCHEMA),
        ('{"command": "text", "arguments": {"a": 1}}', SCHEMA),
        ('{"id": "text", "args": {"a": 1}}', NAMED),
        ('{"input": {"a": 1}, "args": {"b": 2}}', SCHEMA),
    ],
)
def test_what_only_looks_like_a_wrapping_is_the_arguments(mode: Mode, body: str, schema: str) -> None:
    """It is passed on as it is."""
    assert read(body, mode, schema) == json.loads(body)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_unwrapped_where_that_is_not_asked_for(mode: Mode) -> None:
    """An answer in JSON is what it is."""
    body = '{"name": "x", "arguments": {"command": "y"}}'
    assert read(body, mode, "{}", unwraps=False) == json.loads(body)
    assert read("[{}]", mode, "{}", unwraps=False) is None
    assert run(list(body), Mode.VALUE, "{}", unwraps=False).before.startswith('{"name": "x"')


# Freeform tools


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"input": "*** Begin Patch\\n"}', "*** Begin Patch\n"),
        ('{"input": "a "b" c"}', 'a "b" c'),
        ('{"input": "a\nb",}', "a\nb"),
        ('{"name": "apply_patch", "arguments": {"input": "x"}}', "x"),
        ('{"name": "apply_patch", "arguments": "*** Begin"}', "*** Begin"),
        ('"*** Begin Patch\\n"', "*** Begin Patch\n"),
        ('*** Begin Patch\n+ say "hi" \\d\n*** End Patch\n', '*** Begin Patch\n+ say "hi" \\d\n*** End Patch'),
        ("\r\n  indented\n\n", "  indented"),
        ('{"a": 1}', '{"a": 1}'),
        ('{"input": 5}', '{"input": 5}'),
        ("[1, 2]", "[1, 2]"),
        ("5", "5"),
        ("{ x: 'y' }", "{ x: 'y' }"),
        ("print({})", "print({})"),
        ('say "\ud83d"', 'say "\ud83d"'),
        ("{}", ""),
        ("", ""),
    ],
)
def test_a_freeform_tool_is_given_one_text(mode: Mode, body: str, text: str) -> None:
    """That of `input`, of a string, or the body as it stands; nothing of it is passed on before the end."""
    assert read(body, mode, FREEFORM, freeform=True) == {"input": text}
    assert run(list(body), mode, FREEFORM, freeform=True).before == ""
    assert run([body], mode, FREEFORM, freeform=True).words in ((), ("unwrapped",), ("quotes_repaired",), ("repaired",))


# What they are made of


def test_a_tool_is_passed_on_by_members_if_nothing_else_is_said() -> None:
    """Its arguments are read by its own parameters."""
    tool = Tool(ToolSpec("Bash"), Parameters(SCHEMA))
    assert tool.mode is Mode.VALUE


def test_it_is_known_whether_anything_was_passed_on() -> None:
    """A string that is being streamed counts."""
    for mode, begun in ((Mode.CALL, [False, False]), (Mode.VALUE, [False, True]), (Mode.EAGER, [True, True])):
        arguments, scanner, seen = Arguments(Parameters(SCHEMA), mode), Scanner(), []
        for piece in ('{"command": "ls -la"', ', "any": '):
            scanner.feed(piece)
            arguments.of(scanner)
            seen.append(arguments.begun)
        assert seen == begun
        assert arguments.eager is (mode is Mode.EAGER)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"content": 'x"\\\n\u597d' * 10_000}),
        '{"content": "' + "\\d" * 25_000 + '"}',
        '{"content": "text' + "\n" * 50_000 + '"}',
        '{"content": "text' + "\\" * 50_000 + '"}',
        json.dumps({f"k{number}": number for number in range(4_000)}),
        '{"content": "text"' + " " * 50_000 + "}",
        json.dumps({"opts": {"a": ["x" * 1000] * 50}}),
    ],
)
def test_the_time_is_in_proportion_to_the_body(mode: Mode, body: str) -> None:
    """In single characters."""
    began = time.process_time()
    assert run(list(body), mode).text is not None
    assert time.process_time() - began < 8
