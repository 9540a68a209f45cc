"""Pieces of work that run side by side: all of them succeed, or the first error ends them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from app.chat.cancellation import Cancellation

AT_ONCE = 4
"""Pieces that run at a time."""

_T = TypeVar("_T")


def together(
    works: Sequence[Callable[[Cancellation], _T]], cancellation: Cancellation, *, at_once: int = AT_ONCE
) -> list[_T]:
    """Run all of these, and give their results in their order.

    After the first error the others are cancelled and waited for, then it is raised; nothing runs on behind the call.
    """
    inner = Cancellation()
    forget = cancellation.on_cancel(inner.cancel)
    results: dict[int, _T] = {}
    errors: list[BaseException] = []
    left = iter(enumerate(works))
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                index, work = next(left, (None, None))
            if index is None or work is None or inner.cancelled:
                return
            try:
                results[index] = work(inner)
            except BaseException as error:  # noqa: BLE001 # it is raised below, in the thread of the caller
                with lock:
                    errors.append(error)
                inner.cancel()

    threads = [threading.Thread(target=run, daemon=True, name="together") for _ in works[1:at_once]]
    for thread in threads:
        thread.start()
    run()  # one of them is the caller's own thread: most messages have one attachment
    for thread in threads:
        thread.join()
    forget()
    if errors:
        raise errors[0]
    cancellation.check()
    return [results[index] for index in range(len(works))]
