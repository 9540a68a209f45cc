"""The answers of the corpus, through all that judges them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from app.chat.events import Event, Failed, Finished, TextDelta, ThinkingDelta, Usage
from app.chat.request import ChatRequest, Choice, Message, Role, ToolUse
from app.gateway.chain import Chain, Terms
from app.toolcalls.arguments import Mode
from app.toolcalls.asking import Duty
from app.toolcalls.marks import Veil
from app.toolcalls.reading import ToolReading
from config.models import ModelChoice
from tests.drip import drip
from tests.toolcalls.answers import MARKS, Outcome, Row, call, row, rows, rules, rules_of

WITH_TOOLS = [each["id"] for each in rows() if each["tools"]]
ASKED = "asked again"


def duty_of(each: Row) -> Duty:
    """What the request of a row asks of its answer."""
    specs = tuple(tool.spec for tool in rules().tools.values())
    choice, parallel = each["tool_choice"], each["parallel_tool_calls"]
    if isinstance(choice, dict):
        return Duty(ToolUse(specs, Choice.REQUIRED, allowed=(choice["function"]["name"],), parallel=parallel))
    return Duty(ToolUse(specs, Choice(choice), parallel=parallel))


@dataclass
class Judged:
    """What the client is given of an answer: the text, the thinking, the calls, and how it ends."""

    text: str = ""
    thinking: str = ""
    end: str = ""
    outcome: Outcome = field(default_factory=Outcome)


def judged(each: Row, mode: Mode, chunks: Sequence[str]) -> Judged:
    """A row that arrives so, its thinking letter by letter before it."""
    numbers = iter(range(1000))
    reading = ToolReading(MARKS, rules_of(each, mode), duty_of(each), new_id=lambda: f"call-{next(numbers)}")
    arriving: list[Event] = [ThinkingDelta(letter) for letter in each.get("upstream_thinking", "")]
    arriving += [TextDelta(chunk) for chunk in chunks if chunk]
    end, given = Finished(each["upstream_finish"]), Judged()
    for event in [*(out for one in arriving for out in reading([one])), *reading([end])]:
        match event:
            case TextDelta(text):
                given.text += text
            case ThinkingDelta(text):
                given.thinking += text
            case Finished(reason):
                given.end = reason
            case Failed(error):
                given.end = error.code
            case _:
                given.outcome.take([event], Veil(MARKS))
    given.end = given.end if reading.follow_up is None else ASKED
    return given


def end_of(each: Row, mode: Mode) -> str:
    """How an answer ends that the corpus calls an error: the model is asked again, unless too much was passed on."""
    if each["id"] == "truncated_in_string_clean_stop" and mode is Mode.VALUE:
        return "upstream_truncated"
    reason: str = each["expected"]["finish_reason"]
    return ASKED if reason == "error" or each["id"] == "empty_output" else reason


@pytest.mark.parametrize("mode", [Mode.CALL, Mode.VALUE])
@pytest.mark.parametrize("name", WITH_TOOLS)
def test_the_client_is_given_what_it_should_be(name: str, mode: Mode) -> None:
    """The text, the calls and the end of the answer; an answer that cannot stand is asked for once more."""
    each, told = row(name), row(name)["expected"]
    text = each["upstream_text"]
    given = drip(lambda chunks: judged(each, mode, chunks), text, count=20 if len(text) < 10_000 else 4, small=0)
    assert given.outcome.values == [(named["name"], named["arguments"]) for named in told["tool_calls"]]
    assert given.end == end_of(each, mode)
    # What is said where a call has to come is held back until there is one.
    assert given.text == ("" if name == "tool_choice_required_no_call" else told["text"])
    assert {*told.get("warnings", [])} <= {*given.outcome.warnings}
    assert not MARKS.pattern.search(given.text)


@pytest.mark.parametrize("name", ["thinking_contains_marker", "call_only_in_thinking"])
def test_a_call_is_taken_out_of_the_thinking(name: str) -> None:
    """What stands around it is shown."""
    each = row(name)
    before, _, behind = each["upstream_thinking"].partition(call())
    shown = judged(each, Mode.VALUE, [each["upstream_text"]]).thinking
    assert shown == "\n".join(filter(None, [before.rstrip(), behind.lstrip()]))


@pytest.mark.parametrize("name", ["hallucinated_result", "hallucinated_result_no_call", "parallel_disabled"])
def test_an_answer_that_goes_too_far_is_cut(name: str) -> None:
    """Kimi has more to say than the client is given."""
    each = row(name)
    reading = ToolReading(MARKS, rules_of(each), duty_of(each), new_id=str)
    end = reading([TextDelta(each["upstream_text"])])[-1]
    assert end == Finished(each["expected"]["finish_reason"], cut=True)


def test_without_tools_an_answer_stays_as_it_is() -> None:
    """No mark means anything then."""
    each = row("no_tools_verbatim")
    request = ChatRequest("kimi", (Message.of(Role.USER, "Hi"),))
    terms = Terms.of(request, ModelChoice("kimi"), b"secret")
    assert terms.marks is None
    text = each["upstream_text"]

    def passed(chunks: Sequence[str]) -> tuple[str, list[Event]]:
        chain = Chain(terms, errs=False)
        events = [event for chunk in chunks if chunk for event in chain([TextDelta(chunk)])] + chain([Finished("stop")])
        return (
            "".join(event.text for event in events if isinstance(event, TextDelta)),
            [event for event in events if not isinstance(event, TextDelta | Usage)],
        )

    assert drip(passed, text) == (each["expected"]["text"], [Finished("stop")])
