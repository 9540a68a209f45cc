"""Clients that leave in the middle of an attachment, and servers that never come to an end (issue 4).

Within a second or two nothing runs on for a client that has left: no transfer, no temporary file, no slot of its
account.
"""

import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.client import EmulatorControl, LogEntry
from tests.e2e.attachments import MIB, PNG, Part, asking_about, document, file, image, on_the_web, picture
from tests.e2e.conftest import JSON_LIMIT, QUICK, spooling
from tests.e2e.endless_downloads import EndlessDownloads
from tests.e2e.processes import needs_proc, spooled
from tests.e2e.support import Door, Gateway, Guest, RawStream, asking, entered, until
from tests.e2e.web_server import WebServer, endless, silent

pytestmark = [pytest.mark.e2e, pytest.mark.alone, needs_proc]

BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])

SOON = 2.0
"""Seconds after which nothing may run on."""

ONE_STREAM = {
    "DOWNLOAD_ALLOW_CIDRS": "127.0.0.0/8",
    "MAX_JSON_BYTES": JSON_LIMIT,
    "MAX_STREAMS_PER_ACCOUNT": "1",
    "QUEUE_SECONDS": str(SOON),
    "CONTINUITY": "off",
}
"""With one stream at a time a slot that is not given back is found out by the next request."""

FORM = (
    b'--XX\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="file"; filename="report.pdf"\r\n'
    b"Content-Type: application/pdf\r\n\r\n"
)
END = b"\r\n--XX--\r\n"


@dataclass(frozen=True)
class House:
    """A door of a gateway with one worker, and the folder of its temporary files."""

    door: Door
    folder: Path

    def spooled(self) -> list[str]:
        """The temporary files of the worker."""
        return spooled(self.door.gateway.server.worker_pids, self.folder)

    def serves(self) -> None:
        """Check that the account is served again, with a file that nobody has seen, and that nothing lies about."""
        assert until(lambda: not self.spooled(), SOON), self.spooled()
        began = time.monotonic()
        reply = self.door.whole(messages=asking_about(image(picture())))
        assert reply.status == 200, reply.body
        assert reply.json()["choices"][0]["message"]["content"] == QUICK
        assert time.monotonic() - began < SOON

    def is_logged(self, identity: str) -> None:
        """Check that a request has come to its end: its line is written then."""
        assert until(lambda: bool(self.door.gateway.log_lines(identity)), SOON)

    def sending(self, body: bytes, length: int | None) -> socket.socket:
        """Begin to send a form."""
        size = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
        head = (
            f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.door.token}\r\n{size}\r\n"
            "Content-Type: multipart/form-data; boundary=XX\r\n\r\n"
        )
        sock = socket.create_connection(self.door.gateway.address, timeout=10)
        framed = body if length else f"{len(body):x}\r\n".encode() + body + b"\r\n"
        sock.sendall(head.encode() + framed)
        return sock

    def asking(self, part: Part, *, stream: bool, identity: str = "asked") -> RawStream:
        """Ask about an attachment."""
        body = asking(messages=asking_about(part), stream=stream)
        gateway, headers = self.door.gateway, {"x-request-id": identity}
        return gateway.stream("POST", "/v1/chat/completions", token=self.door.token, body=body, headers=headers)


@pytest.fixture(scope="module")
def gateways(
    kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, tuple[Gateway, Path]]]:
    """Run gateways at which an account has one stream at a time."""
    with spooling(kimi.base_url, tmp_path_factory, **ONE_STREAM) as opened:
        yield opened


@pytest.fixture(params=["connect", "rest"])
def house(
    request: pytest.FixtureRequest, gateways: Mapping[str, tuple[Gateway, Path]], guest: Guest
) -> Iterator[House]:
    """Enter over each protocol in turn."""
    gateway, folder = gateways[request.param]
    with entered(gateway, guest, guest.refresh_token) as door:
        yield House(door, folder)


@pytest.fixture(autouse=True)
def reader(kimi: EmulatorControl) -> Iterator[None]:
    """Have Kimi read files at once, unless a test orders otherwise, and leave it as it was."""
    kimi.uploads(polls=0)
    yield
    kimi.uploads()


def leave(sock: socket.socket) -> None:
    """Close a connection as a client that ends."""
    sock.close()


def vanish(sock: socket.socket) -> None:
    """Reset a connection as a client that crashes."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("go", [leave, vanish])
@pytest.mark.parametrize("length", [50 * MIB, None], ids=["with a length", "chunked"])
def test_in_the_middle_of_a_form(house: House, go: Callable[[socket.socket], None], length: int | None) -> None:
    """Of a form that breaks off nothing is kept, and Kimi has never heard of it."""
    sock = house.sending(FORM + document(3 * MIB).data, length)
    assert until(lambda: bool(house.spooled()))
    go(sock)
    assert until(lambda: not house.spooled(), SOON)
    assert house.door.guest.calls() == []
    house.serves()


def test_in_the_middle_of_a_form_with_an_ear(house: House) -> None:
    """A client that has sent too little and still listens is told so."""
    with house.sending(FORM + document(3 * MIB).data, 50 * MIB) as sock:
        sock.shutdown(socket.SHUT_WR)
        answer = sock.makefile("rb").readline()
    assert answer.split()[1] == b"400"
    assert house.door.guest.calls() == []
    house.serves()


def transfer(guest: Guest) -> LogEntry:
    """The transfer of a file to Kimi that has begun."""
    assert until(lambda: len(guest.uploads()) == 1)
    return guest.uploads()[0]


@BOTH_WAYS
def test_while_kimi_takes_a_file_in(
    house: House,
    kimi: EmulatorControl,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """The transfer is cut, nothing is asked, and the account is free."""
    kimi.uploads(delay=20.0)
    with house.asking(image(picture(MIB)), stream=stream) as asked:
        transfer(house.door.guest)
        time.sleep(0.2)
        asked.hang_up()
    assert until(lambda: house.door.guest.uploads()[0]["client_closed"], SOON)
    kimi.uploads(polls=0)
    house.serves()
    assert len(house.door.guest.completions()) == 1


def test_while_kimi_takes_a_form_in(house: House, kimi: EmulatorControl) -> None:
    """A client that uploads and leaves before it knows the id is as good as none."""
    kimi.uploads(delay=20.0)
    data = document(MIB).data
    body = FORM + data + END
    with house.sending(body, len(body)):
        transfer(house.door.guest)
        assert house.spooled() != []
        time.sleep(0.2)
    assert until(lambda: house.door.guest.uploads()[0]["client_closed"], SOON)
    kimi.uploads(polls=0)
    house.serves()
    assert house.door.client.files.list().data == []


@pytest.mark.parametrize(
    ("begun", "stream"), [(False, True), (True, False)], ids=["before it is asked", "in the middle of the bytes"]
)
def test_while_kimi_stands_still(
    house: House,
    kimi: EmulatorControl,
    web: WebServer,
    begun: bool,  # noqa: FBT001 # a parameter
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """The request ends also where Kimi does not move at all, before a file or while it is on its way."""
    identity = f"stuck-{house.door.guest.name}"
    assert house.door.whole().status == 200  # Kimi knows the token by now
    assert kimi.pid is not None
    stop = Stop(kimi.pid)
    url = on_the_web(web, document(40 * MIB))
    if not begun:
        stop.now()
    with stop, house.asking({"type": "file", "file_url": {"url": url}}, stream=stream, identity=identity) as asked:
        assert until(lambda: bool(house.spooled()))
        latest = time.monotonic() + SOON
        while begun and not house.door.guest.uploads() and time.monotonic() < latest:
            pass  # in a hurry: a transfer does not take long
        stop.now()
        time.sleep(0.5)  # so far as buffers reach, bytes go on
        assert house.spooled() != []
        asked.hang_up()
        house.is_logged(identity)
        assert until(lambda: not house.spooled(), SOON)
    assert house.door.guest.files() == []
    house.serves()


class Stop:
    """Lets a process stand still until the end of the block, in which no question to it is answered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def now(self) -> None:
        """Stand still; harmless when it does already."""
        os.kill(self._pid, signal.SIGSTOP)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGCONT)


@BOTH_WAYS
def test_while_kimi_reads(house: House, kimi: EmulatorControl, stream: bool) -> None:  # noqa: FBT001 # a parameter
    """Nobody asks any more how far Kimi is."""
    kimi.uploads(polls=1000, parsing_lines=1)

    def questions() -> int:
        calls = [entry for entry in house.door.guest.calls() if entry["path"].endswith(("Progress", "parse_process"))]
        return len(calls)

    with house.asking(file(document()), stream=stream) as asked:
        assert until(lambda: questions() >= 2)
        asked.hang_up()
    time.sleep(0.2)
    before = questions()
    kimi.uploads(polls=0)
    house.serves()
    time.sleep(0.6)
    assert questions() - before <= 1  # that of the request that was served
    assert len(house.door.guest.completions()) == 1


SLOW = {
    "a drip": endless(picture(MIB).data, PNG, pause=0.05),
    "silence in the middle": silent(picture(MIB).data),
    "no answer": silent(),
}


@pytest.mark.parametrize("name", SLOW)
@BOTH_WAYS
def test_while_a_server_is_slow(
    house: House,
    web: WebServer,
    name: str,
    stream: bool,  # noqa: FBT001 # a parameter
) -> None:
    """The download ends, and Kimi has heard of nothing."""
    url = web.put(f"/slow-{house.door.guest.name}.png", SLOW[name])
    before, left = len(web.asked), len(web.left)
    with house.asking({"type": "image_url", "image_url": {"url": url}}, stream=stream) as asked:
        assert until(lambda: len(web.asked) > before)
        if name != "no answer":
            assert until(lambda: bool(house.spooled()))
        gone = time.monotonic()
        asked.hang_up()
        assert until(lambda: len(web.left) > left, SOON)
    assert web.left[-1] - gone < SOON
    assert house.door.guest.calls() == []
    house.serves()


def test_places_for_downloads_are_given_back(house: House, web: WebServer) -> None:
    """Of four at a time that are left alone, none stands in the way of the next."""
    urls = [web.put(f"/stuck-{house.door.guest.name}-{number}.png", silent()) for number in range(4)]
    before = len(web.asked)
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    body = asking(messages=asking_about(*parts))
    with house.door.gateway.stream("POST", "/v1/chat/completions", token=house.door.token, body=body) as asked:
        assert until(lambda: len(web.asked) == before + 4)
        house.serves()  # what is within the request needs none
        asked.hang_up()
    sample = picture()
    part = {"type": "image_url", "image_url": {"url": on_the_web(web, sample)}}
    began = time.monotonic()
    assert house.door.whole(messages=asking_about(part)).status == 200
    assert time.monotonic() - began < SOON
    assert house.door.guest.files()[-1]["sha256"] == sample.sha256


@pytest.mark.parametrize(
    ("kind", "stream", "least", "most"),
    [("silent", False, 9, 16), ("stuck", True, 9, 16), ("dripping", False, 27, 40), ("dripping", True, 27, 40)],
)
def test_a_server_that_never_ends(
    endless_downloads: EndlessDownloads,
    kind: str,
    stream: bool,  # noqa: FBT001 # a parameter
    least: float,
    most: float,
) -> None:
    """A download that comes to no end is given up: after ten seconds of silence, else after thirty."""
    told = endless_downloads.told(kind, stream=stream)
    assert least < told.seconds < most
    assert told.status == (200 if stream else 400)  # that of a stream is held back for a shorter time
    assert '"code":"attachment_refused"' in told.text
    assert '"param":"messages[0].content[1]"' in told.text
    assert "[DONE]" not in told.text
    assert told.spooled_after == []
