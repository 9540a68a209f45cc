"""Where an answer ends before its upstream does."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.events import (
    Annotation,
    Cited,
    Event,
    Failed,
    Finished,
    Opened,
    PromptMoved,
    Served,
    Source,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    Warned,
)
from app.chat.limits import StopSequences, TokenLimit
from app.chat.stages import Stage
from app.chat.tokens import estimate
from app.errors import UpstreamBusy
from tests.drip import drip

SOURCE = Source("https://a.example/", "A")
CALL = ToolCallStart(0, "call-1", "look")
PIECES = st.lists(st.text(alphabet="ab", min_size=1, max_size=6), max_size=8)
STOPS = st.lists(st.text(alphabet="ab", max_size=4), max_size=4)
UNSEEN: list[Event] = [
    ThinkingDelta("b"),
    SOURCE,
    Opened("chat-1"),
    Served("account", 0.0),
    PromptMoved(),
    Warned("word"),
    ToolCallDelta(0, "b"),
    ToolCallEnd(0),
]
BORDERS: list[Event] = [Cited((SOURCE,)), Annotation(SOURCE, 1, 1), CALL, Usage(1, 1, 1), Finished()]
EVENTS: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, st.text(alphabet="ab", min_size=1)) | st.sampled_from([*UNSEEN, *BORDERS[:-1]])
)
# Without combining characters: where one ends an answer, what has been passed on already makes a difference.
PLAIN = st.lists(
    st.sampled_from(["a", "Word", " ", "  ", "\n", "7", "1234", ".", '"},', "世", "界", "。", "한", "é", "😀"]),
    min_size=1,
).map("".join)
SAID: st.SearchStrategy[list[Event]] = st.lists(
    st.builds(TextDelta, PLAIN) | st.builds(ToolCallDelta, st.integers(0, 1), PLAIN) | st.just(ThinkingDelta("hm")),
)
FAMILY = "👨\u200d👩\u200d👧"


def run(stage: Stage, reads: Sequence[Sequence[Event]]) -> list[Event]:
    """All that a stage gives for these lists of events."""
    return [event for read in reads for event in stage([*read])]


def text_of(events: Sequence[Event]) -> str:
    """What a client reads."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def arguments_of(events: Sequence[Event]) -> str:
    """The arguments of all calls."""
    return "".join(event.arguments for event in events if isinstance(event, ToolCallDelta))


def joined(events: Sequence[Event]) -> list[Event]:
    """The same with neighbouring deltas of one kind put together."""
    out: list[Event] = []
    for (kind, index), group in groupby(events, key=lambda event: (type(event), getattr(event, "index", None))):
        same = list(group)
        if kind is TextDelta:
            out.append(TextDelta(text_of(same)))
        elif kind is ToolCallDelta:
            out.append(ToolCallDelta(index or 0, arguments_of(same)))
        else:
            out.extend(same)
    return out


def one_by_one(events: Sequence[Event]) -> list[Event]:
    """The same with a delta for each character."""
    out: list[Event] = []
    for event in events:
        match event:
            case TextDelta(text):
                out.extend(TextDelta(character) for character in text)
            case ToolCallDelta(index, text):
                out.extend(ToolCallDelta(index, character) for character in text)
            case _:
                out.append(event)
    return out


# --- Stop sequences ----------------------------------------------------------------------------------------


def stopped(text: str, stops: Sequence[str]) -> tuple[str, str | None]:
    """What is said of a text, and by which stop it ends; found the slow way."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if stop and text[:end].endswith(stop)]
        if found:
            stop = max(found, key=len)
            return text[: end - len(stop)], stop
    return text, None


def open_end(text: str, stops: Sequence[str]) -> str:
    """The longest end of a text that may be the beginning of a stop."""
    ends = [text[start:] for start in range(len(text))]
    return next((end for end in ends if any(stop.startswith(end) and stop != end for stop in stops)), "")


@pytest.mark.parametrize(
    ("text", "stops", "said", "stop"),
    [
        ("hello", [], "hello", None),
        ("hello", ["x"], "hello", None),
        ("hello", ["l"], "he", "l"),
        ("hello", ["hello"], "", "hello"),
        ("hello", ["lo", "ell"], "h", "ell"),
        ("hello", ["l", "ell", "el"], "h", "el"),
        ("hello", ["lo", "llo", "o"], "he", "llo"),
        ("hello", ["hello!", "lo!"], "hello", None),
        ("aaab", ["aab"], "a", "aab"),
        ("ababac", ["abac"], "ab", "abac"),
        ("one\n\ntwo", ["\n\n"], "one", "\n\n"),
        ("世界。", ["界"], "世", "界"),
        ("hello", [""], "hello", None),
        ("hello", ["", "o"], "hell", "o"),
        ("hello", ["o", "o"], "hell", "o"),
    ],
)
def test_an_answer_ends_before_its_first_stop(text: str, stops: list[str], said: str, stop: str | None) -> None:
    """The one that ends first, and the longest of those; however the text is cut."""
    end = Finished() if stop is None else Finished("stop", stopped_by=stop, cut=True)
    expected = ([TextDelta(said)] if said else []) + [end]

    def read(pieces: Sequence[str]) -> list[Event]:
        deltas = [[TextDelta(piece)] for piece in pieces if piece]
        return joined(run(StopSequences(stops), [*deltas, [Finished()]]))

    assert drip(read, text) == expected


@given(PIECES, STOPS)
def test_stops_are_found_as_in_the_whole_text(pieces: list[str], stops: list[str]) -> None:
    """An obvious search over all of it finds the same."""
    said, stop = stopped("".join(pieces), stops)
    out = run(StopSequences(stops), [*([TextDelta(piece)] for piece in pieces), [Finished()]])
    assert text_of(out) == said
    assert out[-1] == (Finished() if stop is None else Finished("stop", stopped_by=stop, cut=True))
    assert sum(isinstance(event, Finished) for event in out) == 1


@given(PIECES, STOPS)
def test_only_what_may_become_a_stop_is_held_back(pieces: list[str], stops: list[str]) -> None:
    """Always less than the longest stop."""
    stage, text, said = StopSequences(stops), "", ""
    for piece in pieces:
        text += piece
        said += text_of(stage([TextDelta(piece)]))
        if stopped(text, stops)[1] is not None:
            break
        held = open_end(text, stops)
        assert said + held == text
        assert len(held) <= max([0, *(len(stop) - 1 for stop in stops)])


@given(EVENTS, STOPS)
def test_a_stage_of_stops_gives_no_empty_delta(events: list[Event], stops: list[str]) -> None:
    """A delta is never empty, and where its reads were cut changes nothing."""
    out = StopSequences(stops)([*events, Finished()])
    assert TextDelta("") not in out
    assert out == run(StopSequences(stops), [*([event] for event in events), [Finished()]])


@given(EVENTS)
def test_without_stops_nothing_changes(events: list[Event]) -> None:
    """Neither the events nor their order."""
    assert StopSequences([])([*events, Finished()]) == [*events, Finished()]


def test_a_stop_is_the_last_thing_that_is_told() -> None:
    """Whatever still comes in this read and in later ones; a failure after it is no concern of the client's."""
    stage = StopSequences(["##"])
    assert stage([TextDelta("a"), TextDelta("b##c"), ThinkingDelta("d"), Finished()]) == [
        TextDelta("a"),
        TextDelta("b"),
        Finished("stop", stopped_by="##", cut=True),
    ]
    assert stage([TextDelta("e"), CALL, Usage(1, 1, 1)]) == []
    assert stage([Failed(UpstreamBusy("no"))]) == []


@pytest.mark.parametrize("border", [*BORDERS, Failed(UpstreamBusy("no"))])
def test_no_stop_spans_a_place_in_the_text(border: Event) -> None:
    """What was held back stands before it, and the search begins anew."""
    stage = StopSequences(["abc", "ab!"])
    read: list[Event] = [TextDelta("xab"), border, TextDelta("c")]
    assert stage(read) == [TextDelta("x"), TextDelta("ab"), border, TextDelta("c")]


@pytest.mark.parametrize("event", UNSEEN)
def test_a_stop_spans_what_is_not_in_the_text(event: Event) -> None:
    """That passes at once, and is not searched itself."""
    stage = StopSequences(["abc"])
    assert stage([TextDelta("xab"), event]) == [TextDelta("x"), event]
    (end,) = stage([TextDelta("c")])
    assert isinstance(end, Finished)
    assert (end.stopped_by, end.cut) == ("abc", True)


def test_stops_in_thinking_and_arguments_stay() -> None:
    """Only the text of the answer ends an answer."""
    said: list[Event] = [ThinkingDelta("a##b"), CALL, ToolCallDelta(0, '{"a": "##"}'), ToolCallEnd(0), Finished()]
    assert StopSequences(["##"])(said) == said


@pytest.mark.parametrize("text", ["ab" * 50_000, "a" * 100_000])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_long_stop_that_nearly_comes_is_quick(text: str, size: int) -> None:
    """Nothing is searched twice; the bound is generous for slow machines."""
    stage = StopSequences(["a" * 20_000 + "!", "ab" * 10_000 + "!"])
    begin = time.process_time()
    out = run(stage, [[TextDelta(text[place : place + size])] for place in range(0, len(text), size)])
    assert time.process_time() - begin < 10
    assert len(text) - 20_000 <= len(text_of(out)) < len(text)


# --- The limit of tokens -----------------------------------------------------------------------------------


def most(max_tokens: int) -> int:
    """The limit with its slack of 5 %."""
    return max(max_tokens, int(max_tokens * 1.05))


def count(events: Sequence[Event]) -> int:
    """What of these events is limited."""
    return estimate(text_of(events)) + estimate(arguments_of(events))


def limited(max_tokens: int, *texts: str) -> str:
    """What a limit leaves of a text in these deltas."""
    return text_of(TokenLimit(max_tokens)([TextDelta(text) for text in texts]))


@pytest.mark.parametrize(
    ("max_tokens", "text", "said"),
    [
        (1, "hello world", "hello "),
        (2, "hello world", "hello world"),
        (1, "7", "7"),
        (1, "78", "7"),
        (1, "。。", "。"),
        (3, "e" + "\u0301" * 9, "e" + "\u0301" * 5),
        (3, "世界世界世界", "世界世界"),
        (2, "a.b", "a."),
        (20, "a " * 30, "a " * 22),
        (19, "a " * 30, "a " * 20),
    ],
)
def test_an_answer_ends_at_its_limit(max_tokens: int, text: str, said: str) -> None:
    """The estimate decides, with its slack; something is said in any case, and nothing that fits is cut off."""
    out = TokenLimit(max_tokens)([TextDelta(text), Finished()])
    assert out == [TextDelta(said), Finished() if said == text else Finished("length", cut=True)]


@given(SAID, st.integers(1, 60))
@example([TextDelta("7"), ToolCallDelta(0, "7")], 1)
def test_the_longest_beginning_that_fits_is_said(events: list[Event], max_tokens: int) -> None:
    """Text and arguments together, in their order; how they are cut changes nothing."""
    expected: list[Event] = []
    for event in one_by_one(events):
        longer = [*expected, event]
        if count(longer) > most(max_tokens) and count(expected) and not isinstance(event, ThinkingDelta):
            expected.append(Finished("length", cut=True))
            break
        expected.append(event)
    else:
        expected.append(Finished())
    whole = [*events, Finished()]
    assert joined(TokenLimit(max_tokens)(whole)) == joined(expected)
    assert joined(TokenLimit(max_tokens)(joined(whole))) == joined(expected)
    assert joined(run(TokenLimit(max_tokens), [[event] for event in one_by_one(whole)])) == joined(expected)


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(1, 30), st.integers(0, 30))
def test_a_higher_limit_never_says_less(pieces: list[str], max_tokens: int, more: int) -> None:
    """Of the same deltas."""
    text, longer = limited(max_tokens, *pieces), limited(max_tokens + more, *pieces)
    assert text
    assert longer.startswith(text)
    assert "".join(pieces).startswith(longer)


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(1, 30))
def test_no_text_exceeds_its_limit(pieces: list[str], max_tokens: int) -> None:
    """Except by its first character; no delta is empty."""
    out = TokenLimit(max_tokens)([TextDelta(piece) for piece in pieces])
    assert TextDelta("") not in out
    assert count(out) <= most(max_tokens) or len(text_of(out)) == 1


@pytest.mark.parametrize("sign", ["e\u0301", "e\u0301\u0302", "1\ufe0f\u20e3", FAMILY, "👍🏽", "ก\u0e31", "か\u3099"])
def test_a_sign_is_not_taken_apart(sign: str) -> None:
    """Accents, keycaps, vowel signs, families and skin tones stay with what they belong to."""
    text = "世" + sign * 9
    said = {limited(max_tokens, text) for max_tokens in range(2, 60)}
    assert said <= {"世" + sign * times for times in range(10)}
    assert len(said) > 3


@given(st.text(alphabet=["e", "1", "\u0301", "\ufe0f", "\u200d", "👩", "🏽"], min_size=1), st.integers(1, 30))
def test_only_the_first_sign_of_an_answer_is_taken_apart(text: str, max_tokens: int) -> None:
    """Where it does not fit: something has to be said."""
    said = len(limited(max_tokens, text))
    inside = [place for place in range(1, len(text)) if text[place] not in "e1👩" or text[place - 1] == "\u200d"]
    assert said not in inside or inside[:said] == [*range(1, said + 1)]


def test_a_sign_that_was_passed_on_stays_with_the_marks_that_fit() -> None:
    """Nothing is held back for marks that may come."""
    assert limited(3, "世e\u0301\u0302\u0303") == "世"
    assert limited(3, "世e", "\u0301\u0302\u0303") == "世e\u0301\u0302"


def test_no_arguments_are_no_reason_to_end() -> None:
    """Not even after a first character that was too much by itself."""
    begun: list[Event] = [TextDelta("7"), CALL, ToolCallDelta(0, ""), ToolCallEnd(0)]
    assert TokenLimit(1)(begun) == begun


def test_the_limit_is_the_last_thing_that_is_told() -> None:
    """The call that it cuts never ends; whatever still comes is dropped."""
    stage = TokenLimit(4)
    assert stage([TextDelta("hello"), CALL, ToolCallDelta(0, '{"a": 1}'), ToolCallEnd(0), Finished()]) == [
        TextDelta("hello"),
        CALL,
        ToolCallDelta(0, '{"a"'),
        Finished("length", cut=True),
    ]
    assert stage([TextDelta("more"), Usage(1, 1, 1)]) == []
    assert stage([Failed(UpstreamBusy("no"))]) == []


def test_a_limit_that_is_reached_exactly_ends_nothing() -> None:
    """The next word does, without an empty delta; until then all else passes."""
    stage = TokenLimit(1)
    passing: list[Event] = [TextDelta("hello"), *BORDERS[:-1], ThinkingDelta("hm " * 99), *UNSEEN[:6]]
    assert stage(passing) == passing
    assert stage([ToolCallDelta(0, "")]) == [ToolCallDelta(0, "")]
    assert stage([TextDelta(" world")]) == [TextDelta(" "), Finished("length", cut=True)]
    assert stage([TextDelta("!")]) == []


@given(SAID)
def test_an_answer_that_fits_is_untouched(events: list[Event]) -> None:
    """Every delta of it passes as it is, at once."""
    stage = TokenLimit(max(1, count(events)))
    for event in events:
        assert stage([event]) == [event]
    assert stage([Finished()]) == [Finished()]


@pytest.mark.parametrize("size", [20, 1_000_000])
def test_a_megabyte_is_limited_quickly(size: int) -> None:
    """Few deltas or many; the bound is generous for slow machines."""
    text = "word " * 200_000
    stage = TokenLimit(estimate(text) * 100 // 106)
    begin = time.process_time()
    out = run(stage, [[TextDelta(text[place : place + size])] for place in range(0, len(text), size)])
    assert time.process_time() - begin < 15
    assert out[-1] == Finished("length", cut=True)


def test_a_stop_behind_a_call_leaves_the_call() -> None:
    """A client runs calls only where the answer ends with them."""
    call: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}"), ToolCallEnd(0)]
    events = StopSequences(["END"])([*call, TextDelta("so END"), Finished("tool_calls")])
    assert events == [*call, TextDelta("so "), Finished("tool_calls", stopped_by="END", cut=True)]
