"""Offload: large computation beside the others' requests."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from app.offload import LARGE, Offload
from scripts.serving import ROOT

PROGRAM = """
from gevent import monkey
monkey.patch_all()
import gevent
from app.offload import LARGE, THREADS, Offload

native = {name: monkey.get_original("time", name) for name in ("sleep", "monotonic")}
ident = monkey.get_original("_thread", "get_ident")
offload, here, ticks = Offload(), ident(), []

def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)

def work(seconds=0.5):
    began = native["monotonic"]()
    native["sleep"](seconds)  # holds up its thread as computation does
    return ident(), began, native["monotonic"]()

def counted(size):
    before = len(ticks)
    thread = offload.run(work, size=size)[0]
    return thread == here, len(ticks) - before

gevent.spawn(tick)
gevent.sleep(0.05)
same, went_on = counted(LARGE - 1)
print("small", same, went_on)
same, went_on = counted(LARGE)
print("large", same, went_on > 5)

runs = [gevent.spawn(offload.run, work, size=LARGE) for _ in range(2 * THREADS)]
gevent.joinall(runs)
spans = [run.value[1:] for run in runs]
at_once = max(sum(begun <= moment < ended for begun, ended in spans) for moment, _ in spans)
print("threads", len({run.value[0] for run in runs}) <= THREADS, at_once <= THREADS)

def fail():
    raise KeyError("inside")

for size in (0, LARGE):
    try:
        offload.run(fail, size=size)
    except KeyError as error:
        print("raised", error, [step.name for step in __import__("traceback").extract_tb(error.__traceback__)][-1])
print("after", offload.run(lambda: b"x" * size, size=size) == b"x" * LARGE)
"""

EXPECTED = """\
small True 0
large False True
threads True True
raised 'inside' fail
raised 'inside' fail
after True
"""


@pytest.mark.parametrize("size", [0, LARGE - 1, LARGE, 100 * LARGE])
def test_without_gevent_all_is_done_at_once(size: int) -> None:
    """Threads take turns by themselves."""
    assert Offload().run(threading.get_ident, size=size) == threading.get_ident()


@pytest.mark.parametrize("size", [0, LARGE])
def test_what_it_raises_is_raised(size: int) -> None:
    """As if it had been called."""

    def fail() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        Offload().run(fail, size=size)


def test_under_gevent_the_others_go_on() -> None:
    """While a large body is worked on, in one of a few threads; a small one is done at once."""
    run = [sys.executable, "-W", "error", "-c", PROGRAM]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == (EXPECTED, "")
