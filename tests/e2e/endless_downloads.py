"""Downloads that come to no end, side by side: the time that they are borne is long, and passes beside other tests."""

import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.attachments import PNG, asking_about, picture
from tests.e2e.processes import spooled
from tests.e2e.support import Gateway, RawStream, asking, until
from tests.e2e.web_server import WebServer, endless, silent

_PATIENCE = 90.0
_ASKED = (("silent", False), ("stuck", True), ("dripping", False), ("dripping", True))
"""As many as a worker downloads at a time, each whole or streamed."""


@dataclass(frozen=True)
class Told:
    """What a client was told of a server that never comes to an end, and when; what was left on the gateway's disk."""

    seconds: float
    status: int
    text: str
    spooled_after: list[str]


@dataclass(frozen=True)
class _Answer:
    seconds: float
    status: int
    text: str


class EndlessDownloads:
    """Some requests that have been sent to a gateway of one worker, whose temporary files are in a folder."""

    def __init__(self, gateway: Gateway, folder: Path, answers: dict[tuple[str, bool], "Future[_Answer]"]) -> None:
        self._gateway = gateway
        self._folder = folder
        self._answers = answers

    def told(self, kind: str, *, stream: bool) -> Told:
        """What became of one of them; what is left is looked for when all are over."""
        answer = self._answers[kind, stream].result(_PATIENCE)
        wait(self._answers.values(), _PATIENCE)
        until(lambda: not self._spooled())
        return Told(answer.seconds, answer.status, answer.text, self._spooled())

    def _spooled(self) -> list[str]:
        return spooled(self._gateway.server.worker_pids, self._folder)


@contextmanager
def endless_downloads_of(gateway: Gateway, folder: Path, web: WebServer, token: str) -> Iterator[EndlessDownloads]:
    """Begin them; those that nobody has waited for are left alone at the end of the block."""
    data = picture(1024 * 1024).data
    slow = {"silent": silent(), "stuck": silent(data), "dripping": endless(data, PNG, pause=0.5)}
    urls = {kind: web.put(f"/{kind}.png", answer) for kind, answer in slow.items()}
    with ThreadPoolExecutor(len(_ASKED)) as threads, ExitStack() as stack:
        answers = {}
        for kind, is_streamed in _ASKED:
            part = {"type": "image_url", "image_url": {"url": urls[kind]}}
            body = asking(messages=asking_about(part), stream=is_streamed)
            began = time.monotonic()
            stream = gateway.stream("POST", "/v1/chat/completions", token=token, body=body, timeout=_PATIENCE)
            stack.callback(_left_alone, stream)
            answers[kind, is_streamed] = _read(threads, stream, began)
        yield EndlessDownloads(gateway, folder, answers)


def _read(threads: Executor, stream: RawStream, began: float) -> "Future[_Answer]":
    def read() -> _Answer:
        with stream:
            status, text = stream.response.status, stream.response.read().decode()
            return _Answer(time.monotonic() - began, status, text)

    return threads.submit(read)


def _left_alone(stream: RawStream) -> None:
    with suppress(OSError):  # most have been read to their ends
        stream.hang_up()
