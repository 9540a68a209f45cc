"""One JSON value as it arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.repair import escapes_mended
from app.toolcalls.scanner import MAX_WORD, Scanner
from tests.drip import drip, rechunkings

TEXTS = st.text(st.sampled_from('ab"\\/{}[],:<\n\t\u00e9\u597d\U0001f600 u1') | st.characters(), max_size=8)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=15,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=5)
HELD_VALUES = OBJECTS | st.lists(VALUES, max_size=5) | TEXTS
"""Values whose end can be seen: those of brackets and quotes."""

WRITERS = st.sampled_from(
    [
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda value: json.dumps(value, indent=2),
        lambda value: json.dumps(value, indent="\t", ensure_ascii=False, separators=("\r\n,", " : ")),
        lambda value: f" \n{json.dumps(value)}",
    ],
)
Writer = Callable[[object], str]
ODD = st.lists(
    st.sampled_from([*'{}[],:"\\ \n<', '"a"', '"b":', "1", "-1.5e3", "true", "nul", "x", '\\"', "\u597d", "01", "{}"]),
    max_size=14,
).map("".join)
"""Texts that are nearly JSON."""


@dataclass
class Reading:
    """What came of a value, and what follows it; `seen` are the members in the order in which they came."""

    end: int | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)
    broken: int | None = None
    comma: bool = False
    missing: str | None = None
    key: str | None = None
    unconfirmed: tuple[str, str] | None = None
    unfinished: str = ""


def read(pieces: Sequence[str]) -> Reading:
    """Feed a scanner with these pieces, up to the end of the value."""
    scanner, reading, fed = Scanner(), Reading(), 0
    for piece in pieces:
        end = scanner.feed(piece)
        reading.seen += scanner.members
        scanner.members = []
        if end is not None:
            reading.end = fed + end
            scanner.conclude()
            reading.seen += scanner.members
            break
        fed += len(piece)
        if scanner.broken is not None:
            break
    reading.broken, reading.comma = scanner.broken, scanner.comma
    reading.missing, reading.key = scanner.missing, scanner.key
    reading.unconfirmed, reading.unfinished = scanner.unconfirmed, "".join(scanner.unfinished_string)
    return reading


def members_of(value: object) -> list[tuple[str, object]]:
    """The members of an object; nothing else has any."""
    return list(value.items()) if isinstance(value, dict) else []


def meant(members: Sequence[tuple[str, str]]) -> list[tuple[str, object]]:
    """What the JSON texts of members say."""
    return [(str(json.loads(name)), json.loads(value)) for name, value in members]


@given(HELD_VALUES, WRITERS, st.text() | ODD)
def test_the_end_of_a_value_is_found_whatever_follows(value: object, write: Writer, after: str) -> None:
    """To the character, and its members are those of the outermost object, however it was cut."""
    text = write(value)
    expected = read([text + after])
    assert expected.end == len(text)
    assert expected.broken is None
    assert not expected.comma
    assert meant(expected.seen) == members_of(value)
    for pieces in rechunkings(text + after, count=4, small=60):
        assert read(pieces) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '""',
        " \r\n\t{ }",
        '{"a":1}',
        '{"a": -0.5E+10, "b": [1, 2 ,3], "c": {"d": {}}, "e": null}',
        '{"a": "\\"}\\\\", "\\u007b": "\\ud83d\\ude00"}',
        '{"a": "<call:K7Q2 name=\\"x\\">}", "b": "x<y"}',
        '["{", "}", {"a": "]"}]',
        '"}{\\\\"',
        '{"": ""}',
        '{"a": "raw \n\t\x00 control", "bad": "\\d\\u12"}',
        '{"a":1,}',
        '{"a":[1,2,] , }',
    ],
)
@pytest.mark.parametrize("after", ["", " ", "}", '"', ",", "</call:K7Q2>", "\\", "1", "{", "\ud83d"])
def test_how_a_value_arrives_changes_nothing(text: str, after: str) -> None:
    """Neither do control characters, bad escapes or what follows."""
    assert drip(read, text + after).end == len(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("x", None),
        ("x ", 0),
        ("1", None),
        ("1 ", 0),
        ("true,", 0),
        ("}", 0),
        (",", 0),
        (":", 0),
        ("\ufeff{}", 0),
        ("\u00a0{}", 0),
        ("<call", 0),
        ("[1 2]", 3),
        ("[1,,2]", 3),
        ("[,1]", 1),
        ("[1}", 2),
        ("[01]", 1),
        ("[1.]", 1),
        ("[.5]", 1),
        ("[+1]", 1),
        ("[1e]", 1),
        ("[--1]", 1),
        ("[NaN]", 1),
        ("[True]", 1),
        ("[trueish]", 1),
        ("['a']", 1),
        ("[1:2]", 2),
        ("{,}", 1),
        ("{1:2}", 1),
        ("{a:2}", 1),
        ('{"a"}', 4),
        ('{"a",', 4),
        ('{"a" "b"', 5),
        ('{"a"::', 5),
        ('{"a":,', 5),
        ('{"a":}', 5),
        ('{"a":1 "b":2}', 7),
        ('{"a":1]', 6),
        ('{"a":{]', 6),
        ('{"a":1,,', 7),
        ('{"a":1,2', None),
        ('{"a":1,2:', 7),
        ('{"command":"echo 5" disk"}', 20),
        ('{"a": "x"</call:K7Q2>', 9),
        ('{"a": true</call:K7Q2>', 10),
        ('{"a": 12<call:K7Q2 ', 8),
        ('{"a": <', 6),
        ("[// no comment", 1),
        ('["a"\x0b]', 4),
    ],
)
def test_what_json_does_not_allow_breaks_the_value(text: str, place: int | None) -> None:
    """At the place where that begins; a word is looked at when it has ended."""
    assert drip(read, text).broken == place
    assert read([text]).end is None


@given(ODD)
def test_a_value_ends_breaks_or_goes_on_and_no_cut_changes_that(text: str) -> None:
    """It is never two of them, and what ends is JSON but for commas, escapes and control characters."""
    expected = read([text])
    assert expected.end is None or expected.broken is None
    for pieces in rechunkings(text, count=6, small=80):
        assert read(pieces) == expected
    if expected.end is not None and not expected.comma:
        value = json.loads(escapes_mended(text[: expected.end]), strict=False)
        assert len(expected.seen) >= len(members_of(value))


@given(ODD | HELD_VALUES.map(json.dumps))
def test_what_the_standard_library_reads_is_never_broken(text: str) -> None:
    """A value of brackets or quotes that stands alone ends where its text does."""
    try:
        value = json.loads(text)
    except ValueError:
        return
    reading = read([text])
    if isinstance(value, dict | list | str):
        assert reading.broken is None
        assert reading.end is not None
        assert not text[reading.end :].strip()


@pytest.mark.parametrize(
    ("text", "comma"),
    [
        ('{"a":1}', False),
        ('{"a":1,}', True),
        ('{"a":[1,2, \n]}', True),
        ('[{"a":{"b":1,}},2]', True),
        ('{"a":",}"}', False),
        ("[[],]", True),
    ],
)
def test_a_comma_before_a_closing_bracket_is_let_through(text: str, *, comma: bool) -> None:
    """It is the one thing that JSON does not allow and that changes nothing."""
    assert drip(read, text) == read([text])
    assert (read([text]).end, read([text]).comma) == (len(text), comma)


def test_members_are_json_texts_as_they_stand() -> None:
    """With the white space within them, and without that around them."""
    text = '{ "a" : [1,  2 ] ,"\\u0062":"x\\n" , "c":{"d":1} , "e":-1e3 ,"f":null,"f":"" }'
    assert drip(read, text).seen == [
        ('"a"', "[1,  2 ]"),
        ('"\\u0062"', '"x\\n"'),
        ('"c"', '{"d":1}'),
        ('"e"', "-1e3"),
        ('"f"', "null"),
        ('"f"', '""'),
    ]


@pytest.mark.parametrize("text", ['[{"a":1,"b":2},{"c":3}]', '"{\\"a\\":1}"', "[]", '[["a",{"b":{}}]]'])
def test_what_is_no_object_has_no_members(text: str) -> None:
    """Those of objects within it are none of its own."""
    reading = drip(read, text)
    assert (reading.seen, reading.key, reading.unconfirmed) == ([], None, None)


def test_a_member_is_confirmed_by_the_colon_of_the_next_one() -> None:
    """A comma is not enough: it may stand in a string that was not escaped."""
    scanner = Scanner()
    seen = []
    for character in '{"a": "x", "b" : 1, "c":[] }':
        scanner.feed(character)
        seen.append((character, len(scanner.members), scanner.key, scanner.unconfirmed))
    scanner.conclude()
    assert scanner.members == [('"a"', '"x"'), ('"b"', "1"), ('"c"', "[]")]
    counts = [count for _, count, _, _ in seen]
    assert counts == [0] * 15 + [1] * 8 + [2] * 5
    assert seen[3][2:] == (None, None)
    assert seen[4][2:] == ('"a"', None)
    assert seen[7][2:] == ('"a"', None)
    assert seen[8][2:] == ('"a"', ('"a"', '"x"'))
    assert seen[14][2:] == ('"a"', ('"a"', '"x"'))
    assert seen[15][2:] == ('"b"', None)


def test_a_broken_value_confirms_nothing_more() -> None:
    """What was confirmed before stays, and what was whole is known as such."""
    reading = drip(read, '{"a":1,"command":"echo 5" disk","b":2}')
    assert reading.seen == [('"a"', "1")]
    assert reading.unconfirmed == ('"command"', '"echo 5"')


def test_a_string_is_there_as_it_arrives() -> None:
    """With its opening quote and without an escape that is not whole, if it is a value of the outermost object."""
    scanner = Scanner()
    seen = []
    for piece in [
        '{"k',
        'ey": "',
        "ab",
        "c\\",
        'n\\"',
        "\\\\",
        "\\ud83",
        "d",
        '" ',
        ', "o": {"in": "x',
        '"}, "l": ["y',
    ]:
        scanner.feed(piece)
        seen.append("".join(scanner.unfinished_string))
    assert seen == [
        "",
        '"',
        '"ab',
        '"abc',
        '"abc\\n\\"',
        '"abc\\n\\"\\\\',
        '"abc\\n\\"\\\\\\ud83',
        '"abc\\n\\"\\\\\\ud83d',
        "",
        "",
        "",
    ]


@given(st.dictionaries(TEXTS, TEXTS, min_size=1, max_size=3), WRITERS)
def test_the_pieces_of_a_string_are_its_beginning(value: dict[str, str], write: Writer) -> None:
    """They only ever grow."""
    scanner, text, before = Scanner(), write(value), ""
    for character in text:
        scanner.feed(character)
        pieces = "".join(scanner.unfinished_string)
        assert not pieces or not before or pieces.startswith(before)
        assert not pieces or pieces in text
        before = pieces


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("", None),
        ("  ", None),
        ("{", None),
        ("[", None),
        ("[[", None),
        ('{"a', None),
        ('{"a"', None),
        ('{"a":', None),
        ('{"a": ', None),
        ('{"a":"x', None),
        ('{"a":"x\\"', None),
        ('{"a":"x"', "}"),
        ('{"a":"x" \n', "}"),
        ('{"a":"x",', None),
        ('{"a":"x", ', None),
        ('{"a":"x","b"', None),
        ('{"a":1', None),
        ('{"a":1 ', None),
        ('{"a":1.5\n', None),
        ('{"a":true', "}"),
        ('{"a":null ', "}"),
        ('{"a":[false', "]}"),
        ('{"a":tru', None),
        ('{"a":truely', None),
        ('{"a":[1,2]', "}"),
        ('{"a":[1,2', None),
        ('{"a":[{"b":{}', "}]}"),
        ('[[["x"', "]]]"),
        ('[{"a":"x"},{"b":[]', "}]"),
        ('{"a":{}', "}"),
        ('{"a":{"b":{"c":"x"}', "}}"),
        ('{"a":1}', None),
        ('"x', None),
        ('{"a":"x"</call:K7Q2>', "}"),
        ('{"a":[true<', "]}"),
        ('{"a":12<', None),
        ('{"a":"x",<', None),
        ("true", None),
    ],
)
def test_brackets_are_missing_only_behind_a_value_that_is_whole(text: str, missing: str | None) -> None:
    """A number may have been longer, and in a string, behind a comma or a colon there was to be more."""
    assert drip(read, text).missing == missing


@given(OBJECTS | st.lists(VALUES, max_size=5), WRITERS, st.integers(0, 6))
def test_what_is_missing_makes_the_value_whole(value: object, write: Writer, start: int) -> None:
    """At every place of a value at which brackets alone are missing, and they are the fewest."""
    text = write(value)
    for place in range(start, len(text), 7):
        missing = read([text[:place]]).missing
        if missing is not None:
            whole = text[:place] + missing
            json.loads(whole)
            assert read([whole]).end == len(whole)


@given(OBJECTS, WRITERS)
def test_brackets_that_were_cut_off_are_missing(value: dict[str, object], write: Writer) -> None:
    """Behind the last thing that is no bracket, if it is no number and no bracket was just opened."""
    text = write(value)
    bones = text.rstrip("]} \r\n\t")
    closers = "".join(text[len(bones) :].split())
    if bones[-1] in '"el' and closers:
        assert read([bones]).missing == closers


def test_a_long_word_breaks_the_value() -> None:
    """Nothing of JSON is so long but a number that nobody means."""
    longest = "1" * MAX_WORD
    assert drip(read, f"[{longest}]").end == MAX_WORD + 2
    assert drip(read, f"[{longest}1]").broken == 1
    assert drip(read, f"[1, {longest}1").broken == 4


def timed(text: str, size: int = 1) -> float:
    """Seconds for a text in pieces of so many characters."""
    began = time.process_time()
    read([text[at : at + size] for at in range(0, len(text), size)])
    return time.process_time() - began


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "' + "x" * 200_000 + '"}',
        '{"a": "' + '\\"' * 40_000 + '"}',
        '{"a": "' + "\\\\" * 40_000 + '"}',
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 40_000,
        '{"a": {"b": "' + "x" * 80_000 + '"}}',
        "{" + " " * 80_000 + "}",
        '{"a": ' + "\u597d" * 80_000,
        '{"a": ' + "1" * 80_000,
        '{"a": 1' + ", " * 40_000,
        "{" + '"a": 1, ' * 10_000 + '"b": 2}',
        "[" + "1," * 40_000 + "]",
        '"' + "\\" * 80_000,
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_the_time_is_in_proportion_to_the_text(text: str, size: int) -> None:
    """In single characters and all at once; deep nesting raises nothing."""
    assert timed(text, size) < 2


def test_how_a_long_string_arrives_changes_nothing() -> None:
    """It comes out as it went in."""
    text = json.dumps({"content": 'x"\\\n\u597d' * 10_000, "b": 1})
    expected = read([text])
    assert expected.end == len(text)
    assert read(list(text)) == expected
