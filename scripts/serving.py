"""Runs the real service under gunicorn on a free port of loopback: for the demo, the tests and the benchmarks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def serving(settings: Mapping[str, str], *, workers: int = 1, options: tuple[str, ...] = ()) -> Iterator[Server]:
    """Run gunicorn with these settings and nothing else of the environment's; ended by its process id.

    Raises RuntimeError, with what the server wrote, if it does not come up.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment.update({"PYTHONUNBUFFERED": "1", "WEB_CONCURRENCY": str(workers), **settings})
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", "127.0.0.1:0", *options, "wsgi:app"]
    with TemporaryDirectory() as folder:
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


def _address(process: subprocess.Popen[bytes], log_file: Path, workers: int) -> str:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        text = log_file.read_text(encoding="utf-8", errors="replace")
        found = _LISTENING.search(text)
        if found and text.count(_BOOTED) >= workers:
            return found[1]
        time.sleep(0.02)
    raise RuntimeError(f"gunicorn did not start:\n{log_file.read_text(encoding='utf-8', errors='replace')}")
