"""Carries out the steps of a reply, and records in the log what became of them."""

import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus

import gevent

from emulator.exchange import Reply
from emulator.line import CutOnPurposeError, Line
from emulator.log import Entry
from emulator.steps import Cut, Pause, Send, Silence, Step

StartResponse = Callable[[str, list[tuple[str, str]]], Callable[[bytes], object]]

_SENDS_PER_TURN = 16
"""After so many writes without a wait the other greenlets get a turn, the watcher among them."""


def deliver(reply: Reply, line: Line, entry: Entry, start_response: StartResponse) -> Iterator[bytes]:
    """Answer one request: a WSGI body whose every item becomes one HTTP chunk.

    The headers leave before the first step of the body, so a silence can begin right after them.
    """
    line.watch()
    try:
        yield from _carry_out(reply.before, line, entry)
        if line.gone:
            return
        entry.status = reply.status
        start_response(_status_line(reply.status), _headers(reply))(b"")
        yield from _carry_out(reply.steps, line, entry)
        if line.cancelled and not line.gone:
            for ending in reply.on_cancel():
                yield ending.data
                entry.frames_sent += ending.frames
        entry.finished = not line.gone
    except CutOnPurposeError:
        raise
    except (OSError, GeneratorExit):
        line.gone = True  # the server closes this generator when a write has failed
        raise
    finally:
        entry.client_closed = line.gone
        entry.ended_at = time.time()
        line.unwatch()
        reply.on_close()


def _carry_out(steps: Iterable[Step], line: Line, entry: Entry) -> Iterator[bytes]:
    for count, step in enumerate(steps, start=1):
        match step:
            case Send(data, frames):
                yield data
                entry.frames_sent += frames
                if count % _SENDS_PER_TURN == 0:
                    gevent.sleep(0)
            case Pause(seconds):
                line.sleep(seconds)
            case Silence():
                line.sleep(None)
            case Cut(how):
                line.cut(how)
        if line.interrupted:
            return


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Planned"  # a test may plan a code that has no name, as Cloudflare's 52x


def _headers(reply: Reply) -> list[tuple[str, str]]:
    headers = [("Content-Type", reply.content_type)]
    if reply.length is not None:
        headers.append(("Content-Length", str(reply.length)))
    return headers + list(reply.headers)
