"""One emulator process for all tests of this folder, swept between them."""

from collections.abc import Iterator

import pytest

from emulator.client import EmulatorControl, start
from tests.emulator.raw import Raw


@pytest.fixture(scope="session")
def process() -> Iterator[EmulatorControl]:
    """Run the emulator as its users do."""
    with start() as control:
        yield control


@pytest.fixture
def control(process: EmulatorControl) -> EmulatorControl:
    """Give the control plane of a freshly swept emulator."""
    process.reset()
    return process


@pytest.fixture
def raw(control: EmulatorControl) -> Raw:
    """Give a client that holds the access token of the account `ann`."""
    return Raw(control, control.account("ann").access_token)
