"""Gateways that run for the whole session, and a fresh account of the emulator for each test.

Conversations end with their answers at most of these gateways (`CONTINUITY=off`), so that a test sees all of an answer
and nothing of the next one; at the `native` ones they are kept and continued, as they are by default. An account that
has been refused is left alone for longer than QUEUE, so a test that goes on with it is told so at once and takes a new
guest instead.
"""

import itertools
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from emulator.client import AccountTokens, EmulatorControl
from scripts.serving import serving
from tests.e2e.endless_downloads import EndlessDownloads, endless_downloads_of
from tests.e2e.support import Door, Gateway, Guest, entered
from tests.e2e.web_server import WebServer, serving_web

QUICK = "Quick as a flash."
"""What a guest is answered unless its test plans something else."""

GRACE, KEEPALIVE, LIMIT = 0.6, 0.3, 2.0
"""Seconds: how long a status is held back, between keep-alives, and the silence of Kimi's that is borne."""

QUEUE = 5.0
"""Seconds for which a request waits in line at the gateways of the session."""

JSON_LIMIT = str(32 * 1024 * 1024)
"""The largest body as it is by default; the gateways of most tests take less, which is sooner exceeded."""

REACHING = {"DOWNLOAD_ALLOW_CIDRS": "127.0.0.0/8", "MAX_JSON_BYTES": JSON_LIMIT, "QUEUE_SECONDS": str(QUEUE)}
"""URLs of clients may lead to web servers of this machine."""

ALONE = {"CONTINUITY": "off", "QUEUE_SECONDS": str(QUEUE)}
"""Each answer has a conversation of its own, which is deleted at its end."""

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


@contextmanager
def spooling(
    url: str, folders: pytest.TempPathFactory, **settings: str
) -> Iterator[Mapping[str, tuple[Gateway, Path]]]:
    """Run a gateway of one worker for each protocol; with each goes the folder of its temporary files."""
    with ExitStack() as stack:
        opened = {}
        for protocol in ("connect", "rest"):
            folder = folders.mktemp(protocol)
            gateway = running(url, workers=1, KIMI_PROTOCOL=protocol, TMPDIR=str(folder), **settings)
            opened[protocol] = stack.enter_context(gateway), folder
        yield opened


@pytest.fixture(scope="session")
def connect_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers, refresh tokens served over the Connect protocol."""
    with running(kimi.base_url, workers=2, **ALONE) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def rest_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers, refresh tokens served by the legacy site."""
    with running(kimi.base_url, workers=2, KIMI_PROTOCOL="rest", **ALONE) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def native_connect_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers that share the conversations they keep, served over the Connect protocol."""
    with running(kimi.base_url, workers=2, QUEUE_SECONDS=str(QUEUE)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def native_rest_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers that share the conversations they keep, served by the legacy site."""
    with running(kimi.base_url, workers=2, KIMI_PROTOCOL="rest", QUEUE_SECONDS=str(QUEUE)) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def reaching_connect_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers that fetch from this machine, served over the Connect protocol."""
    with running(kimi.base_url, workers=2, **REACHING) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def reaching_rest_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Two workers that fetch from this machine, served by the legacy site."""
    with running(kimi.base_url, workers=2, KIMI_PROTOCOL="rest", **REACHING) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def web() -> Iterator[WebServer]:
    """Run a web server that serves what tests put there."""
    with serving_web() as server:
        yield server


@pytest.fixture(scope="session")
def endless_downloads(kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EndlessDownloads]:
    """Begin downloads that come to no end; a module that is run early asks for them, a later one looks at them."""
    folder = tmp_path_factory.mktemp("endless")
    token = kimi.account("endless").access_token  # never used: what is fetched is fetched before Kimi is asked
    settings = {**REACHING, "TMPDIR": str(folder)}
    with (
        serving_web() as web,
        running(kimi.base_url, workers=1, **settings) as gateway,
        endless_downloads_of(gateway, folder, web, token) as downloads,
    ):
        yield downloads


@pytest.fixture(scope="session")
def hasty_gateway(kimi: EmulatorControl) -> Iterator[Gateway]:
    """Holds the status longer than it waits for Kimi: a timeout has its true status also in a stream."""
    with running(
        kimi.base_url,
        workers=1,
        GRACE_SECONDS="5",
        FIRST_BYTE_TIMEOUT="0.6",
        IDLE_TIMEOUT="0.6",
        TOTAL_TIMEOUT="2.5",
        WHOLE_ANSWER_TIMEOUT="1.8",
        **ALONE,
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
def native_connect(native_connect_gateway: Gateway, guest: Guest) -> Iterator[Door]:
    """Enter over the Connect protocol where conversations are continued, with a token that rotates."""
    with entered(native_connect_gateway, guest, guest.refresh_token) as door:
        yield door


@pytest.fixture(params=["connect", "rest"])
def native(request: pytest.FixtureRequest, guest: Guest) -> Iterator[Door]:
    """Enter over each protocol in turn where conversations are continued, with a token that rotates."""
    gateway: Gateway = request.getfixturevalue(f"native_{request.param}_gateway")
    with entered(gateway, guest, guest.refresh_token) as door:
        yield door


@pytest.fixture(params=["connect", "rest"])
def reaching(request: pytest.FixtureRequest, guest: Guest) -> Iterator[Door]:
    """Enter over each protocol in turn where URLs may lead to this machine."""
    gateway: Gateway = request.getfixturevalue(f"reaching_{request.param}_gateway")
    with entered(gateway, guest, guest.refresh_token) as door:
        yield door


@pytest.fixture
def clients() -> Iterator[ExitStack]:
    """Close what a test opens by itself."""
    with ExitStack() as stack:
        yield stack
