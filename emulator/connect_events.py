"""The events of a Connect stream, each as the captures show it (B6)."""

from emulator.answers import KimiError
from emulator.connect_frames import END_STREAM, FrameWriter
from emulator.steps import Send
from emulator.values import Json


class Events:
    """Numbers events and blocks, and puts them into frames.

    eventOffset rises by one with each real event; a heartbeat repeats the last one, and the very
    first has none (captures/01). Block ids are small numbers that restart with each message.
    """

    def __init__(self, frames: FrameWriter) -> None:
        self._frames = frames
        self._offset = 0
        self._blocks = 0

    def next_block(self) -> str:
        """Give the id of a new block."""
        self._blocks += 1
        return str(self._blocks)

    def set(self, mask: str, *, squeeze: bool = False, **content: object) -> Send:
        """Replace the masked field; an empty mask means the whole object."""
        return self._event("set", mask, content, squeeze=squeeze)

    def append(self, mask: str, **content: object) -> Send:
        """Extend the masked string or list."""
        return self._event("append", mask, content)

    def operate(self, operation: str, mask: str, **content: object) -> Send:
        """Do what no client knows; for the unknown_op fault."""
        return self._event(operation, mask, content)

    def bare(self, **content: object) -> Send:
        """Send an event that has neither op nor mask: done, or an error."""
        self._offset += 1
        return self._frames.send({"eventOffset": self._offset, **content})

    def heartbeat(self) -> Send:
        """Send a sign of life."""
        offset: Json = {"eventOffset": self._offset} if self._offset else {}
        return self._frames.send({**offset, "heartbeat": {}})

    def end(self, error: KimiError | None = None) -> Send:
        """Send the end-stream frame: an empty object, or the error (B9)."""
        payload: Json = {} if error is None else {"error": error.as_json()}
        return self._frames.send(payload, END_STREAM)

    def _event(self, operation: str, mask: str, content: Json, *, squeeze: bool = False) -> Send:
        self._offset += 1
        event: Json = {"op": operation}
        if mask:
            event["mask"] = mask
        return self._frames.send({**event, "eventOffset": self._offset, **content}, compress=squeeze)
