"""What a body means that is not JSON: what was written, or nothing."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.toolcalls.repair import (
    MAX_DEPTH,
    MAX_QUOTED,
    Mended,
    dump,
    escapes_mended,
    mended,
    parsed,
    readable,
)

NAMES = ("command", "timeout", "content", "opts")
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
WORDS = st.sampled_from(
    [
        *(
            '"',
            "'",
            "\\",
            ",",
            ":",
            "{",
            "}",
            "[",
            "]",
            " ",
            "\n",
            "\t",
            "/",
            "a",
            "5",
            "-",
            ".",
            "=",
            "\u597d",
            "\U0001f600",
        ),
        *(
            "say ",
            '"hi"',
            "it's",
            "C:\\Users\\new",
            "\\d+",
            "\\n",
            '{"k": 1}',
            ', "k": "v"',
            "true",
            "// x",
            '"command"',
        ),
        *('", ', '": ', '"}', "'}", '",\n"', "x, y", "\x00", "\x7f", "\u2028", "\ud83d"),
    ],
)
TEXTS = st.lists(WORDS | st.text(max_size=2), max_size=8).map("".join)
VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
QUOTED = (
    st.tuples(TEXTS, st.just('"'), TEXTS).map("".join).filter(lambda text: not any(f'"{n}"' in text for n in NAMES))
)
"""Texts with a quote, none of which has a name of ours in quotes."""

OBJECTS = st.dictionaries(st.sampled_from(NAMES), TEXTS | VALUES, min_size=1, max_size=4)
STYLES = st.sampled_from(
    [
        {"ensure_ascii": False},
        {"ensure_ascii": True},
        {"ensure_ascii": False, "separators": (",", ":")},
        {"ensure_ascii": False, "indent": 2},
    ],
)
Style = dict[str, object]
NEARLY_JSON = st.lists(
    WORDS
    | st.sampled_from(
        [*'{}[],:"', '"command": ', '"timeout":', '{"command":"', '"}', "'a'", "null", "1e999", "NaN", "0644"]
    ),
    max_size=30,
).map("".join)


def rendered(value: object, style: Style) -> str:
    """A value as a model might write it, before anything goes wrong."""
    return json.dumps(value, **style)  # type: ignore[arg-type] # the options of a sampled dictionary


def strings(value: object) -> Iterator[str]:
    """All strings of a value, with the names of its members."""
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from strings(item)
        case dict():
            for name, item in value.items():
                yield name
                yield from strings(item)


def places(text: str, wanted: str) -> list[int]:
    """Where one of these characters stands outside of strings."""
    blank = STRING.sub(lambda string: " " * len(string[0]), text)
    return [place for place, character in enumerate(blank) if character in wanted]


def value_of(found: Mended | None) -> object:
    """What was understood; the text says the same, and can be sent."""
    assert found is not None
    assert same(json.loads(found.text), found.value)
    found.text.encode()
    return found.value


def same(one: object, other: object) -> bool:
    """Whether two values are the same as JSON, of which 1 and true are not."""
    return json.dumps(one) == json.dumps(other)


def read(body: str, names: tuple[str, ...] = NAMES) -> object:
    """What is read from a body, or the word that nothing is."""
    found = readable(body, names)
    return "nothing" if found is None else value_of(found)


# Each step of the ladder


@pytest.mark.parametrize(
    ("text", "value", "warnings"),
    [
        ('{"a": 1}', {"a": 1}, ()),
        (' [1, "x", null, true, -1.5e3]\n', [1, "x", None, True, -1500.0], ()),
        ('"\\ud83d\\ude00 \\u4f60 \\/"', "\U0001f600 \u4f60 /", ()),
        ('{"a": 1, "a": 2}', {"a": 2}, ()),
        ('{"a": "x\ny\t\x00"}', {"a": "x\ny\t\x00"}, ("control_chars",)),
        ('{"a": "\\d+\\s"}', {"a": "\\d+\\s"}, ("bad_escape",)),
        ('{"a": "\\d+\\n\n"}', {"a": "\\d+\n\n"}, ("bad_escape",)),
        ('{"a": "\\u12 \\uZZZZ \\x41 \\\'"}', {"a": "\\u12 \\uZZZZ \\x41 \\'"}, ("bad_escape",)),
        ('{"a": "x\\\ny"}', {"a": "x\\\ny"}, ("bad_escape",)),
        ('{"\\d": "\\\\d \\" \\q"}', {"\\d": '\\d " \\q'}, ("bad_escape",)),
        ('{"a": 1,}', {"a": 1}, ("repaired",)),
        ('{"a": [1, 2 , ], "b": {"c": ",}",\n},\n}', {"a": [1, 2], "b": {"c": ",}"}}, ("repaired",)),
        ('{"a": "\\d\n",}', {"a": "\\d\n"}, ("repaired",)),
    ],
)
def test_what_can_be_mended_where_it_stands(text: str, value: object, warnings: tuple[str, ...]) -> None:
    """With a word for what had to be done, and none where nothing had."""
    found = mended(text)
    assert value_of(found) == value
    assert found is not None
    assert found.warnings == warnings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "{",
        '{"a": 1',
        '{"a": 1}}',
        '{"a": 1} x',
        "{'a': 1}",
        "{a: 1}",
        '{"a": 1 "b": 2}',
        '{"a": 1,, "b": 2}',
        '["a",,]',
        '{"a": "b"c"}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        '{"a": 1e999, "b": "\\d"}',
        '{"a": "x',
        '{"a": "x\\',
        '{"a": "x\\"}',
        "\ufeff{}",
        "\u3000{}",
        '{"a": ' + "1" * 5000 + "}",
    ],
)
def test_what_cannot_be_mended_where_it_stands(text: str) -> None:
    """It is left for other steps; what JSON cannot hold again is no value."""
    assert mended(text) is None


def test_a_text_that_is_json_stays_as_it_is() -> None:
    """To the last space; only what cannot be written in UTF-8 is written in another way."""
    found = mended('{ "a":"\\u00e9\u00e9",\n"b": 1.10 }')
    assert found is not None
    assert found.text == '{ "a":"\\u00e9\u00e9",\n"b": 1.10 }'
    half = mended('{"a": "\ud83d \u00e9", "b": 1.10}')
    assert half is not None
    assert half.text == '{"a": "\\ud83d \\u00e9", "b": 1.1}'
    assert half.warnings == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "\u597d\U0001f600\n"}, '{"a": "\u597d\U0001f600\\n"}'),
        ("\ud83d \u597d", '"\\ud83d \\u597d"'),
        ([1, None, True, 0.5], "[1, null, true, 0.5]"),
    ],
)
def test_a_value_is_dumped_in_its_own_letters(value: object, text: str) -> None:
    """Where UTF-8 has them."""
    assert dump(value) == text
    text.encode()


@given(VALUES | st.dictionaries(TEXTS, VALUES))
def test_what_is_dumped_is_parsed_again(value: object) -> None:
    """It is the same value, and can be sent."""
    dump(value).encode()
    assert same(parsed(dump(value)), json.loads(json.dumps(value)))


def test_only_values_of_a_reasonable_depth_are_parsed() -> None:
    """A deeper one might be read, and fail to be written later."""
    deep = "[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1)
    assert dump(parsed(deep)) == deep
    assert len(dump(parsed("[" + "[1]," * 1000 + "{}]"))) > 4000
    for text in (f"[[{deep}]]", '{"a":' * 201 + "1" + "}" * 201, "[" * 100_000 + "]" * 100_000):
        with pytest.raises(ValueError, match="deep"):
            parsed(text)


@pytest.mark.parametrize(
    ("text", "mended_text"),
    [
        ('"\\d"', '"\\\\d"'),
        ('"\\n\\t\\b\\f\\r\\/\\\\\\"\\u00e9"', '"\\n\\t\\b\\f\\r\\/\\\\\\"\\u00e9"'),
        ('"\\u00g9"', '"\\\\u00g9"'),
        ('"\\\\d\\d"', '"\\\\d\\\\d"'),
        ('\\d "\\d" \\d', '\\d "\\\\d" \\d'),
        ('"a" "\\d', '"a" "\\d'),
        ('"a" "\\', '"a" "\\'),
        ("", ""),
    ],
)
def test_bad_escapes_are_mended_in_strings_only(text: str, mended_text: str) -> None:
    """A string that does not end is none."""
    assert escapes_mended(text) == mended_text


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("C:\\Users\\new\\temp.txt", "C:\\Users\\new\\temp.txt"),
        ("c:\\dir\\", None),
        ("D:\\work\\tools\\x\\\\", "D:\\work\\tools\\x\\"),
        ("C:\\\\Users\\new\\d", "C:\\Users\\new\\d"),
        ("C:\\\\Users\\\\new", "C:\\Users\\new"),
        ("C:/tools/new", "C:/tools/new"),
        ('C:\\Tools\\x.exe \\"a b\\"', 'C:\\Tools\\x.exe "a b"'),
        ("\\\\server\\share\\new", "\\\\server\\share\\new"),
        ("\\\\\\\\server\\\\share", "\\\\server\\share"),
        ("\\\\d+\\s", "\\d+\\s"),
        ("\\\\w\\d", "\\w\\d"),
        ("see C:\\Users\\new", "see C:\\Users\new"),
        ("C:\\new\\table", "C:\new\table"),
    ],
)
def test_paths_of_windows(written: str, path: str | None) -> None:
    """In one that cannot be JSON all backslashes are meant; a text that JSON allows means what JSON says."""
    found = mended(f'{{"file_path": "{written}"}}')
    assert (None if found is None else value_of(found)) == (None if path is None else {"file_path": path})


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"command":"echo 5" disk"}', {"command": 'echo 5" disk'}),
        ('{"command": "say "hi", ok" }', {"command": 'say "hi", ok'}),
        ('{"command": ""quoted""}', {"command": '"quoted"'}),
        ('{"command": """}', {"command": '"'}),
        (
            '{"command": "git commit -m "fix: foo"", "timeout": 5}',
            {"command": 'git commit -m "fix: foo"', "timeout": 5},
        ),
        ('{"timeout": 5,\n "command": "a \\"b\\" "c"\n"}', {"timeout": 5, "command": 'a "b" "c"\n'}),
        (
            '{"command": "curl -d \'{"a": "b"}\' x", "timeout": 1}',
            {"command": 'curl -d \'{"a": "b"}\' x', "timeout": 1},
        ),
        (
            '{"content": "<a href="x">\\n\\d</a>", "opts": {"a": [1,]}}',
            {"content": '<a href="x">\n\\d</a>', "opts": {"a": [1]}},
        ),
        ('{"command": "a "b"", "content": "c "d" e"}', {"command": 'a "b"', "content": 'c "d" e'}),
        ('{"content": "print("a, b: {c}")"}', {"content": 'print("a, b: {c}")'}),
        ('{"content": "print("a", "b", "")"}', {"content": 'print("a", "b", "")'}),
        ('{"content": "a "x" {"timeout": "5"} b"}', {"content": 'a "x" {"timeout": "5"} b'}),
    ],
)
def test_quotes_that_were_not_escaped_are_seen_by_the_names(body: str, value: object) -> None:
    """A string reaches to the next member that the tool has, or to the end."""
    found = readable(body, NAMES)
    assert value_of(found) == value
    assert found is not None
    assert found.warnings == ("quotes_repaired",)


@pytest.mark.parametrize(
    "body",
    [
        '{"command": "a "b" c", "command": "d"}',
        '{"command": "a "b" c", "other": "d"}',
        '{"command": "a "b" c", \'timeout\': "d"}',
        '{"command": "a "b" c", timeout: "d"}',
        '{"command": "a "b" c" "timeout": "d"}',
        '{"command": "a "b" c", "a name with \\"": "d"}',
        '{"other": 1, "command": "a "b" c"}',
        '{"command": "a "b" c}',
        '{"command": a "b" c"}',
        '{"command": "a "b" c"',
        '["command": "a "b" c"]',
        'Here: {"command": "a "b" c"}',
        '{"content": "see {"a": "x", "timeout": "5"} there"}',
        '{"content": "see {"a": "x" , "timeout": "5"", "command": "y" z"}',
        '{"content": "s = ", ".join(x)"}',
        '{"command": "x", "timeout"}',
        '{"command": "x" "y"}',
        '{"command": "a "b"", "c"}',
        '{"command": """": ""}',
        '{"command": "x" "y": "z"}',
        '{"command": "a" b", "content": "c" d"}',
        '{"opts": {"a": "x "y" z"}}',
        '{"command": "a "b" c", "timeout": }',
        '{"command": "a "b" c", "timeout": 1 2}',
        '{"command": "C:\\dir\\", "content": "a "b""}',
    ],
)
def test_where_a_string_ends_is_not_guessed(body: str) -> None:
    """What may hold a member, or may be one string in two, is given up."""
    assert readable(body, NAMES) is None


def test_quotes_are_mended_only_where_names_are_known() -> None:
    """And in texts of a reasonable size."""
    assert readable('{"command":"echo 5" disk"}') is None
    assert readable('{"command":"echo 5" disk"}', ("other",)) is None
    filled = '{"command":"' + "x" * (MAX_QUOTED - 30) + '" disk"}'
    assert isinstance(read(filled), dict)
    assert read(filled.replace("disk", "disk" * 30)) == "nothing"


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"command": "x" "timeout": 5}', {"command": "x", "timeout": 5}),
        ('{"timeout": 5 "command": "x"}', {"timeout": 5, "command": "x"}),
        ('{"timeout": true\n"command": "x"}', {"timeout": True, "command": "x"}),
        ('{"timeout": 5 "comm\\u0061nd": "x"}', {"timeout": 5, "command": "x"}),
        ('{"opts": {"a": 1} "command": "x"}', {"opts": {"a": 1}, "command": "x"}),
        ('{"opts": [{"a": 1} {"a": 2}]}', {"opts": [{"a": 1}, {"a": 2}]}),
        ('{"command": "x",, "timeout": 5}', {"command": "x", "timeout": 5}),
        ('{, "command": "x"}', {"command": "x"}),
        ("{'command': 'x', 'timeout': 5}", {"command": "x", "timeout": 5}),
        ("{'command': 'it\\'s \"5\" \\d'}", {"command": 'it\'s "5" \\d'}),
        (
            "{'content': \"it's\", 'timeout': None, 'opts': [True, False]}",
            {"content": "it's", "timeout": None, "opts": [True, False]},
        ),
        ('{command: "x", timeout: -1.50e1}', {"command": "x", "timeout": -15.0}),
        ('{"command": ls, "opts": [a.txt, $HOME]}', {"command": "ls", "opts": ["a.txt", "$HOME"]}),
        ('{"opts": {"a": [1, 2}}', {"opts": {"a": [1, 2]}}),
        ('{"opts": [{"a": "x"}}', {"opts": [{"a": "x"}]}),
        ("{'content': 'C:\\Users\\new'}", {"content": "C:\\Users\\new"}),
        ("\u3000{'content': '\ud83d'} ", {"content": "\ud83d"}),
        ("{command: '" + "x" * 10_000 + "'}", {"command": "x" * 10_000}),
        ('{"command": "k0" "timeout": "k1"}', {"command": "k0", "timeout": "k1"}),
    ],
)
def test_punctuation_is_mended(body: str, value: object) -> None:
    """Commas, the quotes around strings, brackets at the end, and nothing else."""
    found = readable(body, NAMES)
    assert value_of(found) == value
    assert found is not None
    assert found.warnings == ("repaired",)


@pytest.mark.parametrize(
    "body",
    [
        "x",
        "I will read the file.",
        '{"command": "x',
        '{"command": "half of the fi',
        "{'command': 'x",
        '{"command": }',
        '{"command"}',
        '{"command" "x"}',
        '{"command": "x", "timeout"}',
        '{"command": "x" "y"}',
        '{"command": "x", "y"}',
        '{"opts": ["x" "y"]}',
        "{'command': 'it's'}",
        "{'command': 'a' b', 'timeout': 5}",
        "{'command': 'a', b', 'timeout': 5}",
        "{'command': 'two\nlines'}",
        '{"command": ls -la}',
        '{"command": rm x y}',
        '{"command": echo a, b: c}',
        '{"command": echo "hi", "timeout": 5}',
        '{"command": /bin/ls}',
        '{"timeout": 0644}',
        '{"timeout": 1,000}',
        '{"timeout": 1_000}',
        '{"timeout": .5}',
        '{"timeout": +5}',
        '{"timeout": 0x10}',
        '{"timeout": 1.5.2}',
        '{"timeout": NaN}',
        '{"timeout": Infinity, x: 1}',
        '{"timeout": undefined}',
        "{'timeout': 1e999}",
        '{true: 1, "x": 2,,}',
        '{"timeout": 5 // seconds\n}',
        '{"timeout": 5, /* x */ "command": "y",,}',
        '{"command" = "x"}',
        '{"command": "x"; "timeout": 5}',
        '{"opts": ["x", "command": "y"}',
        '{"opts": [1, [2, 3], "command": "y"}',
        '{"opts": {"a": 1}}, "command": "x"}',
        '{"opts": {"a": "x}, "command": "y"}',
        "\u201c\u201d",
        "{\u201ccommand\u201d: \u201cx\u201d}",
        '{"command": (1, 2)}',
        '{"command": "x"...}',
        '```json\n{"command": "x",,}\n```',
    ],
)
def test_what_is_in_doubt_is_not_mended(body: str) -> None:
    """A wrong command is worse than none."""
    assert readable(body, NAMES) is None


def test_any_name_will_do_where_none_is_known() -> None:
    """But for an empty one, which nobody uses."""
    assert read('{"a": "x" "b": "y"}', ()) == {"a": "x", "b": "y"}
    assert read('{"a": "x" "b": "y"}') == "nothing"
    assert read('{"a": "x" "": "y"}', ()) == "nothing"


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ("{'opts': [{} {}, , 3,]}", {"opts": [{}, {}, 3]}),
        ("{'opts': [{} {}], 'path': 'a'", "nothing"),
        ("{'opts': [{'a': [1]}", {"opts": [{"a": [1]}]}),
        ("{'opts': [1}]}", "nothing"),
        ("{'path': , 'opts': 1}", "nothing"),
        ("{'opts' 1}", "nothing"),
    ],
)
def test_commas_and_brackets_come_where_they_belong(body: str, meant: object) -> None:
    """Between values, and behind them; nothing else is made up."""
    assert read(body) == meant


def test_values_of_any_length_are_read() -> None:
    """A text that is too long to be looked through is not."""
    items = ",".join(["1"] * 10_000)
    assert read(f"{{'opts': [{items}]}}") == {"opts": [1] * 10_000}
    assert read("{command: '" + "x" * MAX_QUOTED + "'}") == "nothing"
    assert read("{'opts': " + "[" * MAX_DEPTH + "1" + "]" * MAX_DEPTH + "}") == "nothing"


# Properties: an object is damaged, and what is understood is the object or nothing


@given(OBJECTS, STYLES)
def test_json_is_understood_as_it_is(value: dict[str, object], style: Style) -> None:
    """Nothing is mended that needs no mending."""
    text = rendered(value, style)
    found = readable(text, NAMES)
    assert same(value_of(found), json.loads(text))
    assert found is not None
    assert found.warnings == ()


@given(OBJECTS, STYLES, st.data())
def test_a_quote_that_was_not_escaped(value: dict[str, object], style: Style, data: st.DataObject) -> None:
    """The object is the one that was meant, or none."""
    text = rendered(value, style)
    quotes = [found.start() for found in re.finditer(r'(?<!\\)(?:\\\\)*\\"', text)]
    assume(quotes)
    place = text.index('\\"', data.draw(st.sampled_from(quotes)))
    place = text.index('"', place) - 1
    assert same(read(text[:place] + text[place + 1 :]), value) or read(text[:place] + text[place + 1 :]) == "nothing"


@given(st.dictionaries(st.sampled_from(NAMES), TEXTS | st.integers(), min_size=1), QUOTED, STYLES, st.data())
def test_a_string_of_which_no_quote_was_escaped(
    value: dict[str, object], quoted: str, style: Style, data: st.DataObject
) -> None:
    """The object is the one that was meant, or none; unless JSON says otherwise."""
    value[data.draw(st.sampled_from(sorted(value)))] = quoted
    part = rendered(quoted, style)
    bare = '"' + re.sub(r"\\(.)", lambda escape: '"' if escape[1] == '"' else escape[0], part[1:-1]) + '"'
    text = rendered(value, style).replace(part, bare)
    try:
        json.loads(text)
    except ValueError:
        assert read(text) == "nothing" or same(read(text), value)


@given(OBJECTS, STYLES, st.data())
def test_a_comma_that_is_missing(value: dict[str, object], style: Style, data: st.DataObject) -> None:
    """The object is the one that was meant, or none."""
    text = rendered(value, style)
    commas = places(text, ",")
    assume(commas)
    place = data.draw(st.sampled_from(commas))
    shorter = f"{text[:place]} {text[place + 1 :]}"
    assert read(shorter) == "nothing" or same(read(shorter), value)


@given(OBJECTS, STYLES, st.data())
def test_a_comma_too_many(value: dict[str, object], style: Style, data: st.DataObject) -> None:
    """The object is the one that was meant, or none."""
    text = rendered(value, style)
    place = data.draw(st.sampled_from(places(text, "{}[],")))
    before = data.draw(st.booleans())
    longer = text[: place + (not before)] + "," + text[place + (not before) :]
    assert read(longer) == "nothing" or same(read(longer), value)


@given(OBJECTS, STYLES)
def test_a_comma_before_a_closing_bracket(value: dict[str, object], style: Style) -> None:
    """It is always mended."""
    text = rendered(value, style)
    assert same(read(text[:-1] + " ,\n}"), value)


@given(OBJECTS, STYLES, st.booleans())
def test_strings_in_single_quotes(value: dict[str, object], style: Style, escaped: bool) -> None:  # noqa: FBT001
    """The object is the one that was meant, or none, also if apostrophes were not escaped."""

    def single(string: re.Match[str]) -> str:
        inner = re.sub(r"\\(.)", lambda escape: '"' if escape[1] == '"' else escape[0], string[0][1:-1])
        if escaped:
            inner = re.sub(r"\\.|'", lambda part: "\\'" if part[0] == "'" else part[0], inner)
        return f"'{inner}'"

    text = STRING.sub(single, rendered(value, style))
    found = read(text)
    assert found == "nothing" or same(found, value)
    if escaped and "'" not in "".join(strings(value)) and '"' not in "".join(strings(value)) and "\\" not in text:
        assert same(found, value)


@given(OBJECTS, STYLES)
def test_control_characters_that_were_not_escaped(value: dict[str, object], style: Style) -> None:
    """They are what was meant."""
    raw = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
    text = re.sub(r"\\(.)", lambda escape: raw.get(escape[1], escape[0]), rendered(value, style))
    text = re.sub(
        r"(?<!\\)((?:\\\\)*)\\u00(0[0-9a-f]|1[0-9a-f])", lambda escape: escape[1] + chr(int(escape[2], 16)), text
    )
    assert same(read(text), json.loads(rendered(value, style)))


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.lists(st.sampled_from(["\\", "d", "s+", "(", "U", "x41", " ", "\u597d", '"', "\n"])).map("".join),
    ),
)
def test_backslashes_that_were_not_escaped(value: dict[str, str]) -> None:
    """Where they cannot be an escape, they are what was meant."""
    assume(not any(re.search(r'\\(?:["\\\n]|$)', text) or text[1:3] == ":\\" for text in value.values()))
    text = re.sub(r"\\(\\|.)", lambda escape: "\\" if escape[1] == "\\" else escape[0], dump(value))
    assert same(read(text), value)


@given(
    st.sampled_from("CcDz"),
    st.lists(st.text(st.sampled_from("Uabfnrtu0 ._-\u597d"), min_size=1, max_size=6), min_size=1, max_size=5),
)
def test_a_path_in_a_body_that_is_no_json(drive: str, steps: list[str]) -> None:
    """It never loses a step to an escape."""
    path = f"{drive}:\\" + "\\".join(steps)
    text = dump({"command": path, "timeout": 5}).replace("\\\\", "\\")
    try:
        json.loads(text)
    except ValueError:
        assert read(text) == {"command": path, "timeout": 5}


@given(OBJECTS, STYLES, st.data())
def test_what_was_cut_off_is_never_more_than_what_was_written(
    value: dict[str, object], style: Style, data: st.DataObject
) -> None:
    """No string is closed that was not, and none is made up: who calls does not even show such a body."""
    text = rendered(value, style)
    found = read(text[: data.draw(st.integers(0, len(text)))])
    if found != "nothing":
        assert {*strings(found)} <= {*strings(json.loads(text))}


@given(
    OBJECTS,
    STYLES,
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from(["", *'{}[],:"\\ \n', "'", "x", '\\"', "5"])), min_size=1, max_size=3
    ),
)
def test_whatever_is_damaged_no_string_outside_of_the_text_comes_about(
    value: dict[str, object], style: Style, damages: list[tuple[float, str]]
) -> None:
    """Each is a piece of the text, but for its escapes and for what was escaped in vain."""
    text = rendered(value, style)
    for share, put in damages:
        place = int(share * (len(text) - 1))
        text = text[:place] + put + text[place + (not put) :]
    found = read(text)
    plain = bare(text)
    if found != "nothing":
        assert all(bare(json.dumps(string, ensure_ascii=False)[1:-1]) in plain for string in strings(found))


def bare(text: str) -> str:
    """A text without anything that mending may touch."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda escape: chr(int(escape[1], 16)), text)
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return re.sub(r'\\[nrtbf]|[\\"\x00-\x1f/]', "", text)


# Whatever comes


@given(
    st.text(st.characters(exclude_categories=())) | NEARLY_JSON, st.sampled_from([(), NAMES, ("",), ('a"b', "(", "\\")])
)
def test_nothing_is_raised_for_any_text(body: str, names: tuple[str, ...]) -> None:
    """What is found can be sent, and is JSON."""
    for found in (readable(body, names), readable("{" + body + "}", names), mended(body)):
        if found is not None:
            value_of(found)
    escapes_mended(body)


HARD: list[Callable[[int], str]] = [
    lambda size: '{"command":"' * (size // 12),
    lambda size: '{"command":"' * (size // 12) + "}",
    lambda size: "[" * size,
    lambda size: "[" * (size // 2) + "]" * (size // 2),
    lambda size: '{"a":' * (size // 5) + "}" * 8,
    lambda size: '{"command":"' + '"' * size + '"}',
    lambda size: '{"command":"' + '\\"' * (size // 2),
    lambda size: '{"command":"a"b"' + '\\"' * (size // 2) + "}",
    lambda size: '{"command":"' + "\\" * size + '"}',
    lambda size: '{"command":"' + "\\d" * (size // 2) + '" x"}',
    lambda size: '{"command":' + "," * size + "}",
    lambda size: "{" + ', "x"' * (size // 5) + "}",
    lambda size: '{"command":"x" ' + " " * size + '"y"}',
    lambda size: "{" + "'" * size + "}",
    lambda size: "{" + "\\'" * (size // 2) + "}",
    lambda size: "{'" + "\\'" * (size // 2) + "}",
    lambda size: "{" + "x " * (size // 2) + "}",
    lambda size: "{" + "x: y, " * (size // 6) + "}",
    lambda size: '{"command":"' + '", "' * (size // 4) + '"}',
    lambda size: '{"command":"' + '" "\\"' * (size // 5) + '"}',
    lambda size: '{"command": "a" b", ' + '"x' * (size // 2) + '"}',
    lambda size: '{"command":"' + "\\u12" * (size // 4) + '"x"}',
    lambda size: "{" + "1 " * (size // 2) + "}",
    lambda size: "{" + "-" * size + "}",
    lambda size: '{"command": ' + "1" * size + "}",
    lambda size: "{" + '"{"' * (size // 3) + "}",
    lambda size: "{" + '"{",' * (size // 4) + "}",
    lambda size: "[" + '}"0"' * (size // 4) + "]",
    lambda size: '{"a":[' + ':"0"' * (size // 4) + "}",
    lambda size: "[" * 60 + 'null"{"' * (size // 7) + "}",
    lambda size: "{" + '],"0" {"1",' * (size // 11) + "}",
    lambda size: "[" + 'a"a":"b",' * (size // 9) + "]",
    lambda size: "{" + "(" * size + "}",
]


@pytest.mark.parametrize("size", [1000, 4000, 64 * 1024])
@pytest.mark.parametrize("make", HARD)
def test_no_body_takes_long(make: Callable[[int], str], size: int) -> None:
    """Whatever is repeated in it, and however often."""
    began = time.process_time()
    readable(make(size), NAMES)
    assert time.process_time() - began < 6
