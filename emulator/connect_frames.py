"""Frames of the Connect protocol: one flag byte, a big-endian length, JSON (B1)."""

import gzip
import struct

from emulator.steps import Send
from emulator.values import Json, Malformed, as_object, decode, encode

STREAM_TYPE = "application/connect+json"
END_STREAM = 0x02
COMPRESSED = 0x01

_HEAD = struct.Struct(">BI")


def frame(payload: bytes, flags: int = 0) -> bytes:
    """Put a payload into one frame."""
    return _HEAD.pack(flags, len(payload)) + payload


def read_only_frame(body: bytes) -> Json:
    """Read a request body: exactly one plain frame with a JSON object, or `Malformed` (B1)."""
    if len(body) < _HEAD.size:
        raise Malformed("the body is shorter than a frame's head")
    flags, length = _HEAD.unpack_from(body)
    if flags != 0:
        raise Malformed(f"a request frame has flags 0, not {flags}")
    if length != len(body) - _HEAD.size:
        raise Malformed("the body must be exactly one frame")
    return as_object(decode(body[_HEAD.size :]), "the message")


class FrameWriter:
    """Puts events into frames; with `compress` every one is gzipped and says so in its flags."""

    def __init__(self, *, compress: bool = False) -> None:
        self._compress = compress

    def send(self, event: Json, flags: int = 0, *, compress: bool = False) -> Send:
        """Make the step that sends one event; `compress` does it for this frame alone."""
        payload = encode(event)
        if self._compress or compress:
            return Send(frame(gzip.compress(payload), flags | COMPRESSED))
        return Send(frame(payload, flags))
