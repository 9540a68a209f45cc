"""Names of processes: the kernel tells whether theirs still run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.state.process import a_name, runs

linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel tells nothing of processes")


def parts(name: str) -> list[str]:
    """Machine, process id, start, and what is random."""
    return name.rsplit(":", 3)


def test_each_name_is_new() -> None:
    """One process may have several: of one machine, id and start."""
    one, two = parts(a_name()), parts(a_name())
    assert one[:3] == two[:3]
    assert one[1] == str(os.getpid())
    assert one[3] != two[3]


@linux
def test_this_process_runs() -> None:
    """By any of its names."""
    assert runs(a_name()) is True


@linux
def test_a_process_id_that_was_given_again_is_another_process() -> None:
    """It was started at another time."""
    machine, pid, started, random = parts(a_name())
    assert runs(f"{machine}:{pid}:{int(started) + 1}:{random}") is False


def test_a_process_that_has_ended_does_not_run() -> None:
    """Also where its id is all that is known."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        process.wait()
    machine, _, started, random = parts(a_name())
    assert runs(f"{machine}:{process.pid}:{started}:{random}") is False


@linux
def test_a_process_that_nobody_has_waited_for_does_not_run() -> None:
    """It is a zombie, and does nothing any more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        machine, _, _, random = parts(a_name())
        stat = Path(f"/proc/{process.pid}/stat")
        started = stat.read_text(encoding="utf-8").rpartition(")")[2].split()[19]
        name = f"{machine}:{process.pid}:{started}:{random}"
        assert runs(name) is True
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert runs(name) is False


@pytest.mark.parametrize("name", ["", "a", "a:b", "elsewhere:1:2:3", "elsewhere:999999999:2:3"])
def test_of_another_machine_nothing_is_known(name: str) -> None:
    """Its process ids say nothing here, nor does what is no name."""
    assert runs(name) is None


@pytest.mark.parametrize("pid", ["", "x", "1.5", "-"])
def test_a_strange_process_id_is_not_asked_for(pid: str) -> None:
    """What cannot be asked for may run."""
    assert runs(f"{parts(a_name())[0]}:{pid}:1:0") is None
