"""Bodies that nobody reads: the server does not take them in to their end, and others do not wait for them."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from scripts.serving import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.alone]

MOST = 64_000_000
"""Bytes that fit into the buffers of both sides, many times over."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    """A server that asks nobody."""
    with serving({}) as server:
        yield server


def address(server: Server) -> tuple[str, int]:
    """Where it listens."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@pytest.mark.parametrize("head", ["GET /ping", "POST /nowhere", "POST /v1/files", "DELETE /v1/chat/completions"])
def test_an_endless_body_ends_its_connection(gateway: Server, head: str) -> None:
    """Whether it was asked for or not; meanwhile the server answers others at once."""
    sent = 0

    def flood() -> None:
        nonlocal sent
        with socket.create_connection(address(gateway)) as client:
            client.sendall(f"{head} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            try:
                while sent < MOST:
                    client.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                    sent += 0x10000
            except OSError:
                return

    flooding = threading.Thread(target=flood, daemon=True)
    flooding.start()
    with closing(http.client.HTTPConnection(*address(gateway), timeout=10)) as other:
        began = time.monotonic()
        other.request("GET", "/ping")
        assert other.getresponse().read() == b"pong"
        waited = time.monotonic() - began
    flooding.join(20)

    assert not flooding.is_alive()
    assert sent < MOST
    assert waited < 8


def test_a_small_body_that_nobody_read_costs_no_connection(gateway: Server) -> None:
    """It is passed over, and the next request is served."""
    with closing(http.client.HTTPConnection(*address(gateway), timeout=10)) as client:
        for _ in range(3):
            client.request("POST", "/v1/files", body=b"x" * 100_000, headers={"Content-Type": "application/pdf"})
            answer = client.getresponse()
            assert (answer.status, answer.read()[:9]) == (401, b'{"error":')
