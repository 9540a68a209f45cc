"""The stop signal."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.chat.cancellation import Callback, Cancellation
from app.errors import ClientGone


def test_it_is_not_set_at_first() -> None:
    """And stays set once it is."""
    signal = Cancellation()
    before = signal.cancelled
    signal.cancel()
    assert [before, signal.cancelled] == [False, True]


def test_callbacks_run_once_in_their_order() -> None:
    """However often it is cancelled."""
    signal, ran = Cancellation(), list[str]()
    signal.on_cancel(lambda: ran.append("first"))
    signal.on_cancel(lambda: ran.append("second"))
    signal.cancel()
    signal.cancel()
    assert ran == ["first", "second"]


def test_a_late_callback_runs_at_once() -> None:
    """It must not wait for a signal that has passed."""
    signal, ran = Cancellation(), list[str]()
    signal.cancel()
    signal.on_cancel(lambda: ran.append("late"))
    assert ran == ["late"]


def test_a_callback_can_be_taken_back() -> None:
    """Any number of times, also after it has run."""
    signal, ran = Cancellation(), list[str]()
    forget = signal.on_cancel(lambda: ran.append("forgotten"))
    keep = signal.on_cancel(lambda: ran.append("kept"))
    forget()
    forget()
    signal.cancel()
    keep()
    assert ran == ["kept"]


def test_a_callback_sees_the_signal_set() -> None:
    """It may look, and it may cancel again."""
    signal, seen = Cancellation(), list[bool]()
    signal.on_cancel(lambda: seen.append(signal.cancelled))
    signal.on_cancel(signal.cancel)
    signal.cancel()
    assert seen == [True]


def test_each_callback_runs_once_whoever_cancels_meanwhile() -> None:
    """Registration and signal race in real life."""
    for _ in range(50):
        race()


def race() -> None:
    """Three register while one cancels."""
    signal, ran, everyone = Cancellation(), list[int](), threading.Barrier(4)

    def act(number: int) -> None:
        everyone.wait(5)
        if number:
            signal.on_cancel(lambda: ran.append(number))
        else:
            signal.cancel()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(act, range(4)))
    assert sorted(ran) == [1, 2, 3]


def test_a_check_stops_only_after_the_signal() -> None:
    """As the error of a client that has left."""
    cancellation = Cancellation()
    cancellation.check()
    cancellation.cancel()
    with pytest.raises(ClientGone):
        cancellation.check()


class Counted(Cancellation):
    """Counts the callbacks that were given to it and not taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.waited_for = threading.Event()

    def on_cancel(self, callback: Callback) -> Callback:
        self.left += 1
        forget = super().on_cancel(callback)
        self.waited_for.set()

        def take_back() -> None:
            self.left -= 1
            forget()

        return take_back


@pytest.mark.parametrize("seconds", [0, 0.05, -1])
def test_a_wait_lets_time_pass(seconds: float) -> None:
    """And leaves nothing behind."""
    cancellation, began = Counted(), time.monotonic()
    cancellation.wait(seconds)
    assert time.monotonic() - began >= seconds - 0.01
    assert cancellation.left == 0


def test_a_wait_ends_with_the_signal() -> None:
    """Long before its time, and as the error of a client that has left."""
    cancellation = Counted()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(cancellation.wait, 60)
        assert cancellation.waited_for.wait(10)
        cancellation.cancel()
        assert isinstance(waiting.exception(10), ClientGone)
    assert cancellation.left == 0


def test_after_the_signal_nothing_is_waited_for() -> None:
    """Not for a moment."""
    cancellation = Counted()
    cancellation.cancel()
    with pytest.raises(ClientGone):
        cancellation.wait(60)
    assert cancellation.left == 0
