"""Files on Kimi's side: uploaded, and read by Kimi before they can be asked about."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import (
    AttachmentRefused,
    ConversationNotFound,
    FileNotFound,
    GatewayError,
    InvalidRequest,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi import connect_files, rest_errors, rest_files
from app.kimi.client import Account
from app.kimi.exchange import send
from app.kimi.framing import SseReader
from app.kimi.http import HttpAnswer
from app.kimi.reading import Reading
from app.kimi.rest import STREAM_TYPE
from app.kimi.sites import Sites
from app.kimi.transport import Transport

PAUSES = (0.2, 0.4, 0.8, 1.0, 1.5, 2.0)
"""Seconds between two questions how far Kimi is; the last one goes on."""

READ_WITHIN = 120.0
"""Seconds that Kimi is given to read a file (protocol.md B12)."""

IMAGE_WITHIN = 10.0
"""Seconds that Kimi is given to look at an image: it can be asked about before."""

_OK = range(200, 300)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The file that is waited for; `left` tells the seconds that are left."""

    account: Account
    file_id: str
    is_image: bool
    left: Callable[[], float]


class _Files(Protocol):
    """What a protocol does with files."""

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str: ...
    def reading(self, asked: _Asked, cancellation: Cancellation) -> Reading: ...


class Storage:
    """Uploads files, and waits until they are read. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        transport: Transport,
        sites: Sites,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[Cancellation, float], None] = Cancellation.wait,
    ) -> None:
        self._protocols: dict[str, _Files] = {
            "connect": _ConnectFiles(transport, sites),
            "rest": _RestFiles(transport, sites),
        }
        self._clock = clock
        self._wait = wait

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str:
        """Send a file; give Kimi's id for it.

        Raises AttachmentRefused or RequestTooLarge with Kimi's reason, or another GatewayError.
        """
        return self._protocols[account.protocol].upload(account, content, cancellation)

    def await_read(
        self,
        account: Account,
        file_id: str,
        cancellation: Cancellation,
        *,
        is_image: bool,
        within: float = READ_WITHIN,
    ) -> None:
        """Wait until Kimi has read a file.

        Raises AttachmentRefused with Kimi's reason if it cannot, FileNotFound if it has no such file, UpstreamTimeout
        when it takes more than `within` seconds. An image may be asked about before it is read (protocol.md A7, B12):
        it is not waited for in vain.
        """
        deadline = self._clock() + (min(within, IMAGE_WITHIN) if is_image else within)
        asked = _Asked(account, file_id, is_image, lambda: deadline - self._clock())
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            try:
                found = self._protocols[account.protocol].reading(asked, cancellation)
            except (UpstreamProtocolError, UpstreamTimeout):
                if is_image:
                    return
                raise
            if found.refusal is not None:
                why = f": {found.refusal}" if found.refusal else "."
                raise AttachmentRefused(f"Kimi cannot read the file{why}")
            if found.suffices(is_image=is_image):
                return
            if asked.left() < pause:
                break
            self._wait(cancellation, pause)
        if not is_image:
            raise UpstreamTimeout(f"Kimi has not read the file within {within:g} s.")


class _ConnectFiles:
    """Files over the Connect protocol (protocol.md B12)."""

    def __init__(self, transport: Transport, sites: Sites) -> None:
        self._transport = transport
        self._sites = sites

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str:
        site = self._sites.web_for(overseas=account.overseas)
        return connect_files.uploaded(
            self._transport.upload(connect_files.upload(site, account.token, content), cancellation)
        )

    def reading(self, asked: _Asked, cancellation: Cancellation) -> Reading:
        site = self._sites.web_for(overseas=asked.account.overseas)
        try:
            request = connect_files.progress(site, asked.account.token, asked.file_id)
            answer = send(self._transport, request, cancellation=cancellation)
        except (ConversationNotFound, InvalidRequest):
            raise _not_there() from None  # by the code alone, "not found" is said of conversations
        return connect_files.reading(answer, asked.file_id)


class _RestFiles:
    """Files over the legacy protocol (protocol.md A7): a place is asked for, filled, and made a file."""

    def __init__(self, transport: Transport, sites: Sites) -> None:
        self._transport = transport
        self._base = sites.legacy

    def upload(self, account: Account, content: Content, cancellation: Cancellation) -> str:
        request = rest_files.request_place(self._base, account.token, content)
        place = rest_files.place_of(self._transport.fetch(request, cancellation=cancellation), self._base)
        stored = self._transport.upload(rest_files.put(place, content), cancellation)
        if stored.status not in _OK:
            raise _storage_error(stored)
        request = rest_files.register(self._base, account.token, content, place)
        return rest_files.registered(self._transport.fetch(request, cancellation=cancellation))

    def reading(self, asked: _Asked, cancellation: Cancellation) -> Reading:
        """The newest word on a file: the stream ends when the site has said what it knows, or with our time."""
        request = rest_files.parse(self._base, asked.account.token, asked.file_id)
        newest = Reading(done=False)
        with self._transport.stream(request, cancellation) as stream:
            if stream.status not in _OK or stream.media_type != STREAM_TYPE:
                answer = stream.answer()
                raise _not_there() if rest_files.is_unknown(answer) else rest_errors.from_answer(answer)
            reader = SseReader()
            while (left := asked.left()) > 0:
                try:
                    data = stream.read(within=left)
                except UpstreamTimeout:
                    break
                for event in reader.feed(data):
                    newest = rest_files.reading(event.data, asked.file_id) or newest
                    if newest.suffices(is_image=asked.is_image):
                        return newest
                if not data:
                    break
        return newest


def _not_there() -> FileNotFound:
    return FileNotFound("Kimi has no file of this id.")


def _storage_error(answer: HttpAnswer) -> GatewayError:
    """Why the storage host did not take the bytes: its answers are another vendor's, and mean nothing to a client."""
    if answer.status == 413:  # noqa: PLR2004
        return rest_files.refusal(answer)
    return UpstreamUnavailable(f"Kimi's storage answered {answer.status} to the file.")
