"""How far the body of a call reaches."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.toolcalls.extent import Extent
from app.toolcalls.marks import Marks
from tests.drip import drip, rechunkings

MARKS = Marks("K7Q2")
END = f"\n{MARKS.call_end}>"

TEXTS = st.lists(
    st.sampled_from([*MARKS.all, ">", "}", "{", '"', "\\", "\n", "]\n", "<", " ", "a", "\u597d"]) | st.text(max_size=2),
    max_size=6,
).map("".join)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3)
ODD = st.lists(
    st.sampled_from(
        [
            *MARKS.all,
            *(
                '{"a": "',
                '"',
                "x",
                "}",
                "]",
                "\n",
                "\r\n",
                " ",
                "\t",
                "    ",
                " " * 31,
                " " * 47,
                "<",
                "</call",
                ":K7Q2",
            ),
            *("\\", '\\"', ",", ":", '"b": 1', "true", "1", "<call:K7", '{"command":"echo 5" disk"}', ">", "\u3000"),
        ],
    ),
    max_size=14,
).map("".join)
"""Bodies that are broken in most cases, with marks of all kinds in them."""


def read(pieces: Sequence[str]) -> tuple[str, str | None, bool, int | None]:
    """The body that arrives in these pieces, what follows it, whether it is whole, and where it broke."""
    extent = Extent(MARKS)
    for number, piece in enumerate(pieces):
        rest = extent.feed(piece)
        if rest is not None:
            return extent.text, rest + "".join(pieces[number + 1 :]), extent.whole, extent.scanner.broken
    extent.read()
    return extent.text, None, extent.whole, extent.scanner.broken


def ends(text: str) -> int | None:
    """Where a body ends, as it is written down: with its JSON, or else with a mark that stands where one may."""
    _, _, whole, broken = read([text])
    if whole or broken is None:
        return None
    for mark in MARKS.pattern.finditer(text, broken):
        before = text[: mark.start()]
        bare = before.rstrip()
        closed = bare[-1:] in {"}", "]"} and len(before) - len(bare) <= 32
        line = before.rstrip(" \t")
        fresh = line[-1:] == "\n" and len(before) - len(line) <= 8
        if mark.start() == broken or closed or fresh:
            return mark.start()
    return None


@given(OBJECTS | st.lists(VALUES, max_size=3), st.booleans(), TEXTS)
def test_a_body_ends_where_its_json_does(value: object, ascii_only: bool, after: str) -> None:  # noqa: FBT001
    """Whatever marks its strings hold, and whatever follows."""
    text = "\n" + json.dumps(value, ensure_ascii=ascii_only)
    for pieces in rechunkings(text + after, count=4, small=60):
        assert read(pieces) == (text, after, True, None)


@pytest.mark.parametrize(
    "after", [END, "</call:K7Q2>", "}\n</call:K7Q2>", '"', "", "\n```\n", '{"b": 2}', "<call:K7Q2 "]
)
@pytest.mark.parametrize(
    "body",
    [
        '{"a": 1}',
        "[]",
        '"text"',
        '{"content": "}\\n</call:K7Q2>"}',
        '{"content": "}\n</call:K7Q2>\n<call:K7Q2 name="}',
        '{"content": "<call:K7Q2 name=\\"Read\\">{}</call:K7Q2>", "b": "</result:K7Q2>"}',
        '{"</call:K7Q2>": {"]\\n<result:K7Q2": ["\\"}<call:K7Q2"]}}',
        '{"a": [1, 2,],}',
    ],
)
def test_a_mark_in_a_string_is_part_of_the_body(body: str, after: str) -> None:
    """Also at the beginning of a line, and behind a bracket."""
    assert drip(read, body + after, small=150) == (body, after, True, None)


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ('{"command":"echo 5" disk"}', "</call:K7Q2>"),
        ('{"command":"echo 5" disk"}\n', "</call:K7Q2>\n<call:K7Q2 name"),
        ('{"command":"echo 5" disk"}\n', "<call:K7Q2 name="),
        ('{"command":"echo 5" disk"}\n', "<result:K7Q2 "),
        ('{"command":"echo 5" disk"}', "</result:K7Q2>"),
        ('{"command":"echo 5" disk <call:K7Q2 "} ', "</call:K7Q2>"),
        ('["a" b"]\t\n ', "</call:K7Q2>"),
        ('{"a":"x" y"}' + " " * 32, "</call:K7Q2>"),
        ('{"a":"x" y"}' + " " * 33 + "</call:K7Q2>\n", "</call:K7Q2>"),
        ('{"a":"x" y"\n', "</call:K7Q2>"),
        ('{"a":"x" y"\r\n\t ', "</call:K7Q2>"),
        ('{"a":"x" y"\n' + " " * 8, "</call:K7Q2>"),
        ('{"a":"x" y"\n' + " " * 9 + "</call:K7Q2> }", "</call:K7Q2>"),
        ('{"a":"x" y "</call:K7Q2>"z"}', "</call:K7Q2>"),
        ('{"a":"x"', "</call:K7Q2>}\n</call:K7Q2>"),
        ('{"a":"x"  ', "<call:K7Q2 name"),
        ('{"a":true', "</call:K7Q2>"),
        ('{"a":12', "</call:K7Q2>}"),
        ('{"a":"x",', "</call:K7Q2>"),
        ('{"a":', "</call:K7Q2>"),
        ("", "</call:K7Q2>"),
        ("\n", "</call:K7Q2>"),
        ("*** Begin Patch\n*** End Patch\n", "</call:K7Q2>"),
        ("*** <call:K7Q2 Patch\n", "</call:K7Q2>"),
        ("*** {}", "</call:K7Q2>"),
        ('{"a":"\n', '</call:K7Q2>" x\n</call:K7Q2>'),
        ('{"a":"x}\n', '</call:K7Q2>\n<call:K7Q2 name="b">{}</call:K7Q2>'),
        ('{"a": x}' + "y" * 200 + "}", "</call:K7Q2>"),
        ('{"a": x' + " <call:K7Q" * 20 + "}", "</call:K7Q2>"),
    ],
)
def test_a_broken_body_ends_with_a_mark_where_an_object_can_end(body: str, after: str) -> None:
    """Or where it broke; a mark anywhere else is part of it. What was taken for a string may have been none."""
    text, rest, whole, broken = drip(read, body + after, small=150)
    assert (text, rest, whole) == (body, after, False)
    assert broken is not None


@pytest.mark.parametrize(
    "body",
    [
        "",
        '{"a": "x',
        '{"a": "</call:K7Q2>',
        '{"a": "x"',
        '{"a": 1</cal',
        '{"a": x </call:K7Q2>',
        '{"a": x}\n</call:K7Q',
        '{"a": x}\n</call:ZZZZ>',
        '{"a": x} y </call:K7Q2>',
    ],
)
def test_a_body_goes_on_where_nothing_ends_it(body: str) -> None:
    """All of it is there when the answer is over."""
    assert drip(read, body)[:3] == (body, None, False)


@given(ODD)
def test_how_a_body_arrives_changes_nothing(text: str) -> None:
    """It ends where it is written down that it does, and nothing is lost or added, however marks were cut."""
    expected = read([text])
    body, rest, whole, _ = expected
    assert body + (rest or "") == text
    if not whole:
        assert (None if rest is None else len(body)) == ends(text)
    for pieces in rechunkings(text, count=8, small=120):
        assert read(pieces) == expected


def test_what_follows_may_have_begun_earlier() -> None:
    """A mark that arrived in two pieces is given back as a whole."""
    extent = Extent(MARKS)
    assert extent.feed('{"a": "x" y"}\n</call:K7') is None
    assert extent.feed("Q2>\nmore") == "</call:K7Q2>\nmore"
    assert extent.text == '{"a": "x" y"}\n'


def test_a_string_is_read_when_it_has_ended_or_when_that_is_asked_for() -> None:
    """What has no quote cannot end it."""
    extent = Extent(MARKS)
    extent.feed('{"a": "x')
    extent.feed("yz")
    assert "".join(extent.scanner.unfinished_string) == '"x'
    assert extent.read() is None
    assert "".join(extent.scanner.unfinished_string) == '"xyz'
    assert extent.feed("<") is None
    assert extent.feed('"} rest') == " rest"
    assert extent.text == '{"a": "xyz<"}'
    assert extent.whole


@given(OBJECTS, st.integers(0, 3))
def test_reading_early_changes_nothing(value: dict[str, object], every: int) -> None:
    """The members and the end are the same."""
    text = json.dumps(value)
    extent, rest = Extent(MARKS), None
    for number, character in enumerate(text + "!"):
        rest = extent.feed(character)
        if rest is not None:
            break
        if number % 4 <= every:
            extent.read()
    assert (extent.text, rest, extent.whole) == (text, "", True)
    extent.scanner.conclude()
    assert [(json.loads(name), json.loads(item)) for name, item in extent.scanner.members] == list(value.items())


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"content": 'x"\\\n</call:K7Q2>' * 5_000}),
        '{"content": "' + "x" * 100_000,
        '{"content": "x" ' + "y" * 100_000,
        '{"content": "x" y ' + "<call:K7Q2 " * 10_000,
        '{"content": "x" ' + "<call:K7Q" * 10_000,
        '{"content": "x" y ' + "} " * 50_000,
        '{"content": "x" ' + " " * 100_000,
        "\u597d" * 100_000,
        "[" * 100_000,
    ],
)
@pytest.mark.parametrize("size", [1, 4, 1 << 20])
def test_the_time_is_in_proportion_to_the_body(text: str, size: int) -> None:
    """In single characters, in tokens and all at once."""
    began = time.process_time()
    assert read([text[at : at + size] for at in range(0, len(text), size)])[0] == text
    assert time.process_time() - began < 8
