"""A block in the marks of others, as it arrives."""

from __future__ import annotations

import json
import time

import pytest

from app.toolcalls.arguments import Mode
from app.toolcalls.calls import Rules
from tests.drip import drip
from tests.toolcalls.answers import Outcome, call, read, rules

PATH = {"file_path": "/a"}
READ = ("Read", PATH)


def hermes(name: str = "Read", arguments: object = PATH) -> str:
    """A call as Hermes writes it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def k2(name: str = "functions.Read:0", body: str = '{"file_path": "/a"}') -> str:
    """A call as Kimi K2 writes it, without its section."""
    return f"<|tool_call_begin|>{name}<|tool_call_argument_begin|>{body}<|tool_call_end|>"


def plural(*blocks: str) -> str:
    """A section of calls."""
    return f"<|tool_calls_section_begin|>{''.join(blocks)}<|tool_calls_section_end|>"


def k3(name: str = "Read", path: str = "/a") -> str:
    """A call as Kimi K3 writes it, without its section."""
    return (
        f'<|open|>call tool="{name}" index="1"<|sep|><|open|>argument key="file_path" type="string"<|sep|>{path}'
        "<|close|>argument<|sep|><|close|>call<|sep|>"
    )


def come_of(text: str, told: Rules | None = None, *, clean: bool = True) -> Outcome:
    """What comes of an answer, however it arrives."""
    return drip(lambda chunks: read(chunks, told, clean=clean), text, small=400)


@pytest.mark.parametrize(
    ("text", "count", "dialect"),
    [
        (hermes(), 1, "hermes"),
        (f"{hermes()}\n{hermes()}", 2, "hermes"),
        (hermes(arguments=json.dumps(PATH)), 1, "hermes"),
        (k2(), 1, "k2"),
        (k2("Read"), 1, "k2"),
        (k2("functions.Read:0\n"), 1, "k2"),
        (f"{k2()}\n{k2('functions.Read:1')}", 2, "k2"),
        (plural(k2()), 1, "k2"),
        (plural(k2(), "\n", k2("functions.read:1"), k2()), 3, "k2"),
        (plural(k2()).replace("calls_section", "call_section"), 1, "k2"),
        (plural(k2()).replace("calls_section_end", "call_section_end"), 1, "k2"),
        (plural(k2(), k2()).replace("calls_section_begin", "call_section_begin"), 2, "k2"),
        (k3(), 1, "k3"),
        (f"<|open|>tools<|sep|>{k3()}{k3('READ')}<|close|>tools<|sep|>", 2, "k3"),
    ],
)
def test_calls_of_every_dialect_count(text: str, count: int, dialect: str) -> None:
    """In plural, in singular, without a section; what stands around them stays."""
    for mode in (Mode.VALUE, Mode.EAGER):
        outcome = come_of(f"a\n{text}\nb", rules(mode))
        assert (outcome.text, outcome.values, outcome.codes) == ("a\nb", [READ] * count, [])
        assert outcome.warnings == [f"alias:{dialect}"] * count


def test_several_dialects_in_one_answer() -> None:
    """Each stands for itself, also beside ours."""
    text = "\n".join(
        ["a", hermes(), "b", plural(k2()), call(), "```", k3(), "```", "c", k2("nope"), hermes("nope"), "d"]
    )
    outcome = come_of(text)
    assert outcome.values == [READ] * 4
    assert outcome.text == f'a\nb\nc\nnope{{"file_path": "/a"}}\n{hermes("nope")}\nd'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (hermes("nope"), hermes("nope")),
        (k2("functions.nope:0"), 'functions.nope:0{"file_path": "/a"}'),
        (plural(k2("Raed:1"), k2("nope:1", "{}")), 'Raed:1{"file_path": "/a"}nope:1{}'),
        (k3("nope", "b"), 'tool="nope" index="1"argument key="file_path" type="string"bargumentcall'),
        ("<tool_call>Read</tool_call>", "<tool_call>Read</tool_call>"),
        ("<tool_call>{Read}</tool_call>", "<tool_call>{Read}</tool_call>"),
        ('<tool_call>\n{"x": 1}', '<tool_call>\n{"x": 1}'),
        (f"`{hermes()}", f"`{hermes()}"),
        (f"```\nx\n{plural(k2())}\n```\n", f"```\nx\n{plural(k2())}\n```\n"),
    ],
)
def test_what_is_no_call_of_the_clients_is_text(text: str, said: str) -> None:
    """Without the tokens of models, unless it is shown as code."""
    outcome = come_of(f"a\n{text}b")
    assert (outcome.text, outcome.values, outcome.codes) == (f"a\n{said}b", [], [])


def test_a_section_is_taken_apart_where_not_all_of_it_counts() -> None:
    """The other calls are as good as without it."""
    outcome = come_of(f"a\n{plural(k2('nope:0', '{}'), k2())}")
    assert (outcome.text, outcome.values, outcome.codes) == ("a\nnope:0{}", [READ], [])


@pytest.mark.parametrize("inner", ["</tool_call>", 'a "</tool_call>" <tool_call>{', "</tool_call>\n" * 3])
def test_a_closing_tag_in_a_string_is_part_of_it(inner: str) -> None:
    """The call ends where its JSON does."""
    arguments = {"file_path": "/a", "content": inner}
    outcome = come_of(f"a\n{hermes('Write', arguments)}b")
    assert (outcome.text, outcome.values, outcome.codes) == ("a\nb", [("Write", arguments)], [])


@pytest.mark.parametrize("inner", ['{"name": "Read", "arguments": {"file_path": "/a}}', '{"name": ', '{"name" </b>, 1'])
def test_a_string_that_is_never_closed_hides_nothing(inner: str) -> None:
    """What was taken for a part of it is read again."""
    text = f"<tool_call>\n{inner}</tool_call>\n"
    for clean in (True, False):
        outcome = come_of(f"a\n{text}b\n{call()}\nc", clean=clean)
        assert (outcome.text, outcome.values) == (f"a\n{text}b\nc", [READ])


@pytest.mark.parametrize(
    "begins", ["<|tool_calls_section_begin|>", "<|tool_call_begin|>\n", "<tool_call>{", "<|open|>call "]
)
def test_a_call_in_our_marks_is_one_also_in_a_block_of_others(begins: str) -> None:
    """Which is none then, whether it ends or not."""
    for clean in (True, False):
        assert come_of(f"{begins}{call()}", clean=clean).values == [READ]
        assert come_of(f"{begins}{call()}</tool_call><|tool_call_end|><|tool_calls_section_end|>").values == [READ]


@pytest.mark.parametrize("text", [hermes(arguments=[1]), k2(body="==")])
def test_arguments_that_cannot_be_read_are_a_fault(text: str) -> None:
    """There is no doubt about what was meant."""
    outcome = come_of(f"{text} b")
    assert (outcome.text, outcome.codes) == ("b", ["bad_arguments"])


@pytest.mark.parametrize("text", [hermes(), plural(k2()), k3()])
def test_the_rules_are_the_same(text: str) -> None:
    """As for calls in our marks."""
    assert come_of(f"a {text}{text} b", rules(discards=True)) == Outcome("a\nb", order=["TextDelta"])
    assert come_of(text, rules(allowed=frozenset(["Bash"]))).codes == ["not_allowed"]
    outcome = come_of(f"a {text}{text} b", rules(parallel=False))
    assert (outcome.text, outcome.values, outcome.cut) == ("a", [READ], True)
    assert come_of(text, rules(foreign=False)) == Outcome(text, order=["TextDelta"])


def test_one_call_of_a_section_is_enough() -> None:
    """Where there may be one only."""
    outcome = come_of(f"{plural(k2(), k2())}a", rules(parallel=False))
    assert (outcome.text, outcome.values, outcome.cut) == ("", [READ], True)


@pytest.mark.parametrize(
    ("text", "clean", "values", "codes", "said"),
    [
        (hermes().removesuffix("</tool_call>"), True, [READ], [], ""),
        (hermes().removesuffix("</tool_call>"), False, [], ["truncated_call"], ""),
        (hermes()[:40], True, [], ["truncated_call"], ""),
        (plural(k2()).removesuffix("<|tool_calls_section_end|>"), True, [READ], [], ""),
        (plural(k2())[:-60], True, [], ["truncated_call"], ""),
        (k2()[:-20], False, [], ["truncated_call"], ""),
        (k3()[:-40], True, [], ["truncated_call"], ""),
        (hermes("nope")[:-12], True, [], [], hermes("nope")[:-12]),
        (k2("nope")[:-17], False, [], [], 'nope{"file_path": "/a"}'),
        ("<|tool_call_begin|>", True, [], [], ""),
        ("<tool_call>", True, [], [], "<tool_call>"),
    ],
)
def test_an_end_before_the_blocks_end(
    text: str,
    values: list[tuple[str, object]],
    codes: list[str],
    said: str,
    *,
    clean: bool,
) -> None:
    """What names a tool was to be a call, and is one if it is whole and the answer ended well."""
    outcome = come_of(text, clean=clean)
    assert (outcome.values, outcome.codes, outcome.text) == (values, codes, said)
    assert come_of(text, rules(discards=True), clean=clean).codes == []


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" * 50_000,
        "<tool_call>{" * 50_000,
        "<tool_call>{" * 50_000 + "</tool_call>",
        '<tool_call>{"' * 50_000 + "</tool_call>",
        '<tool_call>{"a": "</tool_call>' * 50_000,
        "<|tool_call_begin|>" * 50_000,
        "<|tool_calls_section_begin|>" * 50_000,
        plural(k2("nope", "{}") * 20_000),
        "<|open|>call " * 50_000,
        '<|open|>call tool="' + 'tool="' * 50_000,
        "<|open|>tools<|sep|>" + '<|open|>call tool="Read"<|sep|>' * 50_000 + "<|close|>tools<|sep|>",
        hermes() * 5_000,
        hermes("nope") * 10_000,
    ],
)
def test_openers_without_closers_are_read_in_time(text: str) -> None:
    """However many there are, and in whatever pieces."""
    for size in (len(text), 100):
        begin = time.process_time()
        read([text[start : start + size] for start in range(0, len(text), size)])
        assert time.process_time() - begin < 20
