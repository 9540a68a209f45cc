"""The servers that other tests rely on: Redis, nginx and gunicorn, started, hurt and ended."""

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts.serving import environment_of, serving
from tests.e2e import nginx_server, redis_server
from tests.e2e.nginx_server import nginx, requires_nginx
from tests.e2e.redis_server import RedisServer, requires_redis
from tests.e2e.support import until

pytestmark = pytest.mark.e2e

NOWHERE = dict.fromkeys(("KIMI_WEB_URL", "KIMI_AUTH_URL", "KIMI_LEGACY_URL"), "http://127.0.0.1:9")


# --- Redis -------------------------------------------------------------------------------------------------


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a Redis for one test."""
    with redis_server.redis_server(tmp_path) as server:
        yield server


def ask(redis: RedisServer, command: bytes, timeout: float = 5.0) -> bytes:
    """Send inline commands, one a line, and give what comes first."""
    with socket.create_connection(("127.0.0.1", redis.port), timeout) as sock:
        sock.sendall(command + b"\r\n")
        return sock.recv(4096)


@requires_redis
def test_redis_answers_at_its_url(redis: RedisServer) -> None:
    """On loopback, with a port of its own."""
    assert redis.url == f"redis://127.0.0.1:{redis.port}/0"
    assert ask(redis, b"PING") == b"+PONG\r\n"


@requires_redis
def test_a_frozen_redis_takes_connections_and_is_silent(redis: RedisServer) -> None:
    """Until it is thawed, when it answers what it was asked."""
    redis.freeze()
    with pytest.raises(TimeoutError):
        ask(redis, b"PING", timeout=0.2)
    redis.thaw()
    assert ask(redis, b"PING") == b"+PONG\r\n"


@requires_redis
def test_a_killed_redis_refuses_and_comes_back_empty(redis: RedisServer) -> None:
    """On the same port."""
    port, pid = redis.port, redis.pid
    assert ask(redis, b"SET key value") == b"+OK\r\n"
    redis.kill()
    with pytest.raises(ConnectionRefusedError):
        ask(redis, b"PING")
    redis.restart()
    assert (redis.port, redis.dump()) == (port, b"")
    assert redis.pid != pid


@requires_redis
def test_a_dump_holds_all_that_is_stored(redis: RedisServer) -> None:
    """Keys, fields and values of every type, uncompressed."""
    stored = {
        b"SET": b"a-text " + b"x" * 5000,
        b"HSET": b"a-hash hash-field hash-value",
        b"RPUSH": b"a-list list-item",
        b"SADD": b"a-set set-member",
        b"ZADD": b"a-ranking 5 ranked",
        b"XADD": b"a-stream * stream-field stream-value",
    }
    for command, words in stored.items():
        assert not ask(redis, command + b" " + words).startswith(b"-")
    dumped = redis.dump()
    missing = [word for words in stored.values() for word in words.split() if word != b"*" and word not in dumped]
    assert missing == []


@requires_redis
def test_redis_leaves_nothing_behind(tmp_path: Path) -> None:
    """Also when it is frozen at the end; nothing but the log was written."""
    with redis_server.redis_server(tmp_path) as server:
        ask(server, b"SET key value")
        server.freeze()
    with pytest.raises(ConnectionRefusedError):
        ask(server, b"PING")
    assert [file.name for file in tmp_path.iterdir()] == ["redis.log"]


@requires_redis
def test_what_cannot_start_is_told(tmp_path: Path) -> None:
    """With the words of the server."""
    with redis_server.redis_server(tmp_path) as server:
        command = ["redis-server", "--no-such-setting", "1"]
        with pytest.raises(RuntimeError, match="no-such-setting"):
            redis_server.started(command, redis_server.free_port(), tmp_path / "other.log")
        assert ask(server, b"PING") == b"+PONG\r\n"


# --- nginx -------------------------------------------------------------------------------------------------


class Upstream(ThreadingHTTPServer):
    """Answers each GET by its name, by "more" and by "rest", each when it is told; a POST by its number of bytes."""

    daemon_threads = True

    def __init__(self, name: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.name = name
        self.permits = threading.Semaphore(0)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}"


class Conversation(BaseHTTPRequestHandler):
    """One connection to an `Upstream`."""

    server: Upstream
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Stream one chunk for each permit."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for data in (self.server.name, b"more", b"rest", b""):
            self.server.permits.acquire(timeout=5)
            self._chunk(data)

    def do_POST(self) -> None:
        """Read the body."""
        count = str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(count)))
        self.end_headers()
        self.wfile.write(count)

    def log_message(self, *args: Any) -> None:  # noqa: ANN401 -- as its base class has it
        """Say nothing."""

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


@contextmanager
def upstream(name: bytes) -> Iterator[Upstream]:
    """Serve in a thread."""
    with Upstream(name) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def requested(url: str, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
    """Send one request over a connection of its own."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET" if body is None else "POST", "/", body)
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


@requires_nginx
def test_nginx_passes_a_stream_on_as_it_comes(tmp_path: Path) -> None:
    """Headers and chunks arrive while the next has not been sent."""
    with upstream(b"first") as server, nginx([server.url], tmp_path) as url, requested(url) as response:
        for chunk in (b"first", b"more", b"rest", b""):
            server.permits.release()
            assert response.read1(100) == chunk


@requires_nginx
def test_nginx_asks_its_upstreams_in_turn(tmp_path: Path) -> None:
    """One request each."""
    with upstream(b"a") as one, upstream(b"b") as two, nginx([one.url, two.url], tmp_path) as url:
        one.permits.release(8)
        two.permits.release(8)
        answers = []
        for _ in range(4):
            with requested(url) as response:
                answers.append(response.read())
    assert answers == [b"amorerest", b"bmorerest"] * 2


@requires_nginx
def test_nginx_lets_large_bodies_through(tmp_path: Path) -> None:
    """More than it keeps in memory, and more than its own default of 1 MB."""
    with (
        upstream(b"a") as server,
        nginx([server.url], tmp_path) as url,
        requested(url, b"x" * 3_000_000) as response,
    ):
        assert response.read() == b"3000000"


@requires_nginx
def test_nginx_ends_with_its_context(tmp_path: Path) -> None:
    """Its port is free again; an upstream that is down is a 502, not a delay."""
    with nginx(["http://127.0.0.1:9"], tmp_path) as url, requested(url) as response:
        assert response.status == 502
    with pytest.raises(ConnectionRefusedError), requested(url):
        pass


# --- Skipping ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("module", "program"), [(redis_server, "redis-server"), (nginx_server, "nginx")])
def test_a_missing_program_skips_except_in_ci(monkeypatch: pytest.MonkeyPatch, module: Any, program: str) -> None:  # noqa: ANN401
    """There the test runs, and fails for want of it."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.delenv("CI", raising=False)
    assert module.missing() == f"{program} is not installed"
    monkeypatch.setenv("CI", "true")
    assert module.missing() is None


# --- gunicorn ----------------------------------------------------------------------------------------------


def test_a_server_is_killed_with_all_its_workers() -> None:
    """At once: nobody listens any more, and the context ends quietly."""
    with serving(NOWHERE, workers=2) as server:
        workers = server.worker_pids
        assert len(workers) == 2
        server.kill_all()
        assert server.worker_pids == ()
        assert server.process.returncode == -9
        host, port = server.url.removeprefix("http://").split(":")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), 1)
        assert "Booting worker" in server.log


def test_a_killed_worker_is_replaced() -> None:
    """The list of workers is that of the moment."""
    with serving(NOWHERE) as server:
        (killed,) = server.worker_pids
        os.kill(killed, 9)
        assert until(lambda: server.worker_pids not in {(), (killed,)})


@pytest.mark.parametrize("told", [{"DATABASE_PATH": "here"}, {"REDIS_URL": "redis://127.0.0.1:1/0"}], ids=str)
def test_the_state_of_a_server_is_its_own_unless_told(tmp_path: Path, told: dict[str, str]) -> None:
    """By default in the folder that goes with it, never in the repository."""
    alone = environment_of({}, workers=1, folder=tmp_path)
    assert alone["DATABASE_PATH"] == str(tmp_path / "state.sqlite3")
    assert environment_of(told, workers=1, folder=tmp_path).get("DATABASE_PATH") == told.get("DATABASE_PATH")
