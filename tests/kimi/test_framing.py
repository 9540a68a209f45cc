"""Bytes to frames: Connect envelopes and server-sent events."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import UpstreamProtocolError
from app.kimi.framing import MAX_EVENT_LINES, Envelope, EnvelopeReader, SseEvent, SseReader, envelope
from tests.drip import drip, rechunkings
from tests.kimi.buffers import CountingBuffer
from tests.kimi.streams import END, frame

CORPUS: Final = Path(__file__).parents[1] / "corpora" / "sse.jsonl"
ROWS: Final[list[dict[str, Any]]] = [json.loads(row) for row in CORPUS.read_bytes().splitlines()]
MIB: Final = 1024 * 1024

SseOutcome = tuple[list[SseEvent], int | None, str]


def sse(chunks: Iterable[bytes], ceiling: int = MIB) -> SseOutcome:
    """The events, the reconnection time and the last id of a stream."""
    reader = SseReader(ceiling=ceiling)
    events = [event for chunk in chunks for event in reader.feed(chunk)]
    return events, reader.retry, reader.last_event_id


def guarded(chunks: Iterable[bytes], ceiling: int) -> tuple[list[str], bool]:
    """The data of a stream's events, and whether it was refused."""
    reader = SseReader(ceiling=ceiling)
    seen: list[str] = []
    try:
        for chunk in chunks:
            seen.extend(event.data for event in reader.feed(chunk))
    except UpstreamProtocolError:
        return seen, True
    return seen, False


def data_of(stream: bytes) -> list[str]:
    """The data of a stream's events, whichever way it is cut."""
    events, _, _ = drip(sse, stream)
    return [event.data for event in events]


def envelopes(chunks: Iterable[bytes], *, encoding: str = "", ceiling: int = MIB) -> list[Envelope]:
    """The frames of a body."""
    reader = EnvelopeReader(encoding=encoding, ceiling=ceiling)
    return [one for chunk in chunks for one in reader.feed(chunk)]


def refusal(chunks: Sequence[bytes], *, encoding: str = "", ceiling: int = MIB) -> tuple[list[Envelope], str]:
    """The frames that came before a body was refused, and what was said then."""
    reader = EnvelopeReader(encoding=encoding, ceiling=ceiling)
    seen: list[Envelope] = []
    try:
        for chunk in chunks:
            seen.extend(reader.feed(chunk))
    except UpstreamProtocolError as error:
        return seen, error.message
    raise AssertionError("taken")


# --- Server-sent events: the corpus ----------------------------------------------------------------


def corpus_chunks(row: dict[str, Any]) -> list[bytes]:
    """The chunks of a row as it has them."""
    return [base64.b64decode(chunk) for chunk in row["chunks_b64"]]


def corpus_outcome(row: dict[str, Any]) -> SseOutcome:
    """What a row promises."""
    events = [SseEvent(one["event"], one["data"], one["id"]) for one in row["expected"]]
    return events, row["expected_retry"], row["expected_last_event_id"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_corpus_as_it_is_cut(row: dict[str, Any]) -> None:
    """A row's own chunks give its events."""
    assert corpus_outcome(row) == sse(corpus_chunks(row))


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_corpus_in_every_cut(row: dict[str, Any]) -> None:
    """A row's bytes give its events in whichever chunks they come."""
    whole = b"".join(corpus_chunks(row))
    if row["bytes_latin1"] is not None:
        assert row["bytes_latin1"].encode("latin-1") == whole
    assert corpus_outcome(row) == drip(sse, whole)


# --- Server-sent events: what the corpus lacks -----------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"id: 7\ndata: a\n\ndata: b\n\n", ["7", "7"]),
        (b"id: 7\n\ndata: a\n\n", ["7"]),
        (b"id: 7\ndata: a\n\nid: x\0y\ndata: b\n\n", ["7", "7"]),
        (b"id: 7\nid: 8\ndata: a\n\n", ["8"]),
        (b"id:7\r\rdata: a\r\r", ["7"]),
        (b"data: a\nid: 7\n\n", ["7"]),
        (b"identity: 7\ndata: a\n\n", [""]),
    ],
    ids=["persists", "without data", "with NUL", "last wins", "CR", "after data", "longer name"],
)
def test_ids(stream: bytes, expected: list[str]) -> None:
    """An id holds for all events after it, and one with a NUL is no id."""
    events, _, _ = drip(sse, stream)
    assert expected == [event.id for event in events]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"retry: 1\nretry: 2\n\n", 2),
        (b"retry: 5\n\nretry: -1\n\n", 5),
        (b"retry: 5\n\nretry\n\n", 5),
        (b"retry:5 \n\n", None),
        (b"retry: " + b"9" * 5000 + b"\n\n", None),
    ],
    ids=["last wins", "negative", "empty", "blank", "endless"],
)
def test_retry(stream: bytes, expected: int | None) -> None:
    """Only a plain number, and one that fits a clock, is a reconnection time."""
    _, retry, _ = drip(sse, stream, small=0)
    assert expected == retry


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"\xef\xbb\xbf\r\ndata: a\r\n\r\n", ["a"]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"\xef\xbbdata: a\n\n", []),
        (b"data: \xef\xbb\xbfa\n\n", ["\ufeffa"]),
    ],
    ids=["at the start", "before a line end", "after a line end", "half of one", "in data"],
)
def test_byte_order_mark(stream: bytes, expected: list[str]) -> None:
    """One byte order mark at the very start goes, also when the network cuts it."""
    assert expected == data_of(stream)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_event_comes_with_its_last_byte(end: bytes) -> None:
    """The blank line's first line end dispatches: nothing waits for the byte after it."""
    reader = SseReader()
    assert list(reader.feed(b"data: a" + end)) == []
    assert list(reader.feed(end[:1])) == [SseEvent("message", "a", "")]


def test_line_feed_after_a_dispatching_carriage_return() -> None:
    """A LF in the next chunk belongs to the CR before it and ends no second line."""
    reader = SseReader()
    assert len(list(reader.feed(b"data: a\r\n\r"))) == 1
    assert list(reader.feed(b"\n")) == []
    assert list(reader.feed(b"data: b\n")) == []
    assert list(reader.feed(b"\n")) == [SseEvent("message", "b", "")]


def test_empty_chunk_between_carriage_return_and_line_feed() -> None:
    """An empty chunk does not tear a CRLF apart."""
    chunks = [b"data: a\r", b"", b"\ndata: b\r", b"", b"\n\r", b"", b"\n"]
    assert sse(chunks)[0] == [SseEvent("message", "a\nb", "")]


@pytest.mark.parametrize(
    "stream", [b": ping\n\n", b":\n\n", b":\r\r:\r\n\r\n", b"\n\n\n\n", b"\r\r\r", b"event: a\n\n", b"id: 1\n\n"]
)
def test_blocks_without_data(stream: bytes) -> None:
    """Comments, blank lines and events without data give nothing."""
    assert data_of(stream) == []


@pytest.mark.parametrize("blanks", [b"\n", b"\n\n", b"\r\n", b"\r\r\r", b"\n\r\n\r"])
def test_blank_lines_between_events(blanks: bytes) -> None:
    """However many blank lines stand between two events, there are two."""
    assert data_of(b"data: a\n\n" + blanks + b"data: b\n\n") == ["a", "b"]


def test_event_name_is_forgotten() -> None:
    """A name holds for one event, also for one that has no data."""
    events, _, _ = drip(sse, b"event: x\n\ndata: a\n\nevent: y\ndata: b\n\ndata: c\n\n")
    assert [event.event for event in events] == ["message", "y", "message"]


def test_many_data_lines() -> None:
    """A thousand data lines are one event of a thousand lines."""
    stream = b"".join(b"data: %d\n" % number for number in range(1000)) + b"\n"
    assert data_of(stream) == ["\n".join(str(number) for number in range(1000))]


def test_most_data_lines() -> None:
    """The most lines that are taken are taken, and one more is refused."""
    most = b"data\n" * MAX_EVENT_LINES
    assert guarded([most + b"\n"], MIB) == (["\n" * (MAX_EVENT_LINES - 1)], False)
    assert guarded([most + b"data\ndata\n\n"], MIB) == ([], True)


@pytest.mark.parametrize("size", [99, 100, 101, 102, 150, 1000])
def test_ceiling(size: int) -> None:
    """What is over the ceiling is refused whole and dripped, what is under it is not, and events before it come."""
    stream = b"data: first\n\n" + b"data: " + b"x" * (size - 6) + b"\n\n"
    for chunks in rechunkings(stream):
        seen, refused = guarded(chunks, 100)
        assert seen[0] == "first"
        assert refused == (size > 100), chunks


def test_ceiling_holds_without_an_end() -> None:
    """A line that never ends is refused before it is held whole."""
    reader = SseReader(ceiling=1000)
    assert list(reader.feed(b"x" * 1000)) == []
    with pytest.raises(UpstreamProtocolError):
        list(reader.feed(b"x" * 100))


def test_ceiling_is_for_one_event() -> None:
    """Many small events in one chunk are not one large one."""
    assert guarded([b"data: a\n\n" * 1000], 100) == (["a"] * 1000, False)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data", b": ", b"x", b"id", b"\xef\xbb\xbf", b"\xe4\xbd"])))
def test_any_mixture_in_any_cut(pieces: list[bytes]) -> None:
    """Whatever the line ends are, the cuts do not matter."""
    drip(sse, b"".join(pieces), count=5, small=60)


@given(st.binary(max_size=300))
def test_any_bytes(stream: bytes) -> None:
    """No bytes raise anything but a protocol error."""
    guarded([stream[:100], stream[100:]], 50)


# --- Connect envelopes ----------------------------------------------------------------------------

GZIPPED: Final = gzip.compress(b'{"a":1}')


def test_envelope_is_flags_length_payload() -> None:
    """A request's frame is written as the protocol has it."""
    assert envelope(b'{"a":1}') == b"\x00\x00\x00\x00\x07" + b'{"a":1}'
    assert envelope(b"x" * 0x010203)[:5] == b"\x00\x00\x01\x02\x03"


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", []),
        (frame(b""), [Envelope(end=False, payload=b"")]),
        (frame(b"a") + frame(b"bc"), [Envelope(end=False, payload=b"a"), Envelope(end=False, payload=b"bc")]),
        (frame(b"a") + frame(b"{}", END), [Envelope(end=False, payload=b"a"), Envelope(end=True, payload=b"{}")]),
        (frame(b"a", 0x80) + frame(b"b"), [Envelope(end=False, payload=b"b")]),
        (frame(b"a", 0x82), []),
        (frame(b"a", 0x81), []),
        (frame(b"a", 0x40), [Envelope(end=False, payload=b"a")]),
        (frame(b"a", 0x42), [Envelope(end=True, payload=b"a")]),
        (frame("你好😀"), [Envelope(end=False, payload='"你好😀"'.encode())]),
        (frame(b"a")[:-1], []),
        (frame(b"a") + b"\x00\x00\x00", [Envelope(end=False, payload=b"a")]),
    ],
    ids=[
        "nothing",
        "empty",
        "two",
        "end",
        "foreign",
        "foreign end",
        "foreign compressed",
        "unknown flag",
        "unknown flag on the end",
        "utf-8",
        "cut in the payload",
        "cut in the header",
    ],
)
def test_envelopes(stream: bytes, expected: list[Envelope]) -> None:
    """Frames come whole in whichever chunks, by bits of their flags, and foreign ones are passed over."""
    assert expected == drip(envelopes, stream)


def test_compressed_frames() -> None:
    """A compressed frame is inflated where gzip was declared, beside plain ones, and also as the last one."""
    stream = frame(GZIPPED, 0x01) + frame(b"b") + frame(GZIPPED, 0x03)
    expected = [
        Envelope(end=False, payload=b'{"a":1}'),
        Envelope(end=False, payload=b"b"),
        Envelope(end=True, payload=b'{"a":1}'),
    ]
    assert expected == drip(lambda chunks: envelopes(chunks, encoding="gzip"), stream)


@pytest.mark.parametrize("encoding", ["", "identity", "br", "zstd"])
def test_compression_that_was_not_declared(encoding: str) -> None:
    """A compressed frame without a known encoding is refused, after the frames before it."""
    seen, _ = refusal([frame(b"a") + frame(GZIPPED, 0x01)], encoding=encoding)
    assert seen == [Envelope(end=False, payload=b"a")]


@pytest.mark.parametrize(
    "payload", [b"", b"{}", GZIPPED[:-1], GZIPPED[:10], b"\x1f\x8b"], ids=["empty", "plain", "cut", "head", "magic"]
)
def test_broken_compression(payload: bytes) -> None:
    """A compressed frame that is not whole gzip is refused."""
    refusal([frame(payload, 0x01)], encoding="gzip")


def test_compression_bomb() -> None:
    """A small frame that inflates over the ceiling is refused, and one that just fits is not."""
    assert len(envelopes([frame(gzip.compress(bytes(MIB)), 0x01)], encoding="gzip")[0].payload) == MIB
    refusal([frame(gzip.compress(bytes(MIB + 1)), 0x01)], encoding="gzip")
    refusal([frame(gzip.compress(bytes(64 * MIB)), 0x01)], encoding="gzip")


@pytest.mark.parametrize("cut", [5, 6, 20])
def test_oversize_frame(cut: int) -> None:
    """A frame over the ceiling is refused by its header alone, after the frames before it."""
    head = frame(b"a")
    stream = head + frame(b"x" * 101)[:cut]
    seen, message = refusal([stream], ceiling=100)
    assert seen == [Envelope(end=False, payload=b"a")]
    assert "101 bytes" in message
    assert refusal([stream[place : place + 1] for place in range(len(stream))], ceiling=100) == (seen, message)


def test_largest_frame() -> None:
    """A frame of exactly the ceiling is taken."""
    assert envelopes([frame(b"x" * 100)], ceiling=100) == [Envelope(end=False, payload=b"x" * 100)]


def test_oversize_foreign_frame() -> None:
    """A foreign frame is held to the ceiling too."""
    refusal([frame(b"x" * 101, 0x80)], ceiling=100)


@given(st.binary(max_size=300))
def test_any_bytes_as_envelopes(stream: bytes) -> None:
    """No bytes raise anything but a protocol error."""
    reader = EnvelopeReader(encoding="gzip", ceiling=100)
    try:
        seen = list(reader.feed(stream))
    except UpstreamProtocolError:
        return
    assert len(seen) <= len(stream) // 5


# --- Cost -----------------------------------------------------------------------------------------------


def dripped_work(reader: SseReader | EnvelopeReader, stream: bytes) -> int:
    """How many bytes a reader touches while `stream` comes in chunks of 128 bytes."""
    buffer = reader._buffer = CountingBuffer()
    seen = 0
    for place in range(0, len(stream), 128):
        seen += len(list(reader.feed(stream[place : place + 128])))
    assert seen == 1
    return buffer.work


@pytest.mark.parametrize(
    ("make", "wrap"),
    [
        (SseReader, lambda size: b"data: " + b"x" * size + b"\n\n"),
        (SseReader, lambda size: b"data: " + b"x" * size + b"\r\n\r\n"),
        (EnvelopeReader, lambda size: frame(b"x" * size)),
    ],
    ids=["sse", "sse with CRLF", "envelope"],
)
def test_dripping_costs_in_proportion(
    make: Callable[[], SseReader | EnvelopeReader], wrap: Callable[[int], bytes]
) -> None:
    """An event of 4 MiB in chunks of 128 bytes costs four times one of 1 MiB, not sixteen times."""
    small = dripped_work(make(), wrap(MIB))
    large = dripped_work(make(), wrap(4 * MIB))
    assert MIB <= small <= 8 * MIB
    assert large <= 5 * small
