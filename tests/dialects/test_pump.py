"""An answer in a thread of its own."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Iterator

import pytest

from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, TextDelta
from app.dialects.pump import CAPACITY, Pump
from app.errors import InternalError
from app.observability.log import JsonFormatter
from tests.dialects.answers import Answer

SOON = 5.0


def test_all_that_waits_is_taken_at_once() -> None:
    """One write for all that came in the meantime."""
    answer = Answer()
    pump = Pump(answer)
    answer.say(TextDelta("a"), TextDelta("b"))
    answer.say(TextDelta("c"), Finished())
    answer.end()
    assert answer.closed.wait(SOON)
    assert pump.get(SOON) == [TextDelta("a"), TextDelta("b"), TextDelta("c"), Finished()]


def test_an_empty_list_is_the_end() -> None:
    """And stays it."""
    answer = Answer()
    pump = Pump(answer)
    answer.end()
    assert [pump.get(SOON), pump.get(SOON), pump.get(None)] == [[], [], []]


@pytest.mark.parametrize("timeout", [0.0, 0.05])
def test_silence_is_none(timeout: float) -> None:
    """After the time that the caller gives."""
    answer = Answer()
    pump = Pump(answer)
    assert pump.get(timeout) is None
    pump.close()
    assert answer.closed.wait(SOON)


def test_closing_cancels_and_closes_the_answer() -> None:
    """Its `with` blocks unwind in its own thread."""
    answer = Answer()
    pump = Pump(answer)
    answer.say(TextDelta("a"))
    assert pump.get(SOON) == [TextDelta("a")]
    pump.close()
    assert pump.cancellation.cancelled
    assert answer.closed.wait(SOON)
    pump.close()


def test_a_closed_pump_takes_no_more() -> None:
    """An answer that does not look at its cancellation ends at its next events."""
    closed, go_on = threading.Event(), threading.Event()

    def source(_: Cancellation) -> Iterator[list[Event]]:
        try:
            go_on.wait(SOON)
            while True:
                yield [TextDelta("a")]
        finally:
            closed.set()

    pump = Pump(source)
    pump.close()
    go_on.set()
    assert closed.wait(SOON)


def test_a_slow_reader_holds_the_answer_back() -> None:
    """No more than the capacity waits; what is taken makes room."""
    given, full = 0, threading.Event()

    def source(_: Cancellation) -> Iterator[list[Event]]:
        nonlocal given
        for _number in range(CAPACITY * 2):
            given += 1
            if given > CAPACITY:
                full.set()
            yield [TextDelta("a")]
        yield [Finished()]

    pump = Pump(source)
    assert full.wait(SOON)
    time.sleep(0.05)
    assert given == CAPACITY + 1
    taken = 0
    while events := pump.get(SOON):
        assert len(events) <= CAPACITY
        taken += len(events)
    assert taken == CAPACITY * 2 + 1


def test_a_reader_that_leaves_frees_an_answer_held_back() -> None:
    """It does not wait for room for ever."""
    closed, full = threading.Event(), threading.Event()

    def source(_: Cancellation) -> Iterator[list[Event]]:
        try:
            yield [TextDelta("a")] * CAPACITY
            full.set()
            yield [TextDelta("a")]
        finally:
            closed.set()

    pump = Pump(source)
    assert full.wait(SOON)
    pump.close()
    assert closed.wait(SOON)


def test_a_crash_is_an_internal_error_logged_without_content(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets what came before, and no words of the exception; nor does the log."""
    caplog.set_level(logging.DEBUG)
    answer = Answer()
    pump = Pump(answer)
    answer.say(TextDelta("a"))
    answer.crash(ValueError("secret words"))
    assert answer.closed.wait(SOON)
    events: list[Event] = []
    while more := pump.get(SOON):
        events += more
    assert events[0] == TextDelta("a")
    assert isinstance(events[1], Failed)
    assert isinstance(events[1].error, InternalError)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert len(lines) == 1
    assert "ValueError" in lines[0]
    assert "secret" not in lines[0] + events[1].error.message


def test_a_crash_at_the_very_start_is_told_too() -> None:
    """Before there is an iterator."""

    def source(_: Cancellation) -> Iterator[list[Event]]:
        raise KeyError("secret")

    events = Pump(source).get(SOON)
    assert events is not None
    assert [type(event) for event in events] == [Failed]


def test_the_answer_runs_in_the_context_of_its_request() -> None:
    """What is logged there can name it."""
    variable = contextvars.ContextVar("variable", default="unset")

    def source(_: Cancellation) -> Iterator[list[Event]]:
        yield [TextDelta(variable.get())]

    variable.set("set")
    assert Pump(source).get(SOON) == [TextDelta("set")]
