"""The sockets, against a server on loopback."""

from __future__ import annotations

import hashlib
import io
import random
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.chat.cancellation import Cancellation
from app.errors import ClientGone, UpstreamTimeout, UpstreamUnavailable, UpstreamUnreachable
from app.kimi import transport as module
from app.kimi.http import FileBody, HttpAnswer, HttpRequest
from app.kimi.transport import Deadlines, HttpStream, Transport
from tests.kimi.foreign import FOREIGN, name_of
from tests.kimi.loopback import CHUNKED, LAST_CHUNK, Loopback, Peer, Script, chunk, length_of, serving

AGENT = "agent/1"
SOON = 10.0


def get(server: Loopback | str, path: str = "/") -> HttpRequest:
    """A request to the server."""
    return HttpRequest("GET", (server if isinstance(server, str) else server.url) + path, {"Authorization": "Bearer a"})


@contextmanager
def opened(
    script: Script, *, cancellation: Cancellation | None = None, **deadlines: float
) -> Iterator[tuple[HttpStream, Loopback]]:
    """A stream from a server that follows the script."""
    transport = Transport(user_agent=AGENT, deadlines=Deadlines(**deadlines))
    with serving(script) as server, transport.stream(get(server), cancellation or Cancellation()) as stream:
        yield stream, server


def answering(*parts: bytes) -> Script:
    """Read a request, write the parts, close."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in parts:
            peer.send(part)

    return script


def keeping_alive(answer: bytes) -> Script:
    """Answer one request after the other over the same connection."""

    def script(peer: Peer) -> None:
        while peer.request()[0]:
            peer.send(answer)

    return script


def rest_of(stream: HttpStream) -> bytes:
    """All bytes to the end."""
    return b"".join(iter(stream.read, b""))


# --- What is sent ------------------------------------------------------------------------------------------


def sent(request: HttpRequest) -> tuple[list[str], bytes]:
    """The lines of the head, and the body, as they arrive."""
    seen: list[tuple[str, bytes]] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(script) as server:
        moved = HttpRequest(request.method, server.url + request.url, request.headers, request.body)
        Transport(user_agent=AGENT).fetch(moved)
    return seen[0][0].split("\r\n"), seen[0][1]


def test_a_request_goes_out_as_it_was_built() -> None:
    """With what the transport adds: who asks, and that nothing is to be compressed."""
    lines, body = sent(HttpRequest("POST", "/a?b=c", {"X-Own": "1"}, b"\x00\xff"))
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert body == b"\x00\xff"
    names = {line.partition(":")[0]: line.partition(": ")[2] for line in lines[1:]}
    assert names.pop("Host").startswith("127.0.0.1:")
    assert names == {
        "User-Agent": AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "X-Own": "1",
        "Content-Length": "2",
    }


def test_a_header_of_the_request_wins() -> None:
    """The legacy site wants another Accept."""
    lines, _ = sent(HttpRequest("GET", "/", {"Accept": "text/event-stream"}))
    assert "Accept: text/event-stream" in lines


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Tokens go to Kimi and to nobody else."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")) as proxy:
        monkeypatch.setenv(name, proxy.url)
        with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsite")) as site:
            assert Transport(user_agent=AGENT).fetch(get(site)).body == b"site"
        assert proxy.connections == 0


def test_cookies_are_not_kept() -> None:
    """They would carry one account's identity into another's calls."""
    heads: list[str] = []

    def script(peer: Peer) -> None:
        while head := peer.request()[0]:
            heads.append(head)
            peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n")

    transport = Transport(user_agent=AGENT)
    with serving(script) as server:
        transport.fetch(get(server))
        transport.fetch(get(server))
    assert len(heads) == 2
    assert "cookie" not in heads[1].lower()


# --- What comes back ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 401, 404, 429, 500, 503])
def test_any_status_is_an_answer(status: int) -> None:
    """What it means is for the protocol to say."""
    with serving(answering(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nX-A: b\r\n\r\n".encode())) as server:
        answer = Transport(user_agent=AGENT).fetch(get(server))
    assert [answer.status, answer.headers["x-a"], answer.body] == [status, "b", b""]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_its_body_not_awaited(status: int) -> None:
    """A bearer token must not follow it; its body may never come."""
    with serving(lambda _: None) as elsewhere:
        head = f"HTTP/1.1 {status} X\r\nLocation: {elsewhere.url}/\r\nContent-Length: 999\r\n\r\n".encode()

        def script(peer: Peer) -> None:
            peer.request()
            peer.send(head)
            server.released.wait(SOON)

        began = time.monotonic()
        with serving(script) as server, Transport(user_agent=AGENT).stream(get(server), Cancellation()) as stream:
            assert stream.status == status
        assert time.monotonic() - began < SOON / 2
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "parts",
    [
        (CHUNKED, chunk(b"hel"), chunk(b"lo"), LAST_CHUNK),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n", b"hel", b"lo"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", b"hel", b"lo"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=x\r\n\r\nhello",),
    ],
    ids=["chunked", "content-length", "until close", "HTTP/1.0"],
)
def test_a_body_is_read_to_its_end(parts: tuple[bytes, ...]) -> None:
    """However its end is marked; after the end, reading gives nothing again."""
    with opened(answering(*parts)) as (stream, _):
        assert [rest_of(stream), stream.read(), stream.media_type] == [b"hello", b"", "text/plain"]


@pytest.mark.parametrize(
    "parts",
    [
        (CHUNKED, chunk(b"hel"), b"5\r\nlo"),
        (CHUNKED, chunk(b"hel"), chunk(b"lo")),
        (CHUNKED, chunk(b"hello"), b"zz\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"hello"),
    ],
    ids=["in a chunk", "between chunks", "broken chunk", "before its length"],
)
def test_a_body_that_is_cut_ends(parts: tuple[bytes, ...]) -> None:
    """The decoder judges whether the answer was whole: what arrived is given."""
    with opened(answering(*parts)) as (stream, _):
        assert rest_of(stream) == b"hello"


def test_a_body_is_not_decoded() -> None:
    """Nothing was asked to be compressed, so nothing is inflated."""
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n"
    with opened(answering(head, b"hello")) as (stream, _):
        assert rest_of(stream) == b"hello"


@pytest.mark.parametrize("head", [CHUNKED, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"])
def test_bytes_are_given_as_soon_as_they_come(head: bytes) -> None:
    """Nothing waits for a full buffer: the second word is not written before the first was read."""
    heard = threading.Event()
    words = [chunk(b"one"), chunk(b"two")] if head == CHUNKED else [b"one", b"two"]

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(head + words[0])
        assert heard.wait(SOON)
        peer.send(words[1])

    with opened(script) as (stream, _):
        assert stream.read() == b"one"
        heard.set()
        assert stream.read() == b"two"


def test_an_answer_that_is_no_stream_has_a_ceiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site that sends without end does not fill the memory."""
    monkeypatch.setattr(module, "MAX_ANSWER", 100_000)
    script = answering(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 50_000] * 10)
    with serving(script) as server:
        assert len(Transport(user_agent=AGENT).fetch(get(server)).body) < 200_000


# --- Connections -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", CHUNKED + chunk(b"hi") + LAST_CHUNK]
)
def test_a_connection_is_used_again_after_its_answer_was_read(answer: bytes) -> None:
    """A handshake for each call would cost more than the call."""
    transport = Transport(user_agent=AGENT)
    with serving(keeping_alive(answer)) as server:
        for _ in range(3):
            assert transport.fetch(get(server)).body == b"hi"
            with transport.stream(get(server), Cancellation()) as stream:
                assert rest_of(stream) == b"hi"
        assert server.connections == 1


def test_a_connection_is_closed_when_its_answer_was_not_read() -> None:
    """What is left of an answer must not be taken for the next one."""
    ended: list[bool] = []

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED + chunk(b"hi"))
        ended.append(peer.wait_for_end())

    with opened(script) as (stream, _):
        assert stream.read() == b"hi"
    assert ended == [True]


def test_a_connection_given_back_is_not_cancelled() -> None:
    """A client that leaves after its answer was read must not end the answer of another."""
    first, left, got = Cancellation(), threading.Event(), list[bytes]()
    first.on_cancel(left.set)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED + chunk(b"one") + LAST_CHUNK)
        peer.request()
        peer.send(CHUNKED)
        assert left.wait(SOON)
        peer.send(chunk(b"two") + LAST_CHUNK)

    transport = Transport(user_agent=AGENT)
    with serving(script) as server, transport.stream(get(server), first) as stream:
        assert rest_of(stream) == b"one"

        def other() -> None:
            with transport.stream(get(server), Cancellation()) as second:
                first.cancel()
                got.append(rest_of(second))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join(SOON)
        assert server.connections == 1
    assert got == [b"two"]


def test_a_refused_connection_may_be_tried_again() -> None:
    """Nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(UpstreamUnreachable) as caught:
        Transport(user_agent=AGENT).fetch(get(url))
    assert caught.value.retryable


def test_a_host_that_is_not_known_may_be_tried_again() -> None:
    """Nothing was sent."""
    with pytest.raises(UpstreamUnreachable) as caught:
        Transport(user_agent=AGENT).fetch(get("http://nothing.invalid"))
    assert caught.value.retryable
    assert "nothing.invalid" in caught.value.message


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1", b"nonsense\r\n\r\n"])
def test_a_connection_that_closes_without_an_answer_is_not_tried_again(answer: bytes) -> None:
    """The request was sent: it may have been heard."""
    with serving(answering(answer)) as server, pytest.raises(UpstreamUnavailable) as caught:
        Transport(user_agent=AGENT).fetch(get(server, "/secret?token=abc"))
    assert type(caught.value) is UpstreamUnavailable
    assert not caught.value.retryable
    assert "secret" not in caught.value.message
    assert server.connections == 1


# --- Deadlines ---------------------------------------------------------------------------------------------


def waiting(*parts: bytes) -> Callable[[Peer], None]:
    """Write the parts and then nothing, until the client gives up."""

    def script(peer: Peer) -> None:
        peer.request()
        for part in parts:
            peer.send(part)
        peer.wait_for_end()

    return script


def test_the_first_byte_has_a_deadline() -> None:
    """Before the headers."""
    began = time.monotonic()
    with pytest.raises(UpstreamTimeout), opened(waiting(), first_byte=0.1):
        pass
    assert 0.1 <= time.monotonic() - began < SOON / 2


def test_the_first_byte_of_the_body_has_the_same_deadline() -> None:
    """A site may send headers and then think."""
    began = time.monotonic()
    with opened(waiting(CHUNKED), first_byte=0.1) as (stream, _), pytest.raises(UpstreamTimeout):
        stream.read()
    assert 0.05 <= time.monotonic() - began < SOON / 2


def test_silence_has_a_deadline() -> None:
    """After the first byte, another one."""
    with opened(waiting(CHUNKED + chunk(b"hi")), first_byte=SOON, idle=0.1) as (stream, _):
        assert stream.read() == b"hi"
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            stream.read()
        assert 0.1 <= time.monotonic() - began < SOON / 2


def test_all_of_an_answer_has_a_deadline() -> None:
    """Also while bytes keep coming."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        while True:
            peer.send(chunk(b"x"))
            time.sleep(0.01)

    began = time.monotonic()
    with opened(script, total=0.2) as (stream, _), pytest.raises(UpstreamTimeout):
        rest_of(stream)
    assert 0.15 <= time.monotonic() - began < SOON / 2


@pytest.mark.parametrize(("limit", "words"), [("idle", "stopped sending"), ("total", "longer than the gateway allows")])
def test_a_limit_is_named_by_what_it_limits(limit: str, words: str) -> None:
    """Whether the site fell silent, or all of the answer took too long, also where that ends a silence."""
    deadlines = {"idle": SOON, "total": SOON, limit: 0.2}
    with opened(waiting(CHUNKED + chunk(b"hi")), idle=deadlines["idle"], total=deadlines["total"]) as (stream, _):
        assert stream.read() == b"hi"
        with pytest.raises(UpstreamTimeout, match=words):
            stream.read()


def test_a_reader_may_wait_for_less() -> None:
    """As for a trailer that need not come."""
    with opened(waiting(CHUNKED + chunk(b"hi"))) as (stream, _):
        stream.read()
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout):
            stream.read(within=0.05)
        assert time.monotonic() - began < SOON / 2


def test_a_unary_call_has_a_deadline_of_its_own() -> None:
    """Streams may wait for longer."""
    began = time.monotonic()
    with serving(waiting()) as server, pytest.raises(UpstreamTimeout):
        Transport(user_agent=AGENT).fetch(get(server), timeout=0.1)
    assert time.monotonic() - began < SOON / 2


# --- Cancellation ------------------------------------------------------------------------------------------


def cancelled_soon(cancellation: Cancellation, seconds: float = 0.05) -> threading.Timer:
    """Cancel a little later, from another thread."""
    timer = threading.Timer(seconds, cancellation.cancel)
    timer.start()
    return timer


@pytest.mark.parametrize("parts", [(), (CHUNKED,)], ids=["before the headers", "in a silent body"])
def test_a_cancellation_wakes_a_silent_wait_at_once(parts: tuple[bytes, ...]) -> None:
    """The client is gone; nobody waits for the deadline."""
    cancellation = Cancellation()
    timer = cancelled_soon(cancellation)
    began = time.monotonic()
    with pytest.raises(ClientGone), opened(waiting(*parts), cancellation=cancellation) as (stream, _):
        stream.read()
    assert time.monotonic() - began < SOON / 2
    timer.join()


def test_nothing_is_sent_after_a_cancellation() -> None:
    """There is nobody to answer."""
    cancellation = Cancellation()
    cancellation.cancel()
    with serving(answering()) as server:
        with (
            pytest.raises(ClientGone),
            Transport(user_agent=AGENT).stream(get(server), cancellation),
        ):
            pass
        assert server.connections == 0


def test_a_cancellation_closes_the_connection() -> None:
    """Kimi sees that nobody listens any more."""
    cancellation, ended = Cancellation(), threading.Event()

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED + chunk(b"hi"))
        if peer.wait_for_end():
            ended.set()

    with opened(script, cancellation=cancellation) as (stream, _):
        stream.read()
        cancellation.cancel()
        assert ended.wait(SOON)
        with pytest.raises(ClientGone):
            stream.read()


# --- Files -------------------------------------------------------------------------------------------------

MIB = 1024 * 1024
LARGE = 20 * MIB
"""More than the buffers of both ends of a connection hold."""

CREATED = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
TOO_LARGE = b"HTTP/1.1 413 X\r\nConnection: close\r\n"


def file_request(server: Loopback, data: bytes, head: bytes = b"", tail: bytes = b"") -> HttpRequest:
    """A request that sends a file."""
    return HttpRequest("PUT", f"{server.url}/key", {}, FileBody(io.BytesIO(data), len(data), head, tail))


def uploaded(script: Script, data: bytes, cancellation: Cancellation | None = None) -> HttpAnswer:
    """What a server that follows the script answers to a file."""
    with serving(script) as server:
        return Transport(user_agent=AGENT).upload(file_request(server, data), cancellation or Cancellation())


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 3 * MIB])
def test_a_file_is_sent_between_its_frame(size: int) -> None:
    """To the byte, with its length told before, and not in chunks."""
    data = random.Random(size).randbytes(size)  # noqa: S311 # it is test data
    seen: list[tuple[str, bytes]] = []

    def script(peer: Peer) -> None:
        seen.append(peer.request())
        peer.send(CREATED)

    with serving(script) as server:
        request = file_request(server, data, b"<head>", b"<tail>")
        answer = Transport(user_agent=AGENT).upload(request, Cancellation())
    assert [answer.status, answer.body] == [200, b"hi"]
    head, body = seen[0]
    assert body == b"<head>" + data + b"<tail>"
    assert f"Content-Length: {size + 12}" in head.split("\r\n")
    assert "transfer-encoding" not in head.lower()
    assert "expect" not in head.lower()


def test_a_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    """It is read from the disk while it is sent."""
    path, digests = tmp_path / "file", [hashlib.sha256(), hashlib.sha256()]
    source = random.Random(1)  # noqa: S311 # it is test data
    with path.open("wb") as written:
        for _ in range(LARGE // MIB):
            piece = source.randbytes(MIB)
            digests[0].update(piece)
            written.write(piece)

    def script(peer: Peer) -> None:
        for piece in peer.pieces(length_of(peer.head())):
            digests[1].update(piece)
        peer.send(CREATED)

    with serving(script) as server, path.open("rb") as file:
        request = HttpRequest("PUT", server.url, {}, FileBody(file, LARGE))
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            Transport(user_agent=AGENT).upload(request, Cancellation())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert digests[0].digest() == digests[1].digest()
    assert peak - before < 4 * MIB


def test_a_file_can_be_sent_again() -> None:
    """As after its token was renewed: the second time from its beginning, over the same connection."""
    bodies: list[bytes] = []

    def script(peer: Peer) -> None:
        while (request := peer.request())[0]:
            bodies.append(request[1])
            peer.send(CREATED)

    transport = Transport(user_agent=AGENT)
    with serving(script) as server:
        request = file_request(server, b"x" * 100_000, b"<", b">")
        for _ in range(2):
            transport.upload(request, Cancellation())
        assert server.connections == 1
    assert bodies == [b"<" + b"x" * 100_000 + b">"] * 2


@pytest.mark.parametrize("status", [200, 204, 401, 403, 413, 500])
def test_any_status_answers_a_file(status: int) -> None:
    """What it means is for the protocol to say."""
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nX-A: b\r\n\r\n".encode()
    found = uploaded(answering(answer), b"x")
    assert [found.status, found.headers["x-a"], found.body] == [status, "b", b""]


@pytest.mark.parametrize("end", [b"Content-Length: 2\r\n\r\nno", b"Content-Length: 0\r\n\r\n", b"\r\nno", b"\r\n"])
def test_a_server_may_answer_before_it_has_read_the_file(end: bytes) -> None:
    """And close at once, as servers do with what is too large: its answer counts, not the broken connection."""

    def script(peer: Peer) -> None:
        peer.head()
        peer.send(TOO_LARGE + end)

    assert uploaded(script, b"x" * LARGE).status == 413


def test_a_server_that_closes_while_a_file_is_sent_gave_no_answer() -> None:
    """Some of it may have been heard."""

    def script(peer: Peer) -> None:
        head = peer.head()
        next(peer.pieces(length_of(head)))

    with pytest.raises(UpstreamUnavailable) as caught:
        uploaded(script, b"x" * LARGE)
    assert type(caught.value) is UpstreamUnavailable
    assert not caught.value.retryable


def test_the_deadlines_of_an_answer_count_from_the_last_byte_of_a_file() -> None:
    """A slow line does not use them up: here the file takes longer than all of them together."""

    def script(peer: Peer) -> None:
        head = peer.head()
        time.sleep(0.9)
        for _ in peer.pieces(length_of(head)):
            pass
        peer.send(CREATED)

    transport = Transport(user_agent=AGENT, deadlines=Deadlines(first_byte=0.7, idle=0.7, total=0.7))
    with serving(script) as server, transport.stream(file_request(server, b"x" * LARGE), Cancellation()) as stream:
        assert rest_of(stream) == b"hi"


@pytest.mark.parametrize("parts", [(), (CHUNKED,)], ids=["before the headers", "before the body"])
def test_a_file_that_was_sent_is_not_answered_for_ever(parts: tuple[bytes, ...]) -> None:
    """From its last byte the deadline runs."""
    transport = Transport(user_agent=AGENT, deadlines=Deadlines(first_byte=0.2, idle=SOON, total=SOON))
    began = time.monotonic()
    with (
        serving(waiting(*parts)) as server,
        pytest.raises(UpstreamTimeout),
        transport.stream(file_request(server, b"x" * MIB), Cancellation()) as stream,
    ):
        stream.read()
    assert 0.1 <= time.monotonic() - began < SOON / 2


def test_no_file_is_sent_after_a_cancellation() -> None:
    """There is nobody to answer."""
    gone = Cancellation()
    gone.cancel()
    with serving(answering()) as server:
        with pytest.raises(ClientGone):
            Transport(user_agent=AGENT).upload(file_request(server, b"x"), gone)
        assert server.connections == 0


def test_a_client_that_leaves_ends_the_sending_of_its_file() -> None:
    """The rest is not sent, so nobody takes the half of it for a file."""
    cancellation, received = Cancellation(), [0]
    ended = threading.Event()

    def script(peer: Peer) -> None:
        try:
            for piece in peer.pieces(length_of(peer.head())):
                received[0] += len(piece)
                if received[0] > MIB:
                    cancellation.cancel()
        finally:
            ended.set()

    with pytest.raises(ClientGone):
        uploaded(script, b"x" * LARGE, cancellation)
    assert ended.wait(SOON)
    assert MIB < received[0] < LARGE


def test_a_client_that_leaves_ends_the_wait_for_a_server_that_does_not_read() -> None:
    """At once, as everywhere: the connection is full, and no byte leaves that could be counted."""
    cancellation, left = Cancellation(), list[float]()
    cancellation.on_cancel(lambda: left.append(time.monotonic()))

    def script(peer: Peer) -> None:
        peer.head()
        server.released.wait(2 * SOON)

    with serving(script) as server:
        timer = cancelled_soon(cancellation, 0.3)  # long after the buffers are full
        with pytest.raises(ClientGone):
            Transport(user_agent=AGENT).upload(file_request(server, b"x" * LARGE), cancellation)
        assert time.monotonic() - left[0] < SOON / 2
    timer.join()


def test_a_client_that_leaves_ends_the_wait_for_the_answer_to_its_file() -> None:
    """The file is there; nobody wants to know what it is called."""
    cancellation = Cancellation()
    timer = cancelled_soon(cancellation)
    began = time.monotonic()
    with pytest.raises(ClientGone):
        uploaded(waiting(), b"x", cancellation)
    assert time.monotonic() - began < SOON / 2
    timer.join()


# --- Foreign exceptions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FOREIGN, ids=name_of)
def test_every_foreign_exception_is_caught(kind: type[BaseException]) -> None:
    """None of them leaves this module as it is."""
    assert issubclass(kind, module._FOREIGN)
