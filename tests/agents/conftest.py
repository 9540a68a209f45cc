"""Gateways with every setting at its default, and an account for each test.

The agents run for as long as they like, so a gateway lasts for all of them: accounts keep the tests apart.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from emulator.client import EmulatorControl
from scripts.serving import serving
from tests.agents.agents import AIDER_RUNS_HERE, PROGRAMS, Desk
from tests.e2e.support import Gateway, Guest

NewDesk = Callable[..., Desk]
_numbers = count(1)


@pytest.fixture(scope="session", autouse=True)
def installed() -> None:
    """Fail everything where an agent is missing: a test that is skipped here would never be missed."""
    missing = [name for name, program in PROGRAMS.items() if not program.exists()]
    if not AIDER_RUNS_HERE and "aider" in missing:
        missing.remove("aider")
    assert missing == [], f"{', '.join(missing)}: not installed; run `make test-clients`, which installs the agents"


@contextmanager
def _running(kimi: EmulatorControl, **settings: str) -> Iterator[Gateway]:
    hosts = dict.fromkeys(("KIMI_WEB_URL", "KIMI_AUTH_URL", "KIMI_LEGACY_URL"), kimi.base_url)
    with serving({**hosts, **settings}) as server:
        yield Gateway(server)


@pytest.fixture(scope="session")
def connect_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Refresh tokens are served over the Connect protocol."""
    with _running(kimi) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def rest_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Refresh tokens are served by the legacy site."""
    with _running(kimi, KIMI_PROTOCOL="rest") as gateway:
        yield gateway


@pytest.fixture
def gateway(connect_gateway: Gateway) -> Gateway:
    """The gateway of most tests."""
    return connect_gateway


@pytest.fixture
def guest(kimi: EmulatorControl) -> Guest:
    """Make one account, which says what its test plans."""
    return Guest(kimi, kimi.account(f"agent-{next(_numbers)}"))


@pytest.fixture
def new_desk(gateway: Gateway, guest: Guest, tmp_path: Path) -> NewDesk:
    """Set agents up for the guest, each in a folder of its own."""

    def make(agent: str, *, at: Gateway = gateway, token: str = guest.refresh_token, **environment: str) -> Desk:
        return Desk(agent, at.server.url, token, tmp_path / agent.replace(" ", "-"), environment)

    return make
