"""How chunks stand on the wire."""

from __future__ import annotations

import json

import pytest

from app.dialects.gemini.framing import ArrayFraming, EventFraming, Framing

CHUNKS = [b'{"a":1}', b'{"b":"]\\n\\n["}', b'{"c":{}}']


def written(framing: Framing, chunks: list[bytes]) -> bytes:
    """All chunks and the end."""
    return b"".join(map(framing.chunk, chunks)) + framing.end()


def test_events_have_no_other_line_than_data() -> None:
    """And the stream has no mark at its end."""
    assert written(EventFraming(), CHUNKS) == b"".join(b"data: " + chunk + b"\n\n" for chunk in CHUNKS)
    assert EventFraming().content_type == "text/event-stream; charset=utf-8"


def test_an_array_has_each_element_on_lines_of_its_own() -> None:
    """As Google's has."""
    assert written(ArrayFraming(), CHUNKS) == b"[" + b",\n".join(CHUNKS) + b"]"
    assert ArrayFraming().content_type == "application/json"


@pytest.mark.parametrize("count", range(4))
def test_an_array_is_json_wherever_it_ends(count: int) -> None:
    """Also where nothing was said."""
    assert json.loads(written(ArrayFraming(), CHUNKS[:count])) == [json.loads(chunk) for chunk in CHUNKS[:count]]
