"""What tests of several folders may need: one emulator of Kimi for the whole run."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from emulator.client import EmulatorControl, start

# Speed is measured in benchmarks/: no example fails because the machine has other things to do.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: many tests wait for servers and for time to pass."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def kimi() -> Iterator[EmulatorControl]:
    """Run the emulator in a process of its own; tests keep apart by accounts of their own."""
    with start() as control:
        yield control
