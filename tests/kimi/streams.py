"""Streams for the decoders' tests, and what comes out of them in a form that can be compared.

The framing is written here once more, by hand: a mistake of the gateway's own must not be its own proof.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from app.chat.events import Event, Failed, Finished, TextDelta, ThinkingDelta
from app.errors import GatewayError
from app.kimi.connect_decoder import ConnectDecoder
from app.kimi.rest import RestDecoder

WIRE: Final = Path(__file__).parents[1] / "wire"
END: Final = 0x02
CHAT_ID: Final = "chat-1"
USER_ID: Final = "user-1"
MODEL_ID: Final = "model-1"


class Decoder(Protocol):
    """What both decoders are."""

    def feed(self, data: bytes) -> list[Event]:
        """Take in bytes."""

    def finish(self) -> list[Event]:
        """Take in the end."""


@dataclass(frozen=True)
class Failure:
    """A Failed that can be compared: by its kind of error."""

    kind: type[GatewayError]


Seen = Event | Failure


def run(decoder: Decoder, chunks: Iterable[bytes]) -> list[Seen]:
    """Feed a decoder to the end; give all that came out."""
    events: list[Event] = []
    for chunk in chunks:
        events += decoder.feed(chunk)
    events += decoder.finish()
    return [Failure(type(event.error)) if isinstance(event, Failed) else event for event in events]


def text_of(events: Iterable[Seen]) -> str:
    """The answer's text."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def thinking_of(events: Iterable[Seen]) -> str:
    """The model's thinking."""
    return "".join(event.text for event in events if isinstance(event, ThinkingDelta))


def ends(events: Sequence[Seen]) -> list[int]:
    """Where the terminal events stand."""
    return [place for place, event in enumerate(events) if isinstance(event, Finished | Failure)]


# --- Connect ------------------------------------------------------------------------------------


def frame(value: object, flags: int = 0) -> bytes:
    """One envelope around a JSON value, or around bytes as they are."""
    payload = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    return bytes([flags, *len(payload).to_bytes(4, "big")]) + payload


def body(*values: object, end: object = None) -> bytes:
    """Envelopes around `values` and the end-stream frame, `{}` unless `end` says otherwise."""
    return b"".join(map(frame, values)) + frame({} if end is None else end, END)


def decode(chunks: Iterable[bytes], *, encoding: str = "") -> list[Seen]:
    """What the Connect decoder makes of a body."""
    return run(ConnectDecoder(encoding=encoding), chunks)


def block(op: str | None, mask: str | None, **content: object) -> dict[str, object]:
    """A frame about a block."""
    return _change(op, mask, "block", content)


def message(op: str | None, mask: str | None, **content: object) -> dict[str, object]:
    """A frame about a message."""
    return _change(op, mask, "message", content)


def _change(op: str | None, mask: str | None, kind: str, content: object) -> dict[str, object]:
    value: dict[str, object] = {kind: content}
    if op is not None:
        value["op"] = op
    if mask is not None:
        value["mask"] = mask
    return value


def said(text: str, identity: str = "9", op: str = "set") -> dict[str, object]:
    """A frame with text of the answer."""
    return block(op, "block.text" if op == "set" else "block.text.content", id=identity, text={"content": text})


def thought(text: str, identity: str = "3", op: str = "set") -> dict[str, object]:
    """A frame with thinking."""
    return block(op, "block.think" if op == "set" else "block.think.content", id=identity, think={"content": text})


OPENING: Final[tuple[dict[str, object], ...]] = (
    {"heartbeat": {}},
    {"op": "set", "mask": "chat.lastRequest", "chat": {"id": CHAT_ID, "lastRequest": {}}},
    message(
        "set",
        "message",
        id=USER_ID,
        role="user",
        status="MESSAGE_STATUS_COMPLETED",
        blocks=[{"messageId": "", "text": {"content": "the prompt"}}],
    ),
    message("set", "message", id=MODEL_ID, role="assistant", status="MESSAGE_STATUS_GENERATING"),
)
COMPLETED: Final = message("set", "message.status", id=MODEL_ID, status="MESSAGE_STATUS_COMPLETED")
DONE: Final[dict[str, object]] = {"eventOffset": 9, "done": {}}


def turn(*values: object) -> bytes:
    """A whole answer with `values` in its middle."""
    return body(*OPENING, *values, COMPLETED, DONE)


def answered(*values: object) -> list[Seen]:
    """What comes out of a whole answer, without its opening and its Finished."""
    opened, *middle, finished = decode([turn(*values)])
    assert type(opened).__name__ == "Opened", opened
    assert finished == Finished(), finished
    return middle


def refused(*values: object, end: object = None) -> type[GatewayError]:
    """The kind of error that ends an answer."""
    *_, last = decode([body(*OPENING, *values, end=end)])
    assert isinstance(last, Failure), last
    return last.kind


# --- The legacy site ------------------------------------------------------------------------------


def lines(*events: object) -> bytes:
    """Server-sent events as the legacy site writes them."""
    return b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)


def decode_legacy(chunks: Iterable[bytes]) -> list[Seen]:
    """What the legacy decoder makes of a body."""
    return run(RestDecoder(), chunks)


# --- Captures ---------------------------------------------------------------------------------------


def capture(number: str) -> list[dict[str, Any]]:
    """The rows of a capture, without its header."""
    (path,) = WIRE.glob(f"{number}_*.jsonl")
    _, *rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return rows


def captured_frames(number: str) -> list[bytes]:
    """The envelopes of a captured Connect stream."""
    return [_captured_frame(row) for row in capture(number)]


def _captured_frame(row: dict[str, Any]) -> bytes:
    if "_frame_flags" in row:
        return frame(row["_payload"], row["_frame_flags"])
    if "f" in row:
        return frame(row["e"], row["f"])
    return frame(row)
