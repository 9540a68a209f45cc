"""From events to an HTTP answer, for every dialect.

The status is held back until the first word, an error, or the grace limit: an error within that time has its true
status. After it the headers are out, silence is filled with keep-alives, and an error is told in the stream, with no
mark of success behind it. A client that hangs up ends the answer, also while the upstream is silent.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self

import orjson
from flask import Response

from app.chat.completion import Completion, Fold
from app.chat.events import Event, Failed, Preamble, PromptMoved, Warned
from app.chat.stages import ended
from app.dialects import sse
from app.dialects.hangup import break_off, watching
from app.dialects.pump import Pump
from app.dialects.pump import Source as Answer
from app.errors import UpstreamTimeout, UpstreamTruncated
from app.observability.record import RequestRecord

MAX_WARNINGS = 1000
"""Characters of the header that tells of warnings: proxies drop answers whose headers are large."""


_UNFIT = re.compile(r"[^!-+\--~]")
"""What cannot stand in a word of that header: all but visible ASCII, and the comma, which parts the words."""


class Encoder(Protocol):
    """One answer in a dialect's words."""

    content_type: str

    def feed(self, events: list[Event]) -> bytes:
        """The bytes of these events, one write; b"" if they say nothing in this dialect."""

    def keep_alive(self) -> bytes:
        """What fills silence; b"" where the dialect has nothing for it."""

    def whole(self, completion: Completion) -> dict[str, object]:
        """The answer as one object."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: how long the status is held back, the silence before a keep-alive, the most for a whole answer."""

    grace: float
    keepalive: float
    whole_answer: float | None = None


def respond(
    answer: Answer,
    encoder: Encoder,
    *,
    stream: bool,
    pace: Pace,
    environ: Mapping[str, object],
    record: RequestRecord,
    breaks_off: bool = False,
) -> Response:
    """Run `answer` and give it as a stream or whole.

    `breaks_off` closes the connection behind an error in the stream, for a client that takes any end for a good one.
    Raises the answer's error where it came before anything was sent; the error becomes a status further out.
    """
    with ExitStack() as stack:
        pump = Pump(answer)
        stack.callback(pump.close)
        stack.enter_context(watching(environ.get("gunicorn.socket"), pump.cancellation.cancel))
        if not stream:
            return _whole(pump, encoder, pace, record)
        first = _prime(pump, pace.grace, record)
        resources = stack.pop_all()
        broken = partial(break_off, environ.get("gunicorn.socket")) if breaks_off else None
        body = _EventStream(
            pump, encoder, first=first, keepalive=pace.keepalive, record=record, resources=resources, broken=broken
        )
        # Passed through directly, the body is all that the server closes; the response has to be closed by it.
        response = Response(body, content_type=encoder.content_type, headers=sse.HEADERS, direct_passthrough=True)
        resources.callback(response.close)
        response.headers.update(_notes(first))
        return response


def _whole(pump: Pump, encoder: Encoder, pace: Pace, record: RequestRecord) -> Response:
    fold = Fold()
    deadline = None if pace.whole_answer is None else time.monotonic() + pace.whole_answer
    noted: list[Event] = []
    while True:
        events = _taken(pump, None if deadline is None else max(0.0, deadline - time.monotonic()), record)
        if events is None:
            raise UpstreamTimeout("The answer was not whole in the time this gateway allows; ask for a stream.")
        fold.feed(events)
        noted += [event for event in events if isinstance(event, PromptMoved | Warned)]
        if ended(events):
            body = orjson.dumps(encoder.whole(fold.completion()))
            return Response(body, content_type="application/json", headers=_notes(noted))


def _notes(events: Sequence[Event]) -> dict[str, str]:
    """What the headers tell of an answer."""
    notes = {"x-usage": "estimated"}
    if PromptMoved() in events:
        notes["x-prompt"] = "file"
    if warnings := _warnings(events):
        notes["x-warnings"] = warnings
    return notes


def _warnings(events: Sequence[Event]) -> str:
    """The words of all warnings, each once and as a header can hold them; those that find no room are left out."""
    line = ""
    words = (_UNFIT.sub("?", event.word) for event in events if isinstance(event, Warned))
    for word in dict.fromkeys(words):
        longer = f"{line}, {word}" if line else word
        if len(longer) > MAX_WARNINGS:
            break
        line = longer
    return line


def _prime(pump: Pump, grace: float, record: RequestRecord) -> list[Event]:
    """The events up to the first word, or those of the grace time; raises the error that comes before any word."""
    first: list[Event] = []
    deadline = time.monotonic() + grace
    while (left := deadline - time.monotonic()) > 0:
        events = _taken(pump, left, record)
        if events is None:
            break
        first += events
        for event in first:
            if isinstance(event, Failed):
                raise event.error
            if not isinstance(event, Preamble):
                return first
    return first


def _taken(pump: Pump, timeout: float | None, record: RequestRecord) -> list[Event] | None:
    """What the pump gives; an answer that is over without its end mark is a failure, never a quiet end."""
    events = pump.get(timeout)
    if events is None:
        return None
    if not events:
        events = [Failed(UpstreamTruncated("The answer ended before its end mark."))]
    record.saw(events)
    return events


class _EventStream:
    """The body of a streamed answer; a class, so that closing it works also where it was never begun."""

    def __init__(
        self,
        pump: Pump,
        encoder: Encoder,
        *,
        first: list[Event],
        keepalive: float,
        record: RequestRecord,
        resources: ExitStack,
        broken: Callable[[], None] | None,
    ) -> None:
        self._pump = pump
        self._encoder = encoder
        self._first: list[Event] | None = first
        self._keepalive = keepalive
        self._record = record
        self._over = self._failed = False
        self._broken = broken
        self.close: Callable[[], None] = resources.close

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        """The next bytes to write: events, or a keep-alive after silence."""
        if self._first is not None:
            first, self._first = self._first, None
            # Headers leave with the first write, and the client has waited for them through the grace time.
            return self._encoded(first) or self._encoder.keep_alive()
        deadline = time.monotonic() + self._keepalive
        while not self._over:
            events = _taken(self._pump, max(0.0, deadline - time.monotonic()), self._record)
            if events is None:
                return self._encoder.keep_alive()
            if data := self._encoded(events):
                return data
        if self._failed and self._broken is not None:
            self._broken()  # what was given before has been written: the server asks for more only then
        raise StopIteration

    def _encoded(self, events: list[Event]) -> bytes:
        self._over = ended(events)
        self._failed = self._over and isinstance(events[-1], Failed)
        return self._encoder.feed(events)
