"""The limits of downloads: of bytes, of time, and of how many run at once; and that nothing is left behind."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Self

import pytest
import trustme

from app.attachments.download import Downloads, Limits
from app.attachments.guard import Guard
from app.chat.cancellation import Callback, Cancellation
from app.errors import AttachmentRefused, ClientGone, Overloaded, RequestTooLarge
from scripts.serving import ROOT
from tests.attachments.names import Names
from tests.attachments.sites import (
    BESIDE,
    HERE,
    HOST,
    PATIENCE,
    Page,
    Site,
    Visit,
    Visitor,
    answer,
    beside,
    blackhole,
    comes_true,
    in_chunks,
    listening,
    redirect,
    server_context,
    site,
)

pytestmark = pytest.mark.usefixtures("nothing_left")

SOON = PATIENCE * 0.7
"""What ends sooner was ended by a limit of less than a second: all else here lasts PATIENCE seconds or longer."""

TOTAL = Limits(size=10_000_000, total=0.4, silence=3 * PATIENCE, connect=3 * PATIENCE)
"""Only the limit over all of a download can end it."""

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def silent(visit: Visit) -> None:
    """Answer nothing."""
    visit.be_silent()


def silent_after(data: bytes) -> Page:
    """Answer that much, and no more."""

    def page(visit: Visit) -> None:
        visit.send(data)
        visit.be_silent()

    return page


def dripping(begin: bytes, more: bytes) -> Page:
    """Begin so, and go on with more and more of the same."""

    def page(visit: Visit) -> None:
        visit.send(begin)
        visit.drip(more)

    return page


def endless(begin: bytes, more: bytes) -> Page:
    """The same as fast as it goes."""

    def page(visit: Visit) -> None:
        visit.send(begin)
        while True:
            visit.send(more)

    return page


NEVER_DONE = {
    "silent": silent,
    "silent within the head": silent_after(HEAD),
    "silent before the body": silent_after(answer(b"", "Content-Length: 10")),
    "silent within the body": silent_after(answer(b"hello", "Content-Length: 10")),
    "silent at an end that nobody knows": silent_after(answer(b"hello", "Connection: close")),
    "silent behind the last chunk": silent_after(CHUNKED + b"5\r\nhello\r\n0\r\n"),
    "dripping status": dripping(b"HTTP/1.1 200 O", b"K"),
    "dripping headers": dripping(HEAD, b"X: y\r\n"),
    "dripping in one header": dripping(HEAD + b"X: ", b"y"),
    "dripping body": dripping(answer(b"", "Content-Length: 1000000"), b"x"),
    "dripping body without a length": dripping(answer(b"", "Connection: close"), b"x"),
    "dripping chunks": dripping(CHUNKED, b"1\r\nx\r\n"),
    "dripping in a chunk's size": dripping(CHUNKED + b"1", b";"),
    "dripping trailers": dripping(CHUNKED + b"0\r\n", b"X: y\r\n"),
    "always about to answer": dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "always about to answer, fast": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless trailers": endless(CHUNKED + b"0\r\n", b"X: y\r\n"),
}


def ended(fetch: Callable[[], object], error: type[Exception], match: str = ".") -> float:
    """Seconds until a download ends with an error."""
    began = time.monotonic()
    with pytest.raises(error, match=match):
        fetch()
    return time.monotonic() - began


@pytest.mark.parametrize("page", NEVER_DONE.values(), ids=NEVER_DONE)
def test_a_download_has_a_time_for_all_of_it(page: Page) -> None:
    """Whatever the server does to look as if it went on."""
    with site({"/": page}) as server:
        assert ended(lambda: Visitor(limits=TOTAL).fetch(server.url()), AttachmentRefused, "too slow") < SOON


@pytest.mark.parametrize("name", ["silent", "dripping headers", "silent within the body", "dripping body"])
def test_a_download_over_tls_has_a_time_for_all_of_it(name: str, authority: trustme.CA, authorities: str) -> None:
    """The socket is shut beneath it."""
    with site({"/": NEVER_DONE[name]}, context=server_context(authority, HOST)) as server:
        visitor = Visitor(limits=TOTAL, authorities=authorities)
        assert ended(lambda: visitor.fetch(server.url()), AttachmentRefused, "too slow") < SOON


HELLO = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03"
"""The beginning of a server's hello that is as long as it can be."""


@pytest.mark.parametrize("begin", [b"", HELLO], ids=["silent", "dripping"])
def test_a_greeting_over_tls_has_a_time(begin: bytes) -> None:
    """It is over before the first byte of an answer."""
    over = threading.Event()

    def converse(connection: socket.socket) -> None:
        connection.sendall(begin)
        for _ in range(int(3 * PATIENCE / 0.02)):
            connection.sendall(b"\0" if begin else b"")
            if over.wait(0.02):
                return

    with listening(converse) as rest:
        took = ended(lambda: Visitor(limits=TOTAL).fetch(f"https://{HOST}{rest}"), AttachmentRefused, "too slow")
        over.set()
    assert took < SOON


def test_redirects_share_the_time() -> None:
    """Of four answers that take a while each, the last is not waited for."""

    def page(visit: Visit) -> None:
        visit.site.over.wait(0.3)
        visit.send(redirect("/"))

    with site({"/": page}) as server:
        ended(lambda: Visitor(limits=TOTAL).fetch(server.url()), AttachmentRefused, "too slow")
        assert len(server.heads) < 4


def test_a_slow_look_up_is_part_of_the_time() -> None:
    """Nothing is asked for when it is over."""

    def resolve(_host: str, _port: int) -> Sequence[str]:
        time.sleep(1)
        return [HERE]

    with site({"/": answer(b"x")}) as server:
        ended(lambda: resolving(resolve, TOTAL).fetch(server.url(), Cancellation()), AttachmentRefused, "too slow")
        assert server.connections == 0


@beside
def test_addresses_that_do_not_answer_share_the_time() -> None:
    """A name may have several."""
    limits = Limits(size=10, total=0.3, connect=2)
    names = Names(otherwise=["127.0.0.2", "127.0.0.3", "127.0.0.4"])
    with blackhole("0.0.0.0") as port:  # noqa: S104 # all of this machine's
        took = ended(
            lambda: Visitor(names, limits=limits).fetch(f"http://{HOST}:{port}/"), AttachmentRefused, "too slow"
        )
    assert took < 5.5  # three times two would be six


@beside
def test_an_address_that_does_not_answer_is_passed_over() -> None:
    """When its time is over."""
    visitor = Visitor(Names(otherwise=[BESIDE, HERE]), limits=Limits(size=10, connect=0.3))
    with site({"/": answer(b"x")}) as server, blackhole(BESIDE, server.port):
        assert visitor.fetch(server.url()) == b"x"


@pytest.mark.parametrize("name", [name for name in NEVER_DONE if name.startswith("silent")])
def test_silence_has_a_limit(name: str) -> None:
    """Long before that of all."""
    limits = Limits(size=10, silence=0.3, total=3 * PATIENCE, connect=3 * PATIENCE)
    with site({"/": NEVER_DONE[name]}) as server:
        assert ended(lambda: Visitor(limits=limits).fetch(server.url()), AttachmentRefused, "too slow") < SOON


@pytest.mark.parametrize("begin", [b"", HEAD, answer(b"", "Content-Length: 5")], ids=["", "head", "body"])
def test_a_server_may_think_longer_than_a_connection_takes(begin: bytes) -> None:
    """They are different limits."""
    whole = answer(b"hello", "Content-Length: 5")

    def page(visit: Visit) -> None:
        visit.send(begin)
        visit.site.over.wait(0.8)
        visit.send(whole.removeprefix(begin))

    with site({"/": page}) as server:
        assert Visitor(limits=Limits(size=10, connect=0.4, silence=PATIENCE)).fetch(server.url()) == b"hello"


def test_time_that_is_not_used_up_is_not_waited_for() -> None:
    """Nor is the thread of the alarm left behind."""
    before = threading.active_count()
    with site({"/": answer(b"x")}) as server:
        visitor = Visitor(limits=Limits(size=10, total=3 * PATIENCE))
        for _ in range(3):
            visitor.fetch(server.url())
    assert comes_true(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("size", [1000, 700_000])
def test_a_body_of_the_limit_is_taken(size: int) -> None:
    """To the byte, however its end is told."""
    visitor = Visitor(limits=Limits(size=size))
    for page in framed(b"x" * size):
        with site({"/": page}) as server:
            assert len(visitor.fetch(server.url())) == size


@pytest.mark.parametrize("size", [1000, 700_000])
def test_a_body_over_the_limit_is_refused(size: int) -> None:
    """By one byte."""
    visitor = Visitor(limits=Limits(size=size))
    for page in framed(b"x" * (size + 1)):
        with site({"/": page}) as server:
            ended(lambda: visitor.fetch(server.url()), RequestTooLarge)


def framed(body: bytes) -> list[bytes]:
    """Answers with a body, its end told by its length, by chunks and by the connection's."""
    chunks = answer(in_chunks(body), "Transfer-Encoding: chunked")
    return [answer(body), chunks, answer(body, "Connection: close")]


@pytest.mark.parametrize("length", ["11", "00000000011", "99999999999999999999", "9" * 5000])
def test_a_length_over_the_limit_is_refused_before_the_body(length: str) -> None:
    """None of which has come yet."""
    with site({"/": silent_after(answer(b"", f"Content-Length: {length}"))}) as server:
        assert ended(lambda: Visitor(limits=Limits(size=10)).fetch(server.url()), RequestTooLarge) < SOON


@pytest.mark.parametrize("begin", [CHUNKED, answer(b"", "Connection: close"), answer(b"", "Content-Length: -1")])
def test_an_endless_body_is_refused_at_the_limit(begin: bytes) -> None:
    """And the server is told to stop by a closed connection."""
    more = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    with site({"/": endless(begin, more)}) as server:
        assert ended(lambda: Visitor(limits=Limits(size=1_000_000)).fetch(server.url()), RequestTooLarge) < SOON


@contextmanager
def cancelled_when(server: Site) -> Iterator[tuple[Cancellation, list[float]]]:
    """A signal that is set a moment after a request has come to a site, and the time when it was."""
    cancellation, at = Cancellation(), list[float]()

    def cancel() -> None:
        server.arrived.acquire(timeout=PATIENCE)
        time.sleep(0.1)
        at.append(time.monotonic())
        cancellation.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    yield cancellation, at
    thread.join()


LONG = Limits(size=100_000_000, total=3 * PATIENCE, silence=3 * PATIENCE, connect=3 * PATIENCE)


@pytest.mark.parametrize("page", NEVER_DONE.values(), ids=NEVER_DONE)
def test_a_client_that_leaves_ends_its_download(page: Page) -> None:
    """Whatever the server does; a second would do, the rest is for the machine."""
    with site({"/": page}) as server, cancelled_when(server) as (cancellation, at):
        ended(lambda: Visitor(limits=LONG).fetch(server.url(), cancellation), ClientGone)
        assert time.monotonic() - at[0] < SOON


def test_a_client_that_leaves_ends_its_download_over_tls(authority: trustme.CA, authorities: str) -> None:
    """Beneath which the socket is shut."""
    context = server_context(authority, HOST)
    with site({"/": silent}, context=context) as server, cancelled_when(server) as (cancellation, at):
        visitor = Visitor(limits=LONG, authorities=authorities)
        ended(lambda: visitor.fetch(server.url(), cancellation), ClientGone)
        assert time.monotonic() - at[0] < SOON


def test_nothing_is_fetched_for_a_client_that_has_left() -> None:
    """Before it began."""
    cancellation = Cancellation()
    cancellation.cancel()
    with site({"/": answer(b"x")}) as server:
        ended(lambda: Visitor().fetch(server.url(), cancellation), ClientGone)
        assert server.connections == 0


def test_a_client_that_leaves_during_a_look_up_ends_its_download() -> None:
    """As soon as the look-up is over; the socket that was just opened is closed."""
    cancellation = Cancellation()

    def resolve(_host: str, _port: int) -> Sequence[str]:
        cancellation.cancel()
        return [HERE]

    with site({"/": answer(b"x")}) as server:
        ended(lambda: resolving(resolve, LONG).fetch(server.url(), cancellation), ClientGone)
        assert server.connections == 0


def test_a_client_that_leaves_between_two_requests_ends_its_download() -> None:
    """No other server hears of it."""
    cancellation = Cancellation()

    def page(visit: Visit) -> None:
        cancellation.cancel()
        visit.send(redirect("/b"))

    with site({"/": page, "/b": answer(b"x")}) as server:
        ended(lambda: Visitor(limits=LONG).fetch(server.url(), cancellation), ClientGone)
        assert len(server.heads) == 1


def test_a_signal_after_the_end_does_nothing() -> None:
    """What was fetched stays."""
    cancellation = Cancellation()
    with site({"/": answer(b"x")}) as server:
        download = Visitor().downloads.fetch(server.url(), cancellation)
        cancellation.cancel()
        with closing(download.spool) as spool:
            assert spool.content("a.txt", None).file.read() == b"x"


class Counted(Cancellation):
    """Counts the callbacks that were given to it and not taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0

    def on_cancel(self, callback: Callback) -> Callback:
        self.left += 1
        forget = super().on_cancel(callback)

        def take_back() -> None:
            self.left -= 1
            forget()

        return take_back


@pytest.mark.parametrize("path", ["/", "/gone"])
def test_a_download_that_is_over_is_forgotten_by_its_signal(path: str) -> None:
    """The answer that follows may take long, and a request may have many."""
    cancellation = Counted()
    with site({"/": answer(b"x"), "/gone": answer(status="410 Gone")}) as server:
        with suppress(AttachmentRefused):
            Visitor().fetch(server.url(path), cancellation)
        assert len(server.heads) == 1
    assert cancellation.left == 0


def test_only_some_downloads_run_at_once() -> None:
    """The others wait for their turn, and all come to it."""
    most, now, lock = [0], [0], threading.Lock()
    go_on = threading.Event()

    def page(visit: Visit) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        go_on.wait(PATIENCE)
        with lock:
            now[0] -= 1
        visit.send(answer(b"x"))

    visitor = Visitor(limits=Limits(size=10, at_once=2, total=3 * PATIENCE, silence=3 * PATIENCE))
    with site({"/": page}) as server, ThreadPoolExecutor(6) as threads:
        fetched = [threads.submit(visitor.fetch, server.url()) for _ in range(6)]
        assert comes_true(lambda: now[0] == 2)
        time.sleep(0.3)  # for others that might come
        go_on.set()
        assert [each.result(3 * PATIENCE) for each in fetched] == [b"x"] * 6
    assert most[0] == 2


class Occupied:
    """Downloads with one place, which is taken by a look-up that does not end before the block does."""

    def __init__(self, limits: Limits) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.downloads = resolving(self._resolve, limits)
        self._threads = ThreadPoolExecutor(1)

    def _resolve(self, host: str, _port: int) -> Sequence[str]:
        if host == "slow.example.net":
            self.asked.set()
            self.go_on.wait(PATIENCE)
        return [HERE]

    def __enter__(self) -> Self:
        self._first = self._threads.submit(self.downloads.fetch, "http://slow.example.net:1/", Cancellation())
        assert self.asked.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on.set()
        with pytest.raises(AttachmentRefused):
            self._first.result(PATIENCE)
        self._threads.shutdown()


def test_waiting_for_a_place_has_a_time() -> None:
    """Who comes again may have more luck."""
    with Occupied(Limits(size=10, at_once=1, total=0.4)) as occupied, site({"/": answer(b"x")}) as server:
        began = time.monotonic()
        with pytest.raises(Overloaded) as overloaded:
            occupied.downloads.fetch(server.url(), Cancellation())
        assert time.monotonic() - began < SOON
        assert overloaded.value.retryable
        assert server.connections == 0


def test_a_client_that_leaves_waits_for_no_place() -> None:
    """It is noticed soon."""
    cancellation, at = Cancellation(), list[float]()

    def cancel() -> None:
        at.append(time.monotonic())
        cancellation.cancel()

    timer = threading.Timer(0.3, cancel)
    with Occupied(LONG_ALONE) as occupied:
        timer.start()
        ended(lambda: occupied.downloads.fetch(f"http://{HOST}:1/", cancellation), ClientGone)
        assert time.monotonic() - at[0] < SOON
    timer.join()


LONG_ALONE = replace(LONG, at_once=1)

FAILURES: dict[str, tuple[Page, type[Exception]]] = {
    "another status": (answer(b"x", status="404 Not Found"), AttachmentRefused),
    "too large": (answer(b"x" * 1_000_001), RequestTooLarge),
    "too large after a while": (answer(in_chunks(b"x" * 1_000_001), "Transfer-Encoding: chunked"), RequestTooLarge),
    "cut": (answer(b"x" * 900_000, "Content-Length: 900001"), AttachmentRefused),
    "compressed": (answer(b"x", "Content-Encoding: gzip"), AttachmentRefused),
    "a redirect to nowhere": (redirect(""), AttachmentRefused),
    "a redirect to itself": (redirect("/"), AttachmentRefused),
    "a redirect inwards": (redirect("http://10.0.0.1/"), AttachmentRefused),
    "no answer": (b"nonsense", AttachmentRefused),
    "too slow": (dripping(answer(b"x" * 700_000, "Content-Length: 1000000"), b"x"), AttachmentRefused),
}


@pytest.mark.parametrize(("page", "error"), FAILURES.values(), ids=FAILURES)
def test_a_failure_gives_its_place_back(page: Page, error: type[Exception]) -> None:
    """And closes what it had opened: as often as one likes."""
    visitor = Visitor(limits=Limits(size=1_000_000, at_once=1, total=0.5))
    with site({"/": page}) as server:
        for _ in range(3):
            ended(lambda: visitor.fetch(server.url()), error)
    with site({"/": answer(b"x" * 1_000_000)}) as server:
        assert len(visitor.fetch(server.url())) == 1_000_000


@pytest.mark.parametrize("close", ["", "Connection: close"], ids=["kept", "closed"])
@pytest.mark.parametrize(
    ("begin", "error"),
    [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 100000000", AttachmentRefused),
        ("HTTP/1.1 200 OK\r\nContent-Length: 100000000", RequestTooLarge),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Encoding: gzip", AttachmentRefused),
        ("HTTP/1.1 302 Found\r\nContent-Length: 100000000\r\nLocation: http://10.0.0.1/", AttachmentRefused),
    ],
    ids=["status", "size", "compressed", "redirect"],
)
def test_a_refusal_hangs_up(begin: str, close: str, error: type[Exception]) -> None:
    """At once, also while the error is still being told of; the server would send on and on."""
    head = "\r\n".join(filter(None, (begin, close))).encode() + b"\r\n\r\n"
    with site({"/": silent_after(head)}) as server:
        visitor = Visitor(limits=Limits(size=1000))
        with pytest.raises(error) as refused:
            visitor.fetch(server.url())
        assert server.left.acquire(timeout=PATIENCE / 2)
        assert refused.value is not None


def test_a_download_that_is_not_wanted_any_more_is_let_go() -> None:
    """By closing its spool, on disk or in memory; the connection is closed before."""
    with site({"/": answer(b"x" * 2_000_000)}) as server:
        for _ in range(3):
            Visitor().downloads.fetch(server.url(), Cancellation()).spool.close()


def resolving(resolve: Callable[[str, int], Sequence[str]], limits: Limits) -> Downloads:
    """Downloads with a resolver of the test's own."""
    guard = Guard(resolve=resolve, allowed=[IPv4Network("127.0.0.0/8")])
    return Downloads(guard=guard, limits=limits, user_agent="kimi-gateway/tests")


SLOW = "AttachmentRefused: The URL's server was too slow."
GONE = "ClientGone: The client hung up."
EXPECTED = "".join(
    f"{line}\n"
    for scheme in ("http", "https")
    for line in (
        f"{scheme} /whole 900000",
        f"{scheme} /silent {SLOW}",
        f"{scheme} /dripping {SLOW}",
        f"{scheme} left /silent {GONE}",
        f"{scheme} left /dripping {GONE}",
    )
)
EXPECTED += f"https greeting {SLOW}\nhttps left greeting {GONE}\n"


@pytest.mark.parametrize("mode", ["gevent", "threads"])
def test_the_limits_hold_as_the_server_runs(mode: str) -> None:
    """Under gevent sockets are others, and all of a worker shares one thread."""
    program = [sys.executable, "-W", "error", "-m", "tests.attachments.download_program", mode]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert (done.stdout, done.stderr) == (EXPECTED, "")
