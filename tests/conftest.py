"""What tests of several folders may need: one emulator of Kimi for the whole run."""

import os
from collections.abc import Iterator

import pytest

from emulator.client import EmulatorControl, start


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for servers and for time to pass."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def kimi() -> Iterator[EmulatorControl]:
    """Run the emulator in a process of its own; tests keep apart by accounts of their own."""
    with start() as control:
        yield control
