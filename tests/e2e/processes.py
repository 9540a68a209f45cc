"""What the kernel tells of running servers: their peak memory, their unnamed files, and how fast they answer.

As a program it is the probe: `processes.py HOST PORT` asks for /healthz every 20 ms until its input ends, and then
prints how many seconds each answer took. It is a process of its own because a test that sends 100 MiB is itself too
busy to measure.
"""

import http.client
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

EVERY = 0.02
"""Seconds between two probes."""

_MIB = 1024 * 1024
needs_proc = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")


def reset_peak(pid: int) -> None:
    """Let the peak memory of a process begin anew at what it has now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def peak(pid: int) -> float:
    """The peak memory of a process in MiB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / _MIB


def spooled(pids: tuple[int, ...], folder: Path) -> list[str]:
    """The temporary files of processes: what lies in the folder, and what is open of it without a name.

    gunicorn's workers have one each, by which they tell that they live.
    """
    found = [str(path) for path in folder.iterdir()]
    for folder_of in filter(Path.exists, (Path(f"/proc/{pid}/fd") for pid in pids)):  # Linux only
        for link in folder_of.iterdir():
            with suppress(FileNotFoundError):
                found.append(str(link.readlink()))
    return [name for name in found if name.startswith(str(folder)) and "/wgunicorn-" not in name]


@contextmanager
def probed(address: tuple[str, int]) -> Iterator[list[float]]:
    """Probe a server during the block; the list is filled at its end: the seconds that each answer took."""
    latencies: list[float] = []
    command = [sys.executable, __file__, *map(str, address)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdout is not None
        assert probe.stdout.readline() == "probing\n"
        yield latencies
        told, _ = probe.communicate()
    assert probe.returncode == 0
    latencies += json.loads(told)


def _probe(host: str, port: int) -> list[float]:
    """Ask until the input ends."""
    latencies: list[float] = []
    began = time.monotonic()
    while not select.select([sys.stdin], [], [], max(0.0, began + EVERY - time.monotonic()))[0]:
        began = time.monotonic()
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
        connection.close()
        latencies.append(time.monotonic() - began)
    return latencies


if __name__ == "__main__":
    print("probing", flush=True)  # noqa: T201 # its caller reads it
    print(json.dumps(_probe(sys.argv[1], int(sys.argv[2]))))  # noqa: T201
