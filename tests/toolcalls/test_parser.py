"""What a model says, taken apart into text and calls, however it arrives."""

from __future__ import annotations

import codecs
import json
import random
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.chat.events import TextDelta, ToolCallDelta, ToolCallEnd, ToolCallStart
from app.chat.request import ChatRequest, Message, Role, ToolCallPart, ToolSpec, ToolUse
from app.gateway.chain import Terms
from app.kimi.turn import merge
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.calls import Rules
from app.toolcalls.flow import Fault
from app.toolcalls.marks import Marks, Veil
from app.toolcalls.parser import Parser
from app.toolcalls.schema import Parameters
from config.models import ModelChoice
from emulator.tool_syntax import learn
from tests.drip import drip
from tests.toolcalls.answers import MARKS, NONCE, Outcome, Row, call, new_parser, read, row, rows, rules, rules_of

ELSEWHERE = {"no_tools_verbatim", "tool_choice_required_no_call", "call_only_in_thinking"}
"""Rows that are not of the parser alone (test_corpus.py)."""

SHORT = [each["id"] for each in rows() if each["id"] not in ELSEWHERE and len(each["upstream_text"]) < 10_000]
LONG = row("long_argument_200k")
READ = ("Read", {"file_path": "/a"})
READ_BODY = json.dumps(READ[1])
END = f"{MARKS.call_end}>"


def expected_of(each: Row, mode: Mode) -> tuple[str, list[tuple[str, Any]], list[str], list[str]]:
    """The text, the calls, the faults and the warnings that the corpus expects, in the words of the parser."""
    told = each["expected"]
    calls = [(named["name"], named["arguments"]) for named in told["tool_calls"]]
    faults = ["not_allowed" if code == "tool_choice_unsatisfied" else code for code in told["errors"]]
    if mode is Mode.EAGER and each["id"] == "odd_unescaped_quote_two_calls":
        return told["text"], calls[1:], ["bad_arguments"], []  # what was passed on cannot be taken back
    return told["text"], calls, faults, sorted(told.get("warnings", []))


def come_of(each: Row, mode: Mode, chunks: Sequence[str]) -> Outcome:
    """What comes of a row that arrives so."""
    return read(chunks, rules_of(each, mode), clean=each["upstream_finish"] == "stop")


def random_cuts(text: str, count: int, seed: str) -> Iterator[list[str]]:
    """The text in up to twelve pieces, so many times."""
    chance = random.Random(seed)  # noqa: S311 # it cuts test data, and the same way each time
    for _ in range(count):
        places = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(1, 11)))
        yield [text[start:end] for start, end in pairwise([0, *places, len(text)])]


def places_of(text: str) -> list[int]:
    """Where a long text is cut in two: around each mark, and at five hundred places evenly."""
    marks = [mark.start() for mark in MARKS.pattern.finditer(text)]
    around = [place for mark in marks for place in range(mark - 30, mark + 40)]
    return sorted({place for place in [*around, *range(0, len(text), len(text) // 500)] if 0 <= place <= len(text)})


def check(each: Row, mode: Mode, *, cuts: int, places: Sequence[int]) -> None:
    """Assert that a row gives what is expected, and the very same however it is cut."""
    text = each["upstream_text"]
    outcome = come_of(each, mode, [text])
    assert (outcome.text, outcome.values, outcome.codes, sorted(outcome.warnings)) == expected_of(each, mode)
    assert come_of(each, mode, list(text)) == outcome
    for place in places:
        assert come_of(each, mode, [text[:place], text[place:]]) == outcome, place
    for chunks in random_cuts(text, cuts, each["id"]):
        assert come_of(each, mode, chunks) == outcome, chunks


@pytest.mark.parametrize("name", SHORT)
def test_the_corpus_is_read_as_it_should_be(name: str) -> None:
    """Cut in two everywhere, in single characters, and cut at random."""
    each = row(name)
    check(each, Mode.VALUE, cuts=150, places=range(len(each["upstream_text"]) + 1))


@pytest.mark.parametrize("mode", [Mode.CALL, Mode.EAGER])
@pytest.mark.parametrize("name", SHORT)
def test_the_corpus_is_read_so_in_every_mode(name: str, mode: Mode) -> None:
    """When arguments are passed on changes nothing about them."""
    check(row(name), mode, cuts=20, places=())


def test_no_argument_is_too_long() -> None:
    """One of 350,000 characters is cut around its marks and at hundreds of other places."""
    check(LONG, Mode.VALUE, cuts=12, places=places_of(LONG["upstream_text"]))


@pytest.mark.parametrize("mode", [Mode.CALL, Mode.EAGER])
def test_no_argument_is_too_long_in_any_mode(mode: Mode) -> None:
    """The same in fewer cuts."""
    check(LONG, mode, cuts=8, places=())


@pytest.mark.parametrize("name", ["cjk_text_and_args", "emoji_split_surrogate_escape", "raw_newlines_tabs_in_string"])
def test_bytes_may_be_cut_anywhere(name: str) -> None:
    """Within a letter as well: who decodes them holds it back."""
    each = row(name)
    data, whole = each["upstream_text"].encode(), come_of(each, Mode.VALUE, [each["upstream_text"]])

    def decoded(chunks: Sequence[bytes]) -> Outcome:
        decoder = codecs.getincrementaldecoder("utf-8")()
        return come_of(each, Mode.VALUE, [*map(decoder.decode, chunks), decoder.decode(b"", final=True)])

    assert drip(decoded, data) == whole


# --- Properties --------------------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_characters="<`~"), max_size=40)
NASTY = st.sampled_from(
    [
        *('{"a": [', "}}", '"', "\\", "\\u", "\ud83d", "\ude00", "```", "~~~\n", "<", "好", "\U0001f600", "\n", "\x00"),
        *(call(), END, MARKS.call, MARKS.result, f"{MARKS.result_end}>", NONCE, "<tool_call>", "<|tool_call_end|>"),
    ]
)
STRINGS = st.lists(NASTY | st.text(max_size=6), max_size=6).map("".join)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS, inner, max_size=3),
    max_leaves=10,
)
ARGUMENTS = st.dictionaries(STRINGS, VALUES, max_size=4).map(lambda value: json.loads(json.dumps(value)))
"""Objects as JSON holds them: halves of a letter that meet are one letter."""

CHOICE = ModelChoice("kimi")


@given(st.lists(WORDS))
def test_text_without_marks_is_passed_on_at_once(chunks: list[str]) -> None:
    """But for white space at its end, to which a call may come."""
    parser = new_parser(rules())
    said, given_so_far = "", ""
    for chunk in chunks:
        given_so_far += chunk
        said += "".join(piece.text for piece in parser.feed(chunk) if isinstance(piece, TextDelta))
        assert said.rstrip() == given_so_far.rstrip()
        assert parser.held == len(given_so_far) - len(said) <= 32
    assert read(chunks).text == given_so_far


@given(st.lists(NASTY | st.text(max_size=4), max_size=10).map("".join), st.randoms(use_true_random=False))
def test_nothing_that_a_model_says_is_too_strange(text: str, chance: random.Random) -> None:
    """It comes out the same however it arrives, and no mark is shown."""
    places = sorted(chance.randint(0, len(text)) for _ in range(6))
    whole = read([text])
    assert not MARKS.pattern.search(whole.text)
    assert read([text[start:end] for start, end in pairwise([0, *places, len(text)])]) == whole == read(list(text))


@given(st.lists(st.tuples(st.from_regex("[a-zß好.]{1,9}", fullmatch=True), st.sampled_from(["", " ", "\n", "\n\n "]))))
def test_words_around_calls_are_kept(parts: list[tuple[str, str]]) -> None:
    """In their order, each in lines of its own; so are the calls."""
    text = "".join(f"{space}{word}{space}{call(body=json.dumps({'file_path': word}))}" for word, space in parts)
    outcome = drip(read, text, count=5, small=0)
    assert outcome.text == "\n".join((space if not at else "") + word for at, (word, space) in enumerate(parts))
    assert outcome.values == [("Read", {"file_path": word}) for word, _ in parts]


WORDS_OF_ANSWERS = (
    *("Hello.", "Use `x` and ``y``.", "```python\nprint('<call>')\n```", "- a\n- b", "a < b > c", "~ x", "好。"),
    *("1. `a\n2. b", "~~~\n```\n~~~", "# T\n\npara", "</div>", "if (a) { b }"),
)
ENDS = (END, END, "", "</call>", "</tool_call>", "</call:K7QZ>", f"{END}\n{END}", f"}}\n{END}", f"{MARKS.call_end}\n")
NAMES = ('name="Write"', "name='Write'", "name=Write", 'name="functions.Write:0"', "Write")


def dressed(arguments: object, chance: random.Random) -> str:
    """A call as models write it: in its own words, with fences around it or in it, with another end or none."""
    body = json.dumps(arguments, ensure_ascii=chance.random() < 0.5, indent=chance.choice([None, 2]))
    if chance.random() < 0.2:
        body = f"\n```json\n{body}\n```\n"
    space, end = chance.choice(["", "\n", " \n"]), chance.choice(ENDS)
    block = f"{MARKS.call} {chance.choice(NAMES)}>{space}{body}{space}{end}"
    fence = chance.choice(["", "", "", "```", "~~~~"])
    return f"{fence}{chance.choice(['', 'xml'])}\n{block}\n{fence}" if fence else block


@settings(max_examples=300)
@given(st.lists(ARGUMENTS | st.sampled_from(WORDS_OF_ANSWERS), max_size=6), st.sampled_from(Mode), st.randoms())
def test_calls_are_found_in_all_their_clothes(parts: list[Any], mode: Mode, chance: random.Random) -> None:
    """Among words of all kinds, each of which stays."""
    text = "\n".join(part if isinstance(part, str) else dressed(part, chance) for part in parts)
    size = chance.randint(1, 20)
    outcome = read([text[place : place + size] for place in range(0, len(text), size)], rules(mode))
    meant = [part for part in parts if not isinstance(part, str)]
    assert outcome.codes == []
    assert [arguments for _, arguments in outcome.values] == meant
    assert outcome.text.replace("\n", "") == "".join(part for part in parts if isinstance(part, str)).replace("\n", "")


def taught(arguments: dict[str, Any]) -> tuple[Terms, Parameters]:
    """What a request asks that has a tool with such arguments."""
    schema = json.dumps({"type": "object", "properties": {name: {} for name in arguments}})
    use = ToolUse((ToolSpec("look_up", "Looks it up.", schema), ToolSpec("Read", "", "{}")))
    request = ChatRequest("kimi", (Message.of(Role.USER, "Look."),), tools=use)
    return Terms.of(request, CHOICE, b"secret"), Parameters(schema)


def made(answer: str, marks: Marks, parameters: Parameters, mode: Mode, sizes: Sequence[int]) -> list[tuple[str, str]]:
    """The calls in an answer that arrives in pieces of these sizes, over and over."""
    told = Rules({"look_up": Tool(ToolSpec("look_up"), parameters, mode)}, frozenset(["look_up"]))
    parser, veil, outcome = Parser(marks, told, new_id=str), Veil(marks), Outcome()
    place = turn = 0
    while place < len(answer):
        outcome.take(parser.feed(answer[place : place + sizes[turn % len(sizes)]]), veil)
        place, turn = place + sizes[turn % len(sizes)], turn + 1
    outcome.take(parser.finish(clean=True), veil)
    outcome.end(veil)
    assert (outcome.text, outcome.faults) == ("", [])
    assert outcome.announced == outcome.calls
    return outcome.calls


@settings(max_examples=200)
@given(ARGUMENTS, st.sampled_from(Mode), st.lists(st.integers(1, 9), min_size=1, max_size=5), st.booleans())
def test_a_call_as_it_is_taught_comes_out_as_it_was_meant(
    arguments: dict[str, Any],
    mode: Mode,
    sizes: list[int],
    escaped: bool,  # noqa: FBT001 -- drawn
) -> None:
    """Whatever its arguments hold: the emulated model learns from the prompt alone how to write them."""
    terms, parameters = taught(arguments)
    lesson = learn([merge(terms.request.messages, guide=terms.guide(told=False))])
    assert lesson is not None
    assert terms.marks is not None
    answer = lesson.call("look_up", json.dumps(arguments) if escaped else arguments)
    for pieces in ([len(answer)], sizes):
        ((_, written),) = made(answer, terms.marks, parameters, mode, pieces)
        assert json.loads(written) == arguments
        written.encode()


@given(ARGUMENTS, st.sampled_from(Mode))
def test_a_call_of_the_history_is_one_of_an_answer(arguments: dict[str, Any], mode: Mode) -> None:
    """The model may repeat it as it stands in the prompt."""
    terms, parameters = taught(arguments)
    assert terms.marks is not None
    earlier = Message(Role.ASSISTANT, (ToolCallPart("id", "look_up", json.dumps(arguments)),))
    ((name, written),) = made(terms.guide(told=False).calls(earlier), terms.marks, parameters, mode, [7])
    assert (name, json.loads(written)) == ("look_up", arguments)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("size", [3, 4096])
def test_a_large_file_is_written_as_it_is(mode: Mode, size: int) -> None:
    """Code of this very project, over and over."""
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py")))
    content = (source * (1 + 200_000 // len(source)))[:200_000]
    arguments = {"file_path": "/a", "content": content}
    text = call("Write", json.dumps(arguments))
    chunks = [text[place : place + size] for place in range(0, len(text), size)]
    assert read(chunks, rules(mode)).values == [("Write", arguments)]


# --- What other parsers, and earlier ones of this kind, got wrong --------------------------------------------


def come_out(text: str, said: str, *calls: tuple[str, Any], codes: Sequence[str] = ()) -> None:
    """Assert what comes of an answer, however it arrives."""
    outcome = drip(read, text)
    assert (outcome.text, outcome.values, outcome.codes) == (said, [*calls], [*codes])


def test_a_bracket_in_a_quoted_name_does_not_end_the_header() -> None:
    """The name is one that there is not; the body is no text."""
    come_out(f'{MARKS.call} name="a>b">{{}}{END}c', "c", codes=["unknown_tool"])


def test_a_header_does_not_go_over_a_line() -> None:
    """It is text, and what follows it is read anew."""
    come_out(f'{MARKS.call}\nname="Read">\n{call()}', '<call\nname="Read">', READ, codes=["bad_header"])


def test_an_unclosed_fence_around_a_body_drops_no_text() -> None:
    """However long its mark is."""
    for run in ("```", "`" * 45):
        come_out(f"{call(body=f'{run}json{chr(10)}{READ_BODY}')}\n\nDone.\n", "Done.\n", READ)


def test_a_fence_is_known_by_its_line() -> None:
    """Not by where a chunk begins."""
    come_out(f"a ```\nb\n{call()}", "a ```\nb", READ)
    come_out(f"a\n```\nb\n{call()}", f"a\n```\nb\n{call()}".replace(f":{NONCE}", ""))


def test_halves_that_meet_are_no_mark() -> None:
    """Where a closing tag between them is left out."""
    come_out(f"<ca{END}ll:{NONCE} name=", "<call name=")
    come_out(f"<{MARKS.call_end}call:{NONCE}>", "<call>")


def test_text_behind_a_call_begins_in_a_new_line() -> None:
    """So that it cannot complete what stands before the call."""
    come_out(f"<call{call()}:{NONCE}", f"<call\n:{NONCE}", READ)


def test_a_stray_closing_tag_may_lack_its_bracket() -> None:
    """It is left out all the same."""
    come_out(f"a {MARKS.call_end} b", "a b")
    come_out(f"{call()}{MARKS.call_end} b", "b", READ)


@pytest.mark.parametrize("more", [call(), f"{END}\n{call()}"])
def test_brackets_too_many_belong_to_the_call_if_a_mark_follows(more: str) -> None:
    """That is decided when all of the mark is there."""
    text = f'{MARKS.call} name="Read">{READ_BODY}}}]}}\n{more}'
    come_out(text, "", READ, READ)
    come_out(text.replace(more, "<calm"), "}]}\n<calm", READ)


def test_what_follows_a_failed_block_of_others_is_read_anew() -> None:
    """Marks in it count, and tokens in it are left out."""
    text = f"a <|tool_call_begin|>b<|tool_call_argument_begin|>\n{call()}\nc<|tool_call_end|>d"
    come_out(text, "a b\ncd", READ)


def test_a_closing_tag_in_a_string_ends_nothing() -> None:
    """Nor does any other mark, nor a fence."""
    content = f"```\n{call()}\n{END}\n```\n</tool_call>{MARKS.result} id="
    come_out(call("Write", json.dumps({"file_path": "/a", "content": content})) + "b", "b",
             ("Write", {"file_path": "/a", "content": content}))  # fmt: skip


def test_two_calls_come_in_one_piece() -> None:
    """So do ten thousand."""
    come_out(f"a {call()}{call()} b", "a\nb", READ, READ)
    assert read([call() * 10_000]).values == [READ] * 10_000


@pytest.mark.parametrize(
    "text",
    [
        *("<" * 100_000, "`\n" * 50_000, "```\n" * 50_000, "~" * 100_000, " \n" * 50_000),
        *(MARKS.call * 20_000, END * 50_000, MARKS.result_end * 50_000, f"{MARKS.call} name='" * 5_000),
        *(f"{MARKS.call} {'x' * 200}" * 1_000, f'{MARKS.call} name="Fly">{{"a":' * 20_000),
        *(call(body="{" * 100_000), call(body='"' * 100_000), call(body='{"a":' * 50_000), call(body="[" * 50_000)),
        *(call() + "}" * 100_000, call() + "}\n" * 50_000, f"```\n{call()}```{' ' * 100_000}", call() + END * 50_000),
        *(call("Fly") * 10_000, f"<|tool_calls_section_begin|>{call() * 10_000}", f'<tool_call>{{"{call() * 10_000}'),
    ],
)
def test_strange_answers_are_read_in_time(text: str) -> None:
    """However long they are."""
    for size in (len(text), 200):
        begin = time.process_time()
        read([text[start : start + size] for start in range(0, len(text), size)])
        assert time.process_time() - begin < 20


def test_a_result_that_the_model_writes_ends_the_answer() -> None:
    """Nothing comes out of it any more."""
    parser = new_parser(rules())
    pieces = parser.feed(f'{call()}\n{MARKS.result} id="1">{call()}')
    assert pieces[-1] == Fault("hallucinated_result")
    assert sum(isinstance(piece, ToolCallStart) for piece in pieces) == 1
    assert parser.cut
    assert [*parser.feed("a"), *parser.interrupt(), *parser.finish(clean=True)] == []


def test_one_call_ends_the_answer_where_there_may_be_one() -> None:
    """One that came to nothing does not."""
    told = rules(parallel=False)
    outcome = drip(lambda chunks: read(chunks, told), f"a\n{call('Fly')}\n{call(body='==')}\n{call()}b{call()}")
    assert (outcome.text, outcome.values, outcome.cut) == ("a", [READ], True)
    assert outcome.codes == ["unknown_tool", "bad_arguments"]


def test_something_that_is_no_text_has_its_place() -> None:
    """Behind what was said, and never within a call or beside its end."""
    parser = new_parser(rules())
    assert parser.feed("a\n<call:") == [TextDelta("a")]
    assert parser.interrupt() == [TextDelta("\n<call:")]
    assert parser.interrupt() == []
    parser.feed(call()[:30])
    assert parser.interrupt() == []
    assert isinstance(parser.feed(call()[30:])[-1], ToolCallEnd)
    assert parser.feed("\n") == parser.interrupt() == []
    assert parser.finish(clean=True) == []


def test_a_fence_that_ends_before_something_that_is_no_text_is_closed() -> None:
    """A call behind it is made."""
    outcome = read(["```\na\n```", None, f"\n{call()}"])
    assert (outcome.text, outcome.values) == ("```\na\n```", [READ])


def test_calls_and_text_go_on_where_an_answer_stood() -> None:
    """With the next index, and in a new line."""
    parser = new_parser(rules(), index=2, spoken=True)
    pieces = [*parser.feed(f"{call()} a"), *parser.finish(clean=True)]
    assert pieces[0] == ToolCallStart(2, "call-0", "Read")
    assert (parser.index, parser.spoken, pieces[-1]) == (3, True, TextDelta("\na"))
    assert "".join(piece.arguments for piece in pieces if isinstance(piece, ToolCallDelta)) == READ_BODY
