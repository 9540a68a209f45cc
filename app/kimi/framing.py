"""Bytes to frames, without sockets: Connect envelopes and server-sent events.

Both readers take the bytes as the network cut them and give whole frames; both have a ceiling on what they
hold. Neither judges the end of a stream: the decoders know what an answer must end with.

Server-sent events are parsed by sseclient-py. By itself it merges events at mixed line ends, keeps the byte order
mark, dies of bad UTF-8, dispatches an event cut off by the end of the stream, forgets the last event id, and
buffers in quadratic time; so it is handed whole events with every line end normalised and all bytes valid.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sseclient import SSEClient

from app.errors import UpstreamProtocolError

MAX_FRAME = 16 * 1024 * 1024
"""Bytes; the largest frames known (search results) have about 5 KB."""

MAX_EVENT_LINES = 1_000
"""Lines of one server-sent event: sseclient-py joins them in quadratic time."""

END_STREAM = 0x02
COMPRESSED = 0x01
FOREIGN = 0x80
"""Set by gRPC-web trailers; no Connect server sends it, some proxies do (protocol.md B1)."""

_HEADER = 5
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Envelope:
    """One frame of a Connect stream: `end` marks the last one, whose payload tells success or error."""

    end: bool
    payload: bytes


def envelope(payload: bytes) -> bytes:
    """One uncompressed data frame: flags 00, length as uint32 big-endian, payload (protocol.md B1)."""
    return b"\x00" + len(payload).to_bytes(4, "big") + payload


class EnvelopeReader:
    """Cuts a byte stream into Connect envelopes.

    `encoding` is what the answer declared in `connect-content-encoding` ("" if nothing).
    """

    def __init__(self, *, encoding: str = "", ceiling: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._encoding = encoding
        self._ceiling = ceiling

    def feed(self, data: bytes) -> Iterator[Envelope]:
        """Give the envelopes that `data` completed.

        Raises UpstreamProtocolError at a frame over the ceiling or one that cannot be decompressed; the envelopes
        before it have been given by then.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= _HEADER:
                flags = buffer[start]
                size = int.from_bytes(buffer[start + 1 : start + _HEADER], "big")
                if size > self._ceiling:
                    raise UpstreamProtocolError(
                        f"Kimi announced a frame of {size} bytes; at most {self._ceiling} are taken."
                    )
                end = start + _HEADER + size
                if len(buffer) < end:
                    return
                payload = bytes(buffer[start + _HEADER : end])
                start = end
                if flags & FOREIGN:
                    continue
                if flags & COMPRESSED:
                    payload = self._inflate(payload)
                yield Envelope(end=bool(flags & END_STREAM), payload=payload)
        finally:
            del buffer[:start]

    def _inflate(self, payload: bytes) -> bytes:
        if self._encoding != "gzip":
            raise UpstreamProtocolError("Kimi sent a compressed frame without naming a known compression.")
        inflater = zlib.decompressobj(wbits=_GZIP_WINDOW)
        try:
            plain = inflater.decompress(payload, self._ceiling + 1)
        except zlib.error as error:
            raise UpstreamProtocolError("Kimi sent a compressed frame that is broken.") from error
        if len(plain) > self._ceiling or not inflater.eof:
            raise UpstreamProtocolError("Kimi sent a compressed frame that is cut off or too large.")
        return plain


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One server-sent event; `id` is the last event id in force, "" if none."""

    event: str
    data: str
    id: str


class _WholeEvents(SSEClient):
    """sseclient-py over one event that is already whole, so that it need not look for its end again."""

    def __init__(self, block: bytes) -> None:
        super().__init__(iter((block,)))
        self._block = block

    def _read(self) -> Iterator[bytes]:
        yield self._block


_BOM = b"\xef\xbb\xbf"
_KEPT_FIELD = re.compile(rb"(?:\A|\n)(?:id|retry)(?:[:\n]|\Z)")
_MILLISECONDS = re.compile("[0-9]{1,18}")
"""As many digits as a clock may need: int() refuses thousands of them."""


class SseReader:
    """Cuts a byte stream into server-sent events as the WHATWG standard has them.

    `retry` is the last valid reconnection time in milliseconds, `last_event_id` the last id seen.
    """

    def __init__(self, *, ceiling: int = MAX_FRAME) -> None:
        self.retry: int | None = None
        self.last_event_id = ""
        self._buffer = bytearray()
        self._ceiling = ceiling
        self._at_start = True
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[SseEvent]:
        """Give the events that `data` completed; raises UpstreamProtocolError at one over the ceiling."""
        for block in self._blocks(data):
            if len(block) > self._ceiling or block.count(b"\n") > MAX_EVENT_LINES:
                raise UpstreamProtocolError("Kimi sent an event that is too large.")
            text = _valid_utf8(block)
            if _KEPT_FIELD.search(text):
                self._note_fields(text)
            for event in _WholeEvents(text).events():
                yield SseEvent(event=event.event, data=event.data, id=self.last_event_id)
        if len(self._buffer) > self._ceiling + len("\n"):
            raise UpstreamProtocolError("Kimi sent an event that is too large.")

    def _blocks(self, data: bytes) -> list[bytes]:
        """Whole events with LF line ends, without the blank line that ends them."""
        if not data:
            return []
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]  # the second half of a CRLF; the CR has ended the line already
        self._after_cr = data.endswith(b"\r") if data else False
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        scanned = max(0, len(self._buffer) - 1)
        self._buffer += data
        end = self._buffer.rfind(b"\n\n", scanned)
        if end < 0:
            return []
        whole = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        if self._at_start:
            self._at_start = False
            whole = whole.removeprefix(_BOM)
        return whole.split(b"\n\n")

    def _note_fields(self, block: bytes) -> None:
        """Keep what outlives an event: sseclient-py forgets it, and drops events without data whole."""
        for line in block.decode().split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id" and "\0" not in value:
                self.last_event_id = value
            elif name == "retry" and _MILLISECONDS.fullmatch(value):
                self.retry = int(value)


def _valid_utf8(block: bytes) -> bytes:
    try:
        block.decode()
    except UnicodeDecodeError:
        return block.decode(errors="replace").encode()
    return block
