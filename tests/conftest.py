"""What tests of several folders may need: one emulator of Kimi for the whole run."""

from collections.abc import Iterator

import pytest

from emulator.client import EmulatorControl, start


@pytest.fixture(scope="session")
def kimi() -> Iterator[EmulatorControl]:
    """Run the emulator in a process of its own; tests keep apart by accounts of their own."""
    with start() as control:
        yield control
