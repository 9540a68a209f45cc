"""Faults that need not know what a frame means: silence, cuts, drips, strange chunks."""

import random
from collections.abc import Callable, Iterable
from itertools import repeat

from emulator.answers import Answer
from emulator.exchange import Reply, whole_reply
from emulator.steps import Cut, Pause, Send, Silence, Step, Steps, pause
from emulator.values import encode

BEFORE_HEADERS = -1
"""A value of cut_after: the connection ends before the status line."""

_LARGEST_RANDOM_CHUNK = 48

_HTML = (
    b"<!DOCTYPE html><html><head><title>Just a moment...</title></head>"
    b"<body>Checking your browser before you enter.</body></html>"
)


def preamble(answer: Answer) -> tuple[Step, ...]:
    """Give what happens before the status line of a planned answer."""
    steps = tuple(pause(answer.first_delay))
    if answer.faults.stall_headers:
        return (*steps, Silence())
    if answer.faults.cut_after == BEFORE_HEADERS:
        return (*steps, Cut(answer.faults.cut))
    return steps


def plain_answer(answer: Answer, default_type: str) -> Reply | None:
    """Give the reply of an answer that was planned as plain HTTP, or None if it is a stream."""
    faults = answer.faults
    if faults.html:
        status, body, content_type = answer.status or 200, _HTML, "text/html; charset=UTF-8"
    elif faults.json_error is not None:
        status, body = faults.json_error[0], encode(faults.json_error[1])
        content_type = default_type
    elif answer.status is not None and answer.frames is None and answer.lines is None:
        status, body, content_type = answer.status, _plain_body(answer.body), default_type
    else:
        return None
    whole = whole_reply(status, body, answer.content_type or content_type, answer.headers)
    steps = faulty_bytes(iter(whole.steps), answer)
    return Reply(status, whole.content_type, steps, len(body), whole.headers, preamble(answer))


def faulty_stream(steps: Steps, answer: Answer, heartbeat: Callable[[], Send]) -> Steps:
    """Rewrite the steps of a stream by the answer's faults.

    The order matters: heartbeats go into the silences, and count as frames; bytes are re-cut last.
    """
    faults = answer.faults
    if faults.stall_after is not None:
        steps = _broken_after(steps, faults.stall_after, Silence())
    if faults.cut_after is not None and faults.cut_after != BEFORE_HEADERS:
        steps = _broken_after(steps, faults.cut_after, Cut(faults.cut))
    steps = _after_silence(steps, answer.silent_after_headers)
    if faults.heartbeat_every > 0:
        steps = _with_heartbeats(steps, faults.heartbeat_every, heartbeat)
    return faulty_bytes(steps, answer)


def faulty_bytes(steps: Steps, answer: Answer) -> Steps:
    """Re-cut or drip a body without regard to its frames."""
    if answer.faults.drip > 0:
        return _dripping(steps, answer.faults.drip)
    if answer.chunk:
        return _recut(steps, _sizes(answer))
    return steps


def _plain_body(body: object) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else encode(body)


def _after_silence(steps: Steps, seconds: float) -> Steps:
    yield from pause(seconds)
    yield from steps


def _broken_after(steps: Steps, frames: int, fault: Step) -> Steps:
    """Pass on so many frames, then let the fault happen instead of the next one."""
    sent = 0
    for step in steps:
        if sent >= frames:
            break
        yield step
        sent += step.frames if isinstance(step, Send) else 0
    yield fault


def _with_heartbeats(steps: Steps, every: float, heartbeat: Callable[[], Send]) -> Steps:
    for step in steps:
        match step:
            case Pause(seconds):
                while seconds > every:
                    yield Pause(every)
                    yield heartbeat()
                    seconds -= every
                yield Pause(seconds)
            case Silence():
                for wait in repeat(Pause(every)):
                    yield wait
                    yield heartbeat()
            case _:
                yield step


def _dripping(steps: Steps, interval: float) -> Steps:
    for step in steps:
        if isinstance(step, Send):
            for position in range(len(step.data)):
                last = position == len(step.data) - 1
                yield Send(step.data[position : position + 1], step.frames if last else 0)
                yield Pause(interval)
        else:
            yield step


def _sizes(answer: Answer) -> Iterable[int]:
    """Give the sizes of the chunks, in bytes, without end."""
    if answer.chunk > 0:
        return repeat(answer.chunk)
    dice = random.Random(answer.seed)
    return iter(lambda: dice.randint(1, _LARGEST_RANDOM_CHUNK), 0)


def _recut(steps: Steps, sizes: Iterable[int]) -> Steps:
    """Cut the bytes anew; what is left over goes out before any pause, so that nothing is late."""
    endless = iter(sizes)
    size, rest, frames = next(endless), b"", 0
    for step in steps:
        if isinstance(step, Send):
            rest, frames = rest + step.data, frames + step.frames
            while len(rest) >= size:
                yield Send(rest[:size], frames)
                rest, frames, size = rest[size:], 0, next(endless)
        else:
            yield from (Send(rest, frames),) if rest else ()
            rest, frames = b"", 0
            yield step
    yield from (Send(rest, frames),) if rest else ()
