"""An answer read for calls: what the client is given, when the model is asked once more, and how it all ends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import (
    Annotation,
    Cited,
    Event,
    Failed,
    Finished,
    Opened,
    Source,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    Warned,
)
from app.chat.request import Choice, ToolSpec, ToolUse
from app.errors import (
    GatewayError,
    NothingSaid,
    RateLimitExceeded,
    ToolCallUnreadable,
    UpstreamBusy,
    UpstreamTruncated,
)
from app.toolcalls.arguments import Mode, Tool
from app.toolcalls.asking import MAX_FOLLOW_UPS, UNMET, Duty
from app.toolcalls.calls import Rules
from app.toolcalls.marks import Marks
from app.toolcalls.reading import Seam, ToolReading
from app.toolcalls.schema import Parameters
from tests.drip import drip
from tests.toolcalls.answers import NONCE
from tests.toolcalls.fuzz import SPLICES

MARKS = Marks(NONCE)
SCHEMA = json.dumps({"type": "object", "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}}})
SPECS = (ToolSpec("Read", "Read a file.", SCHEMA), ToolSpec("Bash", "", SCHEMA))
AUTO = ToolUse(SPECS)
NONE = ToolUse(SPECS, Choice.NONE)
REQUIRED = ToolUse(SPECS, Choice.REQUIRED)
NAMED = ToolUse(SPECS, Choice.REQUIRED, allowed=("Bash",))
ONE = ToolUse(SPECS, parallel=False)
HISTORY = ToolUse()

SOURCE = Source("https://a.example/", "A")
CITED = Cited((SOURCE,))
BUSY = Failed(UpstreamBusy("no"))
QUOTA = Failed(RateLimitExceeded("no"))
EMPTY = Failed(NothingSaid("no"))

Answer = str | Sequence[Event | str]
Call = tuple[str, object]


def call(name: str = "Read", arguments: str = '{"path": "/a"}') -> str:
    """A call as the model is told to print it."""
    return f'{MARKS.call} name="{name}">\n{arguments}\n{MARKS.call_end}>'


READ: Call = ("Read", {"path": "/a"})
BASH: Call = ("Bash", {"path": "/a"})
BAD = call(arguments='{"path": ==}')
UNKNOWN = call("Fly", '{"to": "Rome"}')
CUT = call().partition('"/a"')[0]


@dataclass
class Heard:
    """What came of an answer: all events, and what the model was asked."""

    events: list[Event] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a client reads."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def thinking(self) -> str:
        """What it may read beside that."""
        return "".join(event.text for event in self.events if isinstance(event, ThinkingDelta))

    @property
    def calls(self) -> list[Call]:
        """The calls that have come to their end, in the order of their index."""
        written: dict[int, list[str]] = {}
        whole: list[Call] = []
        for event in self.events:
            match event:
                case ToolCallStart(index, _, name):
                    assert index == len(written)
                    written[index] = [name]
                case ToolCallDelta(index, arguments):
                    written[index].append(arguments)
                case ToolCallEnd(index):
                    whole.append((written[index][0], json.loads("".join(written[index][1:]))))
        return whole

    @property
    def announced(self) -> int:
        """How many calls were begun."""
        return sum(isinstance(event, ToolCallStart) for event in self.events)

    @property
    def warnings(self) -> list[str]:
        """The words of warning."""
        return [event.word for event in self.events if isinstance(event, Warned)]

    @property
    def end(self) -> Event | None:
        """What ends it, None if nothing has."""
        ends = [event for event in self.events if isinstance(event, Finished | Failed)]
        assert ends == [event for event in self.events[-1:] if isinstance(event, Finished | Failed)]
        return ends[0] if ends else None

    @property
    def error(self) -> GatewayError:
        """The error that ends it."""
        assert isinstance(self.end, Failed)
        return self.end.error


def events_of(answer: Answer) -> list[Event]:
    """An answer of the model's; a text stands for itself, and ends well where it is all."""
    if isinstance(answer, str):
        return [TextDelta(answer), Finished()]
    return [TextDelta(part) if isinstance(part, str) else part for part in answer]


def stage(
    use: ToolUse = AUTO, *, errs: bool = False, after_result: bool = False, mode: Mode = Mode.VALUE
) -> ToolReading:
    """A reading for a request."""
    numbers = iter(range(1, 100))
    tools = {spec.name: Tool(spec, Parameters(spec.parameters), mode) for spec in use.tools}
    told = frozenset(spec.name for spec in use.told)
    rules = Rules(tools, told, discards=not use.told, parallel=use.parallel)
    duty = Duty(use, errs=errs, after_result=after_result)
    return ToolReading(MARKS, rules, duty, new_id=lambda: f"call-{next(numbers)}")


def heard(
    *answers: Answer,
    use: ToolUse = AUTO,
    errs: bool = False,
    after_result: bool = False,
    mode: Mode = Mode.VALUE,
) -> Heard:
    """What comes of these answers, each of which but the first answers a question; all of them are needed."""
    reading = stage(use, errs=errs, after_result=after_result, mode=mode)
    out = Heard()
    for number, answer in enumerate(answers):
        if number:
            assert reading.follow_up is not None
            out.questions.append(reading.follow_up)
            reading.begin()
        for event in events_of(answer):
            out.events += reading([event])
    if reading.follow_up is not None:
        assert out.end is None
        out.questions.append(reading.follow_up)
    return out


# --- One answer --------------------------------------------------------------------------------------------


def test_an_answer_of_words_passes_as_it_is() -> None:
    """Nothing is asked."""
    out = heard("Hello <b>there</b>.\n```\ncode\n```\n")
    assert [out.text, out.end, out.questions] == ["Hello <b>there</b>.\n```\ncode\n```\n", Finished(), []]


def test_text_and_calls_pass_in_their_order() -> None:
    """The text around the calls is kept, the white space beside them is not."""
    out = heard(f"First.\n\n{call()}\n{call('Bash')}\nLast.")
    kinds = [type(event) for event in out.events]
    one = [ToolCallStart, ToolCallDelta, ToolCallDelta, ToolCallEnd]
    assert kinds == [TextDelta, *one, *one, TextDelta, Finished]
    assert [out.text, out.calls, out.end] == ["First.\nLast.", [READ, BASH], Finished("tool_calls")]
    assert [event.call_id for event in out.events if isinstance(event, ToolCallStart)] == ["call-1", "call-2"]


def test_text_passes_as_it_arrives() -> None:
    """A client reads along."""
    reading = stage()
    assert reading([TextDelta("Hel")]) == [TextDelta("Hel")]
    assert reading([TextDelta("lo")]) == [TextDelta("lo")]


def test_what_had_to_be_done_to_a_call_is_told_before_its_end() -> None:
    """In words for programs."""
    out = heard(call("functions.Read:0", '{"path": "/a", "limit": "5",}'))
    assert out.calls == [("Read", {"path": "/a", "limit": 5})]
    assert out.warnings == ["repaired", "coerced:limit", "name_normalised"]
    assert [type(event) for event in out.events[-2:]] == [ToolCallEnd, Finished]


@pytest.mark.parametrize("name", ["日 本", "a\nb", "a,b", "a" * 300])
def test_the_words_of_warnings_can_stand_in_a_header(name: str) -> None:
    """Visible ASCII without commas, and no more than a line of it."""
    spec = ToolSpec("Read", "", json.dumps({"properties": {name: {"type": "integer"}}}))
    out = heard(call(arguments=json.dumps({name: "5"})), use=ToolUse((spec,)))
    assert out.calls == [("Read", {name: 5})]
    (word,) = out.warnings
    assert word.startswith("coerced:")
    assert word.isascii()
    assert word.isprintable()
    assert not {" ", ","} & {*word}
    assert len(word) <= 80


@pytest.mark.parametrize(
    "event", [SOURCE, Opened("chat-1"), Usage(1, 1, 1), Annotation(SOURCE, 0, 0), Warned("builtin_tool:ipython")]
)
def test_what_is_nobody_s_words_passes_untouched(event: Event) -> None:
    """Wherever it stands, also in a call."""
    assert heard([event, "a", Finished()]).events[0] == event
    assert event in heard([CUT, event, '"/a"}', Finished()]).events


def test_a_citation_keeps_its_place() -> None:
    """Behind the text that it belongs to, also where that was held back as what may become a mark."""
    out = heard(["Rain <", CITED, " sun\n\n", CITED, call(), Finished()])
    said = [event.text if isinstance(event, TextDelta) else "*" for event in out.events[:-5]]
    assert "".join(said) == "Rain <* sun\n\n*"
    assert out.calls == [READ]


def test_a_citation_in_a_call_is_none() -> None:
    """There is no text that it could stand in."""
    out = heard([CUT, CITED, '"/a"}\n', f"{MARKS.call_end}>", Finished()])
    assert CITED not in out.events
    assert out.calls == [READ]


@pytest.mark.parametrize("end", [Finished(), BUSY])
def test_nothing_comes_after_the_end(end: Event) -> None:
    """Not in the same list, nor in another."""
    reading = stage()
    out = reading([TextDelta("a"), end, TextDelta("b"), Finished()])
    assert out == [TextDelta("a"), end]
    assert reading([TextDelta("c"), ThinkingDelta("d"), SOURCE, Finished()]) == []


# --- Answers that are ended here ---------------------------------------------------------------------------


def test_where_one_call_may_come_the_first_ends_the_answer() -> None:
    """The model had more to say, which nobody is given."""
    out = heard([call(), "and more", Finished()], use=ONE)
    assert [out.calls, out.text, out.end] == [[READ], "", Finished("tool_calls", cut=True)]


def test_a_result_that_the_model_invents_ends_the_answer() -> None:
    """What it would go on to say rests on nothing."""
    out = heard([f'{call()}\n{MARKS.result} id="1" name="Read">\n42', "So it is 42.", Finished()])
    assert [out.calls, out.text, out.end] == [[READ], "", Finished("tool_calls", cut=True)]


def test_a_result_without_a_call_ends_the_answer_too() -> None:
    """With the words before it."""
    out = heard([f"It says:\n{MARKS.result}", ' id="1">', Finished()])
    assert [out.text, out.end] == ["It says:", Finished(cut=True)]


def test_an_answer_of_an_invented_result_alone_is_none() -> None:
    """The model cannot be asked while it goes on."""
    assert isinstance(heard([f'{MARKS.result} id="1">', Finished()]).error, NothingSaid)


def test_where_an_answer_is_cut_nothing_is_asked() -> None:
    """A call that cannot be read, and then an invented result."""
    out = heard([f"{BAD}\n{MARKS.result}>", Finished()])
    assert [type(out.error), out.questions] == [ToolCallUnreadable, []]


def test_an_answer_that_its_limit_ended_is_as_it_is() -> None:
    """The whole calls in it are good, an incomplete one never ends, and nothing is asked."""
    out = heard([f"a\n{call()}\n{CUT}", Finished("length")])
    assert [out.text, out.calls, out.end] == ["a", [READ], Finished("length")]
    assert out.warnings == ["truncated_call:Read"]


@pytest.mark.parametrize("mode", list(Mode))
def test_a_call_that_the_limit_cut_stays_a_piece(mode: Mode) -> None:
    """As with the vendor itself: it was announced, or not, and must not be run."""
    out = heard([call().partition("/a")[0], Finished("length")], mode=mode)
    assert [out.calls, out.end, out.questions] == [[], Finished("length"), []]


def test_a_limit_does_not_hide_what_was_broken_before_it() -> None:
    """A call that was begun and cannot be read is no call that was cut."""
    broken = call(arguments='{"path": "/a", "limit": ==}')
    out = heard([f"{broken}\nAnd", Finished("length")])
    assert [out.announced, out.calls, type(out.error)] == [1, [], ToolCallUnreadable]


# --- Calls that cannot be taken ----------------------------------------------------------------------------

FAULTS = pytest.mark.parametrize(
    ("bad", "told"),
    [
        (UNKNOWN, "There is no tool of the name Fly; the tools are Read, Bash."),
        (BAD, "The arguments of your call of Read are not one JSON object that can be read."),
        (CUT, "Your call of Read broke off before its end."),
    ],
    ids=["unknown", "bad", "cut off"],
)


@FAULTS
def test_a_call_that_cannot_be_taken_is_asked_for_again(bad: str, told: str) -> None:
    """With the reason, and the form that it must have; the client sees one answer."""
    out = heard(f"Let me see.\n{bad}", f"Sorry. Here it is:\n\n{call()}\nThat should do.")
    assert [out.text, out.calls, out.end] == ["Let me see.", [READ], Finished("tool_calls")]
    (question,) = out.questions
    assert question.startswith(f"[{told} ")
    assert f'{MARKS.call} name="NAME">' in question
    assert question.endswith("]")


@FAULTS
def test_words_in_place_of_the_corrected_call_are_the_answer(bad: str, told: str) -> None:
    """Behind those that the client has, on lines of their own; the last fault of all has been asked about."""
    del told
    out = heard(f"Let me see.\n{bad}", "No: I know it. 42.")
    assert [out.text, out.calls, out.end] == ["Let me see.\n\nNo: I know it. 42.", [], Finished()]


def test_a_call_of_a_tool_that_may_not_be_called_is_asked_for_again() -> None:
    """It is one of the client's, but not of this turn."""
    out = heard(call(), call("Bash"), use=NAMED)
    assert [out.calls, out.end] == [[BASH], Finished("tool_calls")]
    assert out.questions[0].startswith("[In this turn you may call Bash, and nothing else. ")


def test_good_calls_stand_beside_one_that_is_asked_for_again() -> None:
    """Their numbers go on rising."""
    out = heard(f"{call()}\n{UNKNOWN}", f"{call('Bash')}\n{call()}")
    assert [out.calls, out.end] == [[READ, BASH, READ], Finished("tool_calls")]


def test_good_calls_are_the_answer_where_the_other_never_comes() -> None:
    """What was wrong is told, the model's words about it are dropped."""
    out = heard(f"{call()}\n{UNKNOWN}", f"Again:\n{UNKNOWN}")
    assert [out.calls, out.text, out.end] == [[READ], "", Finished("tool_calls")]
    assert out.warnings == ["unknown_tool:Fly"]


def test_a_warning_shows_no_mark() -> None:
    """Not even in a name that the model made up."""
    fault = call(f"{MARKS.call} Fly", "{}")
    assert heard(f"{call()}\n{fault}", f"Again:\n{fault}").warnings == ["unknown_tool:<call?Fly"]


def test_each_reason_is_asked_about_once() -> None:
    """A model that makes the same mistake twice makes it a third time."""
    out = heard(BAD, BAD)
    assert [len(out.questions), type(out.error), out.error.status] == [1, ToolCallUnreadable, 502]


def test_two_things_are_asked_in_all() -> None:
    """However many reasons there are."""
    out = heard(BAD, UNKNOWN, CUT)
    assert [len(out.questions), type(out.error)] == [MAX_FOLLOW_UPS, UpstreamTruncated]


def test_a_second_correction_may_succeed() -> None:
    """Of another mistake."""
    out = heard(BAD, UNKNOWN, call())
    assert [len(out.questions), out.calls, out.end] == [2, [READ], Finished("tool_calls")]


@pytest.mark.parametrize("mode", [Mode.VALUE, Mode.EAGER])
@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (call(arguments='{"path": "/a", "limit": ==}'), ToolCallUnreadable),
        (call(arguments='{"path": "/a", "limit": 5').partition("\n</")[0], UpstreamTruncated),
    ],
)
def test_a_call_that_was_announced_is_never_taken_back(mode: Mode, broken: str, error: type[GatewayError]) -> None:
    """The client has its beginning: nothing is asked, and the answer has failed."""
    out = heard(broken, mode=mode)
    assert [out.announced, out.calls, type(out.error), out.questions] == [1, [], error, []]


def test_the_words_of_an_answer_that_fails_in_the_end_are_not_shown() -> None:
    """Nothing was shown before: the error can have its status."""
    out = heard(BAD, f"Once more:\n{BAD}")
    assert [out.text, type(out.error)] == ["", ToolCallUnreadable]


def test_a_tool_that_does_not_exist_is_shown_in_the_end() -> None:
    """As text, with its arguments as code: a person can make something of it."""
    out = heard(f"Off we go.\n{UNKNOWN}", UNKNOWN)
    assert [out.text, out.end] == ['Off we go.\n\nFly\n```json\n{"to": "Rome"}\n```', Finished()]
    assert heard(UNKNOWN, UNKNOWN).text == 'Fly\n```json\n{"to": "Rome"}\n```'


@pytest.mark.parametrize(
    ("name", "body", "shown"),
    [
        ("Fly", '{"a": "```\\n"}', '````json\n{"a": "```\\n"}\n````'),
        (f"{MARKS.call} x", "{}", "<call x\n```json\n{}\n```"),
        ("Fly", json.dumps({"a": MARKS.result}), '```json\n{"a": "<result"}\n```'),
    ],
)
def test_what_is_shown_of_it_stays_code_without_marks(name: str, body: str, shown: str) -> None:
    """Whatever the model wrote there."""
    assert shown in heard(call(name, body), call(name, body)).text


def test_a_question_names_no_mark_of_the_model_s() -> None:
    """Its own one stands in it and no other."""
    name = f"{MARKS.result_end} {MARKS.call}"
    (question,) = heard(call(name, "{}")).questions
    assert MARKS.pattern.findall(question) == ["<call", "</call"]


# --- A call that has to come -------------------------------------------------------------------------------


@pytest.mark.parametrize(("use", "demand"), [(REQUIRED, "have to call a tool."), (NAMED, "have to call Bash.")])
def test_a_call_that_did_not_come_is_asked_for(use: ToolUse, demand: str) -> None:
    """The client sees nothing of the words before it."""
    out = heard("I would rather talk.", f"Well.\n{call('Bash')}", use=use)
    assert [out.text, out.calls, out.end, out.warnings] == ["", [BASH], Finished("tool_calls"), []]
    assert demand in out.questions[0]


def test_text_is_held_until_the_call_comes() -> None:
    """It may have to be dropped; with the call it is passed on, and all that follows as it arrives."""
    reading = stage(REQUIRED)
    assert reading([TextDelta("Let me see. ")]) == []
    begun = reading([TextDelta(call())])
    assert begun[0] == TextDelta("Let me see.")
    assert isinstance(begun[1], ToolCallStart)
    assert reading([TextDelta("\nDone.")]) == [TextDelta("\nDone.")]


def test_a_citation_is_held_with_its_text() -> None:
    """It would stand at another place else."""
    out = heard(["Rain.", CITED, " Sun.", call(), Finished()], use=REQUIRED)
    assert out.events[:3] == [TextDelta("Rain."), CITED, TextDelta(" Sun.")]


def test_a_citation_is_dropped_with_its_text() -> None:
    """There is nothing left that it belongs to."""
    out = heard(["Rain.", CITED, Finished()], ["Well.", CITED, call(), "So.", CITED, Finished()], use=REQUIRED)
    assert [out.text, CITED in out.events, out.calls] == ["", False, [READ]]


def test_a_call_that_never_comes_leaves_the_last_words_with_a_warning() -> None:
    """Better than nothing; the operator may want an error instead."""
    out = heard("I would rather talk.", "I insist.", use=REQUIRED)
    assert [out.text, out.warnings, out.end, len(out.questions)] == ["I insist.", [UNMET], Finished(), 1]
    failed = heard("I would rather talk.", "I insist.", use=REQUIRED, errs=True)
    assert [failed.text, type(failed.error), failed.error.status] == ["", ToolCallUnreadable, 502]


@pytest.mark.parametrize("nothing", ["", "\n \n", f"{MARKS.call_end}>"])
def test_the_words_that_were_held_come_where_nothing_else_does(nothing: str) -> None:
    """A model that is asked to call may fall silent."""
    out = heard("I would rather talk.", nothing or [Finished()], use=REQUIRED)
    assert [out.text, out.end] == ["I would rather talk.", Finished()]
    assert heard("I would rather talk.", [EMPTY], use=REQUIRED).text == "I would rather talk."


def test_the_first_words_come_also_where_it_falls_silent_twice() -> None:
    """They are not forgotten over a call that cannot be taken."""
    out = heard("I would rather talk.", BAD, [Finished()], use=REQUIRED)
    assert [out.text, out.end] == ["I would rather talk.", Finished()]


def test_an_answer_that_its_limit_ended_is_not_asked_for_a_call() -> None:
    """It would end there again."""
    out = heard(["I would rather", Finished("length")], use=REQUIRED)
    assert [out.text, out.warnings, out.end] == ["I would rather", [UNMET], Finished("length")]


# --- No call at all ----------------------------------------------------------------------------------------

FORBIDDEN = pytest.mark.parametrize("use", [NONE, HISTORY], ids=["none", "history"])


@FORBIDDEN
def test_calls_are_left_out_where_none_may_come(use: ToolUse) -> None:
    """Without a word; the marks are shown nowhere."""
    out = heard(f"Before.\n{call()}\nAfter. {MARKS.nonce}", use=use)
    assert [out.text, out.calls, out.end, out.warnings] == [f"Before.\nAfter. {NONCE}", [], Finished(), []]


@FORBIDDEN
def test_an_answer_of_forbidden_calls_alone_is_asked_for_in_words(use: ToolUse) -> None:
    """Never for a call, which would be left out as well."""
    out = heard(call(), "Hello.", use=use)
    assert [out.text, out.end] == ["Hello.", Finished()]
    assert out.questions == ["[Your answer was empty. Answer now: no tool can be called in this turn.]"]


@FORBIDDEN
def test_where_no_tool_can_be_called_nobody_is_told_that_there_are_tools(use: ToolUse) -> None:
    """Nor is a call missed behind a colon."""
    assert heard("I do not have access to tools:", use=use, after_result=True).questions == []


# --- Silence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [" \n", f"{MARKS.call_end}>", f"{MARKS.call_end}"])
def test_an_answer_of_nothing_is_asked_for_again(nothing: str) -> None:
    """It may have been a slip."""
    out = heard(nothing, "Hello.")
    assert [out.text.strip(), out.end, len(out.questions)] == ["Hello.", Finished(), 1]
    assert f'{MARKS.call} name="NAME">' in out.questions[0]


def test_two_answers_of_nothing_are_an_error() -> None:
    """Never an empty success."""
    out = heard([Finished()], [Finished()])
    assert isinstance(out.error, NothingSaid)


# --- Announcements and refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["Now I read the other file:", "接下来读取文件：", "Next:\n\n"])
def test_a_call_that_was_announced_and_did_not_come_is_asked_for(words: str) -> None:
    """After the result of a tool; what the client was shown stays."""
    out = heard(words, call(), after_result=True)
    assert [out.text, out.calls, out.end] == [words, [READ], Finished("tool_calls")]
    assert out.questions[0].startswith("[You have announced something and printed nothing. ")


def test_without_a_result_before_it_a_colon_is_a_colon() -> None:
    """A first answer may end so for many reasons."""
    assert heard("Choose one of these:").questions == []


@pytest.mark.parametrize("answer", ["Done.", f"Now:\n{call()}", f"Now:\n{call()}\nand then:"])
def test_nothing_is_missed_where_a_call_came_or_nothing_was_announced(answer: str) -> None:
    """A colon before a call is as it should be."""
    assert heard(answer, after_result=True).questions == []


def test_the_colon_of_an_earlier_answer_is_none_of_a_later_one() -> None:
    """Each answer is judged by its own words."""
    out = heard(f"Now I read it:\n{BAD}", "It says 42.", after_result=True)
    assert [out.text, len(out.questions)] == ["Now I read it:\n\nIt says 42.", 1]


REFUSAL = "I don't have access to your file system."


def test_a_model_that_thinks_it_has_no_tools_is_told_that_it_has() -> None:
    """It may use them, or answer in words all the same."""
    out = heard(REFUSAL, call())
    assert [out.text, out.calls, out.end] == [REFUSAL, [READ], Finished("tool_calls")]
    assert out.questions[0].startswith("[You do have tools here, and they work: Read, Bash. ")


def test_a_refusal_in_a_long_answer_is_a_remark() -> None:
    """The answer is something else."""
    assert heard(f"{'This is how it works. ' * 30}{REFUSAL}").questions == []


def test_a_model_that_insists_has_the_last_word() -> None:
    """Behind the first one, a line apart."""
    out = heard(REFUSAL, "I really do not.")
    assert [out.text, out.end] == [f"{REFUSAL}\n\nI really do not.", Finished()]


# --- Thinking ----------------------------------------------------------------------------------------------


def test_thinking_passes_without_calls_and_marks() -> None:
    """A call in thoughts is not one where the answer says something."""
    out = heard([ThinkingDelta(f"Hm.\n{call()}\nWell {MARKS.result} x"), "Hello.", Finished()])
    assert [out.thinking, out.text, out.calls, out.end] == ["Hm.\nWell <result x", "Hello.", [], Finished()]


@pytest.mark.parametrize("end", [Finished(), EMPTY])
def test_a_call_in_thoughts_counts_where_nothing_else_comes(end: Event) -> None:
    """Some models call there, and then end; Kimi's side takes that for silence."""
    out = heard([ThinkingDelta(f"Let me see.\n{call()}{call('Bash')}"), end])
    assert [out.calls, out.thinking, out.end] == [[READ, BASH], "Let me see.", Finished("tool_calls")]


def test_of_calls_in_thoughts_one_counts_where_one_may_come() -> None:
    """The first."""
    assert heard([ThinkingDelta(f"{call()}{call('Bash')}"), Finished()], use=ONE).calls == [READ]


@pytest.mark.parametrize("text", ["Hello.", call("Bash"), BAD])
def test_a_call_in_thoughts_does_not_count_beside_anything_else(text: str) -> None:
    """Not even beside a call that cannot be read: what was thought is a draft of it."""
    out = heard([ThinkingDelta(call()), text, Finished()])
    assert out.announced == text.count("Bash")


@pytest.mark.parametrize("thought", [CUT, BAD, UNKNOWN, "```\nSo:\n" + call() + "\n```"])
def test_a_call_in_thoughts_counts_only_where_it_is_whole(thought: str) -> None:
    """And a tool, and no example."""
    out = heard([ThinkingDelta(thought), EMPTY])
    assert [out.announced, type(out.error)] == [0, NothingSaid]


def test_a_call_in_thoughts_meets_the_demand_for_one() -> None:
    """It is all that came."""
    out = heard([ThinkingDelta(call("Bash")), EMPTY], use=NAMED)
    assert [out.calls, out.warnings, out.end] == [[BASH], [], Finished("tool_calls")]


def test_a_call_in_thoughts_is_left_out_where_none_may_come() -> None:
    """As any other."""
    out = heard([ThinkingDelta(f"Hm.\n{call()}"), EMPTY], use=NONE)
    assert [out.thinking, out.announced, type(out.error)] == ["Hm.", 0, NothingSaid]


def test_calls_in_the_thoughts_of_a_second_answer_have_the_next_numbers() -> None:
    """The numbers of an answer are its own, however many answers of the model's it is made of."""
    out = heard(f"{call()}\n{UNKNOWN}", [ThinkingDelta(call("Bash")), "\n", Finished()])
    assert out.announced == len(out.calls) == 1  # there was a call before
    out = heard(BAD, [ThinkingDelta(call("Bash")), EMPTY])
    assert [out.calls, out.end] == [[BASH], Finished("tool_calls")]


# --- Failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [AUTO, REQUIRED])
def test_a_failure_comes_behind_what_was_held_back(use: ToolUse) -> None:
    """The client is given all that came before it."""
    out = heard([ThinkingDelta("Hm <ca"), "Hello <cal", BUSY], use=use)
    assert [out.thinking, out.text, out.end] == ["Hm <ca", "Hello <cal", BUSY]


@pytest.mark.parametrize("mode", [Mode.VALUE, Mode.EAGER])
def test_a_failure_in_a_call_is_a_failure(mode: Mode) -> None:
    """Also where other calls were whole."""
    out = heard([f"{call()}\n{CUT}", BUSY], mode=mode)
    assert [out.calls, out.end] == [[READ], BUSY]


def test_good_calls_are_the_answer_where_the_question_fails() -> None:
    """They are whole, and the client can run them; Kimi's side is left alone."""
    out = heard(f"Now.\n{call()}\n{UNKNOWN}", [QUOTA])
    assert [out.text, out.calls, out.end] == ["Now.", [READ], Finished("tool_calls", cut=True)]
    out = heard(f"{call()}\n{UNKNOWN}", [EMPTY])
    assert [out.calls, out.end] == [[READ], Finished("tool_calls")]


def test_without_good_calls_the_failure_of_the_question_is_the_answer_s() -> None:
    """The words that came meanwhile are dropped: nothing was shown, so another account may be tried."""
    out = heard(BAD, ["Sorry: ", QUOTA])
    assert [out.text, out.end] == ["", QUOTA]


def test_a_call_that_the_second_answer_began_must_not_pass_for_whole() -> None:
    """Not even beside good ones: a client runs what it has when it is told of calls."""
    begun = call(arguments='{"path": "/a", "limit": 5').partition("\n</")[0]
    out = heard(f"{call()}\n{UNKNOWN}", [begun, QUOTA])
    assert [out.announced, out.calls, out.end] == [2, [READ], QUOTA]
    out = heard(f"{call()}\n{UNKNOWN}", [begun, EMPTY])
    assert [out.announced, out.calls, out.end] == [2, [READ], EMPTY]


@pytest.mark.parametrize(
    ("words", "after_result"), [("Now I read it:", True), (REFUSAL, False)], ids=["announced", "refusal"]
)
def test_words_that_stand_by_themselves_do_not_fail_with_the_question(words: str, *, after_result: bool) -> None:
    """Nobody would have noticed anything, had the model not been asked."""
    out = heard(words, ["Well", QUOTA], after_result=after_result)
    assert [out.text, out.end] == [words, Finished(cut=True)]


# --- Where the model cannot be asked -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "use", "text", "end"),
    [
        (UNKNOWN, AUTO, 'Fly\n```json\n{"to": "Rome"}\n```', Finished()),
        (f"{call()}\n{BAD}", AUTO, "", Finished("tool_calls")),
        ("Words.", REQUIRED, "Words.", Finished()),
        (REFUSAL, AUTO, REFUSAL, Finished()),
    ],
)
def test_an_answer_ends_as_it_stands_where_nothing_can_be_asked(
    answer: str, use: ToolUse, text: str, end: Event
) -> None:
    """As if the question had been in vain."""
    reading = stage(use)
    events = reading(events_of(answer))
    assert reading.follow_up is not None
    out = Heard([*events, *reading.conclude()])
    assert [out.text, out.end, reading.follow_up] == [text, end, None]


def test_what_cannot_be_read_is_an_error_where_nothing_can_be_asked() -> None:
    """There is nothing that a client could be given."""
    reading = stage()
    assert reading(events_of(BAD)) == []
    assert isinstance(Heard(reading.conclude()).error, ToolCallUnreadable)


# --- Asked by somebody else --------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["{bad", REFUSAL, call()])
def test_a_new_answer_may_begin_where_another_stage_asks(answer: str) -> None:
    """What the last one said was dropped by it; each reason is still asked about once."""
    reading = stage()
    assert Heard(reading([TextDelta("{bad"), Finished()])).end == Finished()
    reading.begin()
    out = Heard(reading(events_of(answer)))
    assert (out.end is None) == (answer == REFUSAL)
    assert out.calls == ([READ] if answer == call() else [])


def test_an_empty_answer_to_somebody_else_s_question_is_empty() -> None:
    """Whatever was said before it."""
    reading = stage()
    assert Heard(reading(events_of("I would rather talk."))).end == Finished()
    reading.begin()
    assert reading([Finished()]) == []
    assert reading.follow_up is not None


# --- Where texts meet --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pieces", [("<call:", "K7Q2 x"), ("<", "/result:K7Q2>"), ("a <call", ":K7", "Q2"), ("<call:K7Q", "2")]
)
def test_no_mark_comes_about_where_two_texts_meet(pieces: Sequence[str]) -> None:
    """Around a citation, in two stretches of thinking, or at the end of one answer and the beginning of the next."""
    around = [event for piece in pieces for event in (piece, CITED)]
    out = heard([*around, Finished()])
    assert not MARKS.pattern.search(out.text)
    assert out.text.startswith(pieces[0])
    thoughts = [event for piece in pieces for event in (ThinkingDelta(piece), "-")]
    out = heard([*thoughts, Finished()])
    assert not MARKS.pattern.search(out.thinking)
    assert out.thinking.startswith(pieces[0])
    seam = Seam(MARKS)
    assert not MARKS.pattern.search("".join(map(seam.follow, pieces)))


@given(st.lists(st.text(alphabet="</calresut:K7Q2 ", max_size=12), max_size=8))
def test_a_channel_never_shows_a_mark(texts: list[str]) -> None:
    """And takes nothing away but letters of one."""
    seam = Seam(MARKS)
    shown = "".join(map(seam.follow, texts))
    assert not MARKS.pattern.search(shown)
    assert shown == "".join(texts) or MARKS.nonce in "".join(texts)


def test_what_may_have_become_a_mark_stands_before_the_call() -> None:
    """It is text after all, and keeps its place."""
    out = heard(f"a <cal{call()}b")
    start = next(place for place, event in enumerate(out.events) if isinstance(event, ToolCallStart))
    assert [Heard(out.events[:start]).text, out.text, out.calls] == ["a <cal", "a <cal\nb", [READ]]


# --- However it arrives ------------------------------------------------------------------------------------

TALKS: list[tuple[ToolUse, tuple[str, ...]]] = [
    (AUTO, (f"First.\n\n```\n{call()}\n```\n{call('Bash')}\nLast.",)),
    (AUTO, (f"Let me see.\n{BAD}\n", f"Again: {call()} So.")),
    (AUTO, (f"{call()}\n{UNKNOWN}", f"Again: {UNKNOWN}")),
    (AUTO, (UNKNOWN, f"Again.\n{CUT}", f"<call {call('Bash')}")),
    (AUTO, ("I do not have access to tools.", "I do not <call:K7")),
    (ONE, (f"One. {call()}{call()}",)),
    (REQUIRED, ("Well.", f"So: {call()}\nThere.")),
    (NAMED, (call(), f"Oh.\n{call('Bash')}")),
    (NONE, (call(), f"Well. {call()} Then.")),
]


@pytest.mark.parametrize(("use", "answers"), TALKS)
def test_how_an_answer_arrives_changes_nothing(use: ToolUse, answers: tuple[str, ...]) -> None:
    """Text, calls, questions and warnings are the same however the network cuts it."""
    border, cut = "\x00", "\x01"

    def read(pieces: Sequence[str]) -> tuple[object, ...]:
        told: list[list[Event | str]] = [[] for _ in answers]
        for parts, text in zip(told, cut.join(pieces).split(border), strict=True):
            parts += [*filter(None, text.split(cut)), Finished()]
        out = heard(*told, use=use)
        return out.text, out.calls, out.questions, out.warnings, out.end

    drip(read, border.join(answers), count=15, small=0)


FRAGMENTS = st.sampled_from([*SPLICES, call(), BAD, UNKNOWN, CUT, "<call:K7", "Q2", NONCE, "Well.", " "]) | st.text(
    alphabet='<>/:callresu KQ72"{}`\n', max_size=8
)
PIECES = st.builds(TextDelta, FRAGMENTS.filter(bool)) | st.builds(ThinkingDelta, FRAGMENTS.filter(bool))
ANSWERS = st.lists(
    st.tuples(
        st.lists(PIECES | st.sampled_from([CITED, SOURCE]), max_size=8),
        st.sampled_from([Finished(), Finished("length"), EMPTY, QUOTA]),
    ),
    min_size=MAX_FOLLOW_UPS + 1,
    max_size=MAX_FOLLOW_UPS + 1,
)


@given(
    ANSWERS,
    st.sampled_from([AUTO, ONE, NONE, REQUIRED, NAMED, HISTORY]),
    st.tuples(st.sampled_from(list(Mode)), st.booleans()),
)
def test_what_holds_for_every_answer(
    answers: list[tuple[list[Event], Event]], use: ToolUse, how: tuple[Mode, bool]
) -> None:
    """No mark is shown, nothing follows the end, and no call is run that is not whole."""
    reading = stage(use, mode=how[0], after_result=how[1])
    out = Heard()
    for events, end in answers:
        for event in [*events, end]:
            out.events += reading([event])
        if reading.follow_up is None:
            break
        assert MARKS.pattern.findall(reading.follow_up) in ([], ["<call", "</call"])
        out.questions.append(reading.follow_up)
        reading.begin()
    assert out.end is not None
    assert len(out.questions) <= MAX_FOLLOW_UPS
    assert not MARKS.pattern.search(out.text)
    assert not MARKS.pattern.search(out.thinking)
    assert not any(MARKS.pattern.search(word) for word in out.warnings)
    assert not (out.announced and use in (NONE, HISTORY))
    assert not (use is ONE and out.announced > 1)
    if isinstance(out.end, Finished):
        assert (out.end.reason == "tool_calls") == (out.announced > 0 and out.end.reason != "length")
        assert len(out.calls) == out.announced or out.end.reason == "length"
        assert out.announced or out.text.strip() or out.end.reason == "length"
    assert {name for name, _ in out.calls} <= {spec.name for spec in use.told}
    assert all(isinstance(arguments, dict) for _, arguments in out.calls)


@given(st.lists(PIECES, max_size=8))
def test_where_a_call_has_to_come_no_word_comes_before_it_is_sure(events: list[Event]) -> None:
    """Text is passed on with the first call, or with the end."""
    reading = stage(REQUIRED)
    for event in events:
        out = Heard(reading([event]))
        if out.announced or out.end:
            break
        assert out.text == ""


@given(st.lists(st.text(alphabet="ab .<\n", min_size=1, max_size=6), max_size=8))
def test_words_without_a_mark_are_given_letter_by_letter(pieces: list[str]) -> None:
    """No more and no less."""
    text = "".join(pieces)
    out = heard([*pieces, "end", Finished()])
    assert [out.text, out.end] == [f"{text}end", Finished()]


@pytest.mark.parametrize("first", [BAD, UNKNOWN, CUT, " ", REFUSAL])
@pytest.mark.parametrize("second", [BAD, UNKNOWN, CUT, " ", REFUSAL])
def test_no_question_is_asked_twice(first: str, second: str) -> None:
    """Whatever comes in which order."""
    reading = stage()
    questions: list[str] = []
    for answer in (first, second, first):
        reading(events_of(answer))
        if reading.follow_up is None:
            break
        questions.append(reading.follow_up)
        reading.begin()
    assert len({*questions}) == len(questions) <= MAX_FOLLOW_UPS
