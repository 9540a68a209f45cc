"""Work that no answer waits for."""

from __future__ import annotations

import threading

from app.background import Background

SOON = 5.0


def test_work_is_begun_and_not_waited_for() -> None:
    """The caller goes on while it runs."""
    background, go_on, done = Background(), threading.Event(), threading.Event()

    def work() -> None:
        go_on.wait(SOON)
        done.set()

    background.run(work)
    assert not done.is_set()
    go_on.set()
    assert done.wait(SOON)


def test_a_worker_that_ends_waits_for_what_runs() -> None:
    """A conversation is still deleted."""
    background, go_on = Background(), threading.Event()
    done: list[int] = []

    def work() -> None:
        go_on.wait(SOON)
        done.append(1)

    for _ in range(3):
        background.run(work)
    go_on.set()
    assert background.finish(SOON)
    assert done == [1, 1, 1]


def test_a_worker_waits_no_longer_than_it_may() -> None:
    """Platforms kill it soon."""
    background, go_on = Background(), threading.Event()

    def work() -> None:
        go_on.wait(SOON)

    background.run(work)
    assert not background.finish(0.02)
    go_on.set()
    assert background.finish(SOON)


def test_nothing_to_do_is_finished() -> None:
    """At once."""
    assert Background().finish(0)
