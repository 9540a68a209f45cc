"""Side by side: all results in their order, or the first error once everything has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.cancellation import Cancellation
from app.errors import AttachmentRefused, ClientGone, UpstreamBusy
from app.gateway.together import AT_ONCE, together

PATIENCE = 10.0
"""Seconds that a test waits for what must come at once."""

Work = Callable[[Cancellation], object]


def giving(value: object) -> Work:
    """Work that gives this."""
    return lambda _cancellation: value


def waiting(cancellation: Cancellation) -> None:
    """Work that goes on until it is cancelled."""
    cancellation.wait(PATIENCE)


class Count:
    """Pieces of work that know how many of them run; `begun` and `ended` count them.

    `cancelled` are those of them that were cancelled, `most` is how many ran at once.
    """

    def __init__(self, *, meet: int = 1) -> None:
        self.begun = self.ended = self.cancelled = self.most = 0
        self._running = 0
        self._lock = threading.Lock()
        self._barrier = threading.Barrier(meet)

    def work(self, inner: Work) -> Work:
        """Count this piece; it waits until as many run as are to meet."""

        def counted(cancellation: Cancellation) -> object:
            with self._lock:
                self.begun += 1
                self._running += 1
                self.most = max(self.most, self._running)
            try:
                self._barrier.wait(PATIENCE)
                return inner(cancellation)
            except ClientGone:
                self.cancelled += 1
                raise
            finally:
                with self._lock:
                    self._running -= 1
                    self.ended += 1

        return counted


def left_running() -> list[threading.Thread]:
    """The threads of the call that have not ended."""
    return [thread for thread in threading.enumerate() if thread.name == "together"]


# --- Results -----------------------------------------------------------------------------------------------


def test_nothing_to_do_gives_nothing() -> None:
    """And takes no thread."""
    assert together([], Cancellation()) == []


def test_results_are_in_the_order_of_the_pieces() -> None:
    """Whichever ends first."""
    last = threading.Event()

    def first(_cancellation: Cancellation) -> str:
        assert last.wait(PATIENCE)
        return "first"

    def second(_cancellation: Cancellation) -> str:
        last.set()
        return "second"

    assert together([first, second], Cancellation()) == ["first", "second"]


def test_one_piece_runs_in_the_thread_of_its_caller() -> None:
    """Most messages have one attachment."""
    assert together([lambda _: threading.get_ident()], Cancellation()) == [threading.get_ident()]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_as_many_run_at_once_as_may(at_once: int) -> None:
    """No fewer, and no more."""
    count = Count(meet=at_once)
    pieces = [count.work(giving(number)) for number in range(3 * at_once)]
    assert together(pieces, Cancellation(), at_once=at_once) == list(range(3 * at_once))
    assert count.most == at_once


def test_four_run_at_once_by_default() -> None:
    """An account is asked for no more at a time."""
    count = Count(meet=AT_ONCE)
    together([count.work(giving(None))] * (2 * AT_ONCE), Cancellation())
    assert [AT_ONCE, count.most] == [4, 4]


# --- Errors ------------------------------------------------------------------------------------------------


def test_the_first_error_ends_the_others_and_is_raised_when_they_have_ended() -> None:
    """Not what the others say of their end."""
    count = Count(meet=2)

    def failing(_cancellation: Cancellation) -> None:
        raise AttachmentRefused("no", param="messages.0")

    pieces = [count.work(failing), count.work(waiting)]
    for order in (pieces, pieces[::-1]):
        with pytest.raises(AttachmentRefused, match="no"):
            together(order, Cancellation())
        assert count.begun == count.ended
        assert left_running() == []
    assert [count.ended, count.cancelled] == [4, 2]


def test_nothing_is_begun_after_an_error() -> None:
    """It would be done in vain."""
    begun: list[int] = []

    def failing(_cancellation: Cancellation) -> None:
        raise UpstreamBusy("no")

    with pytest.raises(UpstreamBusy):
        together([failing, lambda _: begun.append(1), lambda _: begun.append(2)], Cancellation(), at_once=1)
    assert begun == []


def test_of_two_errors_the_first_in_time_is_raised() -> None:
    """The second may have come of it."""
    raised = threading.Event()

    def late(cancellation: Cancellation) -> None:
        assert raised.wait(PATIENCE)
        waiting(cancellation)

    def early(_cancellation: Cancellation) -> None:
        raised.set()
        raise UpstreamBusy("early")

    with pytest.raises(UpstreamBusy, match="early"):
        together([late, early], Cancellation())


def test_an_error_is_nothing_to_the_signal_of_the_client() -> None:
    """The request may go on with another account."""
    client = Cancellation()

    def failing(_cancellation: Cancellation) -> None:
        raise UpstreamBusy("no")

    with pytest.raises(UpstreamBusy):
        together([failing, giving(1)], client)
    assert not client.cancelled
    assert together([giving(1)], client) == [1]


def test_what_is_no_error_of_the_house_is_raised_too() -> None:
    """A worker that is told to end does so."""

    def ending(_cancellation: Cancellation) -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        together([giving(1), ending], Cancellation())
    assert left_running() == []


# --- A client that leaves ----------------------------------------------------------------------------------


def test_nothing_is_begun_for_a_client_that_has_left() -> None:
    """Whatever there is to do."""
    client, begun = Cancellation(), list[int]()
    client.cancel()
    for pieces in ([], [lambda _: begun.append(1)], [lambda _: begun.append(1)] * 9):
        with pytest.raises(ClientGone):
            together(pieces, client)
    assert begun == []


def test_a_client_that_leaves_ends_all_pieces() -> None:
    """Those that run, and those to come."""
    client, count = Cancellation(), Count(meet=2)
    leaving = count.work(lambda _: client.cancel())
    with pytest.raises(ClientGone):
        together([count.work(waiting), leaving, *[count.work(waiting)] * 2], client, at_once=2)
    assert [count.begun, count.ended, count.cancelled] == [2, 2, 1]
    assert left_running() == []


def test_a_client_that_leaves_at_the_end_is_gone_all_the_same() -> None:
    """The results are for nobody."""
    client = Cancellation()
    with pytest.raises(ClientGone):
        together([lambda _: client.cancel()], client)


def test_nothing_is_left_with_the_signal_of_the_client() -> None:
    """One request may bring many attachments."""
    client = Cancellation()
    together([giving(1)] * 3, client)
    assert client._callbacks == []


# --- Property ----------------------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=8), st.integers(1, 5))
def test_all_results_or_an_error_and_nothing_runs_on(outcomes: list[bool], at_once: int) -> None:
    """Whatever fails."""
    count = Count()

    def piece(number: int, *, good: bool) -> Work:
        def work(_cancellation: Cancellation) -> int:
            if not good:
                raise AttachmentRefused("no", param=str(number))
            return number

        return count.work(work)

    pieces = [piece(number, good=good) for number, good in enumerate(outcomes)]
    if all(outcomes):
        assert together(pieces, Cancellation(), at_once=at_once) == list(range(len(outcomes)))
    else:
        with pytest.raises(AttachmentRefused) as caught:
            together(pieces, Cancellation(), at_once=at_once)
        assert not outcomes[int(caught.value.param or "")]
    assert count.begun == count.ended
    assert count.most <= at_once
    assert left_running() == []
