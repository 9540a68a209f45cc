"""Server-sent events as they are written: one event is one write, so that no client sees half of one."""

from __future__ import annotations

import orjson

CONTENT_TYPE = "text/event-stream; charset=utf-8"

HEADERS = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would hold the stream back until its end
}

COMMENT = b": keep-alive\n\n"


def data(value: object) -> bytes:
    """One event that holds a JSON value; JSON has no raw line ends, so one line is enough."""
    return b"data: " + orjson.dumps(value) + b"\n\n"
