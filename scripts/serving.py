"""Runs the real service under gunicorn on a free port of loopback: for the demo, the tests and the benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 30.0
STOP_TIMEOUT = 40.0
"""Seconds; gunicorn's own grace for running answers is 25."""

_LISTENING = re.compile(r"Listening at: (http://\S+)")
_BOOTED = "Booting worker"
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT")


@dataclass(frozen=True)
class Server:
    """A running gunicorn: its address without a slash at the end, its master's process, and its log so far."""

    url: str
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def log(self) -> str:
        """All that the server has written to its standard error."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The workers that live at present, oldest first."""
        return tuple(sorted(pid for pid, parent in _living() if parent == self.process.pid))

    def kill_all(self) -> None:
        """End the master and its workers as a power cut would, and wait until none of them lives."""
        self.process.send_signal(signal.SIGSTOP)  # or it would replace a worker between two kills
        workers = self.worker_pids
        self.process.kill()
        for pid in workers:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        while any(pid in workers for pid, _ in _living()):
            time.sleep(0.01)


@contextmanager
def serving(settings: Mapping[str, str], *, workers: int = 1, options: tuple[str, ...] = ()) -> Iterator[Server]:
    """Run gunicorn with these settings and nothing else of the environment's; ended by its process id.

    Its state goes with it, unless the settings say by DATABASE_PATH or REDIS_URL where it is kept.
    Raises RuntimeError, with what the server wrote, if it does not come up.
    """
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", "127.0.0.1:0", *options, "wsgi:app"]
    with TemporaryDirectory() as folder:
        environment = environment_of(settings, workers=workers, folder=Path(folder))
        log_file = Path(folder, "gunicorn.log")
        with log_file.open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield Server(_address(process, log_file, workers), process, log_file)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def environment_of(settings: Mapping[str, str], *, workers: int, folder: Path) -> dict[str, str]:
    """Give the whole environment of a server whose own files are in a folder."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"PYTHONUNBUFFERED": "1", "WEB_CONCURRENCY": str(workers)}
    if not {"DATABASE_PATH", "REDIS_URL"} & settings.keys():
        environment["DATABASE_PATH"] = str(folder / "state.sqlite3")
    return environment | dict(settings)


def _living() -> Iterator[tuple[int, int]]:
    """Give the ids of every process that is no zombie and of its parent: by /proc, or where it is missing by ps."""
    if Path("/proc/self/stat").exists():
        lines = map(_stat, Path("/proc").glob("[0-9]*/stat"))
    else:
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
        lines = map(str.split, listed.stdout.splitlines())
    for pid, parent, state in filter(None, lines):
        if state[0] not in "ZX":
            yield int(pid), int(parent)


def _stat(file: Path) -> list[str]:
    """Read process, parent and state; nothing of a process that has just ended."""
    try:
        text = file.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return []
    state, parent, *_ = text.rpartition(")")[2].split()  # before it stands the program's name, which may hold anything
    return [file.parent.name, parent, state]


def _address(process: subprocess.Popen[bytes], log_file: Path, workers: int) -> str:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        text = log_file.read_text(encoding="utf-8", errors="replace")
        found = _LISTENING.search(text)
        if found and text.count(_BOOTED) >= workers:
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"gunicorn did not start:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
