"""Server-sent events as they are written."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from app.dialects.sse import COMMENT, CONTENT_TYPE, HEADERS, data


def test_an_event_is_one_line_and_a_blank_one() -> None:
    """As short as it can be."""
    assert data({"a": "世"}) == 'data: {"a":"世"}\n\n'.encode()


@given(st.dictionaries(st.text(), st.text() | st.none() | st.booleans()))
def test_any_value_is_one_event(value: dict[str, object]) -> None:
    """A line end in it is escaped."""
    written = data(value)
    assert written.count(b"\n") == 2
    assert b"\r" not in written
    assert json.loads(written.removeprefix(b"data: ")) == value


def test_a_comment_is_no_event() -> None:
    """It begins with a colon."""
    assert COMMENT == b": keep-alive\n\n"


def test_the_headers_keep_proxies_from_holding_a_stream_back() -> None:
    """Section 4 of the contract."""
    assert CONTENT_TYPE == "text/event-stream; charset=utf-8"
    assert HEADERS == {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
