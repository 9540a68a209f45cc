"""Gateways that run for the whole session, and a fresh account of the emulator for each test.

Each worker refreshes on its own in this version: the vault that workers share comes with the next issue. So tests
enter with an access token, or with the old opaque token, which may be used again and again. A rotating refresh token
is used only where it is the point: the emulator forgives one reuse within 30 s, which is one for each of two workers.
"""

import itertools
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from emulator.client import AccountTokens, EmulatorControl
from scripts.serving import serving
from tests.e2e.support import Door, Gateway, Guest, entered

QUICK = "Quick as a flash."
"""What a guest is answered unless its test plans something else."""

GRACE, KEEPALIVE, LIMIT = 0.6, 0.3, 2.0
"""Seconds: how long a status is held back, between keep-alives, and the silence of Kimi's that is borne."""

NewGuest = Callable[..., Guest]
_numbers = itertools.count(1)


@contextmanager
def running(url: str, *, workers: int = 1, **settings: str) -> Iterator[Gateway]:
    """Run the gateway with all of Kimi's hosts at one address, and with short times unless told otherwise."""
    hosts = dict.fromkeys(("KIMI_WEB_URL", "KIMI_AUTH_URL", "KIMI_LEGACY_URL"), url)
    times = {"GRACE_SECONDS": GRACE, "KEEPALIVE_SECONDS": KEEPALIVE, "FIRST_BYTE_TIMEOUT": LIMIT, "IDLE_TIMEOUT": LIMIT}
    texts = {name: str(seconds) for name, seconds in times.items()}
    with serving({**hosts, **texts, "MAX_JSON_BYTES": "1000000", **settings}, workers=workers) as server:
        yield Gateway(server)


@pytest.fixture(scope="session")
def connect_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers, refresh tokens served over the Connect protocol."""
    with running(kimi.base_url, workers=2) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def rest_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers, refresh tokens served by the legacy site."""
    with running(kimi.base_url, workers=2, KIMI_PROTOCOL="rest") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def hasty_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Holds the status longer than it waits for Kimi: a timeout has its true status also in a stream."""
    with running(
        kimi.base_url,
        GRACE_SECONDS="5",
        FIRST_BYTE_TIMEOUT="0.6",
        IDLE_TIMEOUT="0.6",
        TOTAL_TIMEOUT="2.5",
        WHOLE_ANSWER_TIMEOUT="1.8",
    ) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def cut_off_gateway() -> Iterator[Gateway]:
    """Finds nobody where Kimi should be."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        with running(f"http://127.0.0.1:{taken.getsockname()[1]}") as gateway:
            yield gateway


@pytest.fixture(scope="module", autouse=True)
def swept(kimi: EmulatorControl) -> None:
    """Begin each module with an empty log: it is read whole, again and again."""
    kimi.reset()


@pytest.fixture(scope="session")
def issued() -> list[AccountTokens]:
    """Give the tokens of all accounts of this run."""
    return []


@pytest.fixture
def new_guest(kimi: EmulatorControl, issued: list[AccountTokens]) -> NewGuest:
    """Make accounts that no other test knows."""

    def make(**settings: object) -> Guest:
        tokens = kimi.account(f"guest-{next(_numbers)}", **settings)
        issued.append(tokens)
        guest = Guest(kimi, tokens)
        guest.plan({"text": QUICK}, repeat=True)  # the emulator's own answer takes a second
        return guest

    return make


@pytest.fixture
def guest(new_guest: NewGuest) -> Guest:
    """Make one account."""
    return new_guest()


@pytest.fixture
def connect(connect_gateway: Gateway, guest: Guest) -> Iterator[Door]:
    """Enter over the Connect protocol."""
    with entered(connect_gateway, guest, guest.access_token) as door:
        yield door


@pytest.fixture
def rest(rest_gateway: Gateway, guest: Guest) -> Iterator[Door]:
    """Enter over the legacy protocol."""
    with entered(rest_gateway, guest, guest.legacy_token) as door:
        yield door


@pytest.fixture
def hasty(hasty_gateway: Gateway, guest: Guest) -> Iterator[Door]:
    """Enter over the Connect protocol where timeouts are short."""
    with entered(hasty_gateway, guest, guest.access_token) as door:
        yield door


@pytest.fixture(params=["connect", "rest"])
def door(request: pytest.FixtureRequest, guest: Guest) -> Iterator[Door]:
    """Enter over each protocol in turn."""
    gateway: Gateway = request.getfixturevalue(f"{request.param}_gateway")
    token = guest.access_token if request.param == "connect" else guest.legacy_token
    with entered(gateway, guest, token) as opened:
        yield opened


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Close what a test opens by itself."""
    with ExitStack() as stack:
        yield stack
