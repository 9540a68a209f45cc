"""The bodies of requests that are bytes already."""

from __future__ import annotations

from app.kimi.http import HttpRequest


def body_of(request: HttpRequest) -> bytes:
    """The body of a request that sends no file; b"" if it has none."""
    assert request.body is None or isinstance(request.body, bytes)
    return request.body or b""
