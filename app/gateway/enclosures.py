"""The attachments of a request: brought here and looked at before anything is sent, then held by an account.

All that a request holds is checked before the first byte of it goes to Kimi: what is wrong with the last attachment
must not leave the others behind there, because Kimi offers no way to take them back.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from app.accounts.credentials import Credential
from app.attachments.download import Downloads
from app.attachments.intake import checked_name, in_memory
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.chat.request import FilePart, Inline, Message, Part, Remote, Stored, TextPart, unheard
from app.errors import AttachmentRefused, FileNotFound, RequestTooLarge
from app.gateway.files import Files, Known
from app.gateway.holding import Holding, is_other_text
from app.gateway.together import together
from app.kimi.turn import inlined

MAX_ATTACHMENTS = 50
"""Different attachments of one turn. Of a longer history, that has to be sent as a whole, the last ones count."""

MAX_TOGETHER = 4
"""How many times the size of one file all attachments of a turn may have."""

INLINE_BYTES = 64 * 1024
"""Bytes of a text that may stand in the prompt itself, where Kimi does not take it as a file."""

_NO_TEXT = "See the attachment."


@dataclass(frozen=True, slots=True)
class Sent:
    """Messages with their attachments on Kimi's side: `messages` hold none any more, `files` are ids of Kimi's."""

    messages: tuple[Message, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Enclosing:
    """What the attachments of requests are served with."""

    downloads: Downloads
    holding: Holding
    files: Files

    @contextmanager
    def of(self, credentials: Sequence[Credential], cancellation: Cancellation) -> Iterator[Enclosures]:
        """The attachments of one request; what was brought here is let go at the end of the block."""
        with ExitStack() as stack:
            yield Enclosures(self, credentials, cancellation, stack)


class Enclosures:
    """The attachments of one request: each is brought here once, and held once by an account."""

    def __init__(
        self, enclosing: Enclosing, credentials: Sequence[Credential], cancellation: Cancellation, stack: ExitStack
    ) -> None:
        self._with = enclosing
        self._credentials = tuple(credentials)
        self._cancellation = cancellation
        self._stack = stack
        self._contents: dict[str, Content] = {}
        self._records: Known = {}
        self._known: Known | None = None

    def is_reached_by(self, credential: Credential) -> bool:
        """Whether a credential reaches all that was uploaded before."""
        return all(self._with.files.reaches(credential, holder, record) for holder, record in self._records.values())

    def know(self, messages: Sequence[Message]) -> None:
        """Look up what was uploaded before of all that these messages hold: who holds it is to serve.

        What is not there, or not to be had together with the rest, is left for `gather` to refuse if it is needed.
        """
        for part in _distinct(messages):
            if isinstance(part.source, Stored) and part.identity not in self._records:
                with suppress(FileNotFound, AttachmentRefused):
                    self._look_up(part, part.source.file_id)

    def gather(self, messages: Sequence[Message]) -> None:
        """Bring here what these messages hold, as far as it is not here yet; nothing is sent to Kimi.

        Raises AttachmentRefused, RequestTooLarge or FileNotFound, whose `param` names the part.
        """
        parts = _sendable(messages)
        here = self._contents.keys() | self._records.keys()
        missing = [part for part in parts if part.identity not in here]
        for part in missing:
            with _naming(part):
                self._find(part)
        remote = [part for part in missing if isinstance(part.source, Remote)]
        together([partial(self._download, part) for part in remote], self._cancellation)

    def send(self, messages: Sequence[Message], credential: Credential) -> Sent:
        """Have an account hold all attachments of these messages. Raises GatewayError."""
        parts = _sendable(messages)
        if not parts:
            return Sent(tuple(messages), ())
        self.gather(messages)
        found = together([partial(self._hold, part, credential) for part in parts], self._cancellation)
        ids = {part.identity: file_id for part, file_id in zip(parts, found, strict=True)}
        rendered = [self._rendered(message, ids, last=message is messages[-1]) for message in messages]
        files = tuple(dict.fromkeys(file_id for file_id in found if file_id is not None))
        if messages[-1].files and not rendered[-1].text.strip():
            kept = [part for part in rendered[-1].parts if not isinstance(part, TextPart)]
            rendered[-1] = replace(rendered[-1], parts=(*kept, TextPart(_NO_TEXT)))
        return Sent(tuple(rendered), files)

    def send_text(self, name: str, text: str, credential: Credential) -> str:
        """Have an account hold a text as a file of that name; give Kimi's id for it. Raises GatewayError."""
        data = text.encode(errors="replace")
        content = Content(
            name=name,
            media_type="text/plain",
            size=len(data),
            digest=hashlib.sha256(data).hexdigest(),
            is_image=False,
            is_text=True,
            file=io.BytesIO(data),
        )
        return self._with.holding.hold(credential, content, self._cancellation).file_id

    def let_go(self) -> None:
        """Let go of what was brought here: it is on Kimi's side, and the answer may take long."""
        self._stack.close()
        self._contents.clear()

    def _find(self, part: FilePart) -> None:
        """Take in what is here already, or known."""
        match part.source:
            case Inline(data, digest, media_type):
                name = checked_name(part.name)
                limit = self._with.files.max_bytes
                self._take(part, in_memory(data, digest, name, media_type, limit=limit, image=part.image))
            case Stored(file_id):
                self._look_up(part, file_id)
            case Remote():
                checked_name(part.name)

    def _look_up(self, part: FilePart, file_id: str) -> None:
        """Take note of what was uploaded before. Raises FileNotFound or AttachmentRefused."""
        if self._known is None:
            self._known = self._with.files.known(self._credentials)
        found = self._known.get(file_id)
        if found is None:
            raise FileNotFound("There is no file of this id.")
        able = [credential for credential in self._credentials if self._with.files.reaches(credential, *found)]
        if not able:
            raise FileNotFound("The file was uploaded over another protocol of Kimi's: upload it again.")
        if not any(map(self.is_reached_by, able)):
            raise AttachmentRefused("Files of different accounts cannot be used together; upload them again.")
        self._records[part.identity] = found

    def _download(self, part: FilePart, cancellation: Cancellation) -> None:
        if not isinstance(part.source, Remote):
            return
        with _naming(part):
            download = self._with.downloads.fetch(part.source.url, cancellation)
            self._stack.callback(download.spool.close)
            name = checked_name(part.name) or download.name
            self._take(part, download.spool.content(name, download.media_type, image=part.image))

    def _take(self, part: FilePart, content: Content) -> None:
        """Keep what is here. Raises RequestTooLarge if that is more than a turn may hold."""
        self._contents[part.identity] = content
        if sum(taken.size for taken in list(self._contents.values())) > MAX_TOGETHER * self._with.files.max_bytes:
            raise RequestTooLarge("The attachments are too large together.")

    def _hold(self, part: FilePart, credential: Credential, cancellation: Cancellation) -> str | None:
        """Kimi's id of an attachment; None for text that Kimi refuses and that can stand in the prompt."""
        with _naming(part):
            if part.identity in self._records:
                return self._with.files.ready(credential, self._records[part.identity][1], cancellation)
            content = self._contents[part.identity]
            try:
                return self._with.holding.hold(credential, content, cancellation).file_id
            except AttachmentRefused:
                if content.text(INLINE_BYTES) is not None:
                    return None
                if not is_other_text(content):
                    raise
            return self._with.holding.hold_plain(credential, content, cancellation).file_id

    def _rendered(self, message: Message, ids: dict[str, str | None], *, last: bool) -> Message:
        """A message with its attachments as text: what Kimi has not as a file, and a mark where one belongs.

        A last message with one file needs no mark: what it speaks of is plain.
        """
        marked = not last or len(message.files) > 1
        parts: list[Part] = []
        for part in message.parts:
            if not isinstance(part, FilePart):
                parts.append(part)
            elif part.identity not in ids:
                parts.append(TextPart(f"[{'image' if part.image else 'file'}, no longer attached]"))
            elif ids[part.identity] is None:
                content = self._contents[part.identity]
                parts.append(TextPart(inlined(content.name, content.text(INLINE_BYTES) or "")))
            elif marked:
                parts.append(TextPart(self._mark(part.identity)))
        return replace(message, parts=tuple(parts))

    def _mark(self, identity: str) -> str:
        held = self._records[identity][1] if identity in self._records else self._contents[identity]
        return f"[{'image' if held.is_image else 'file'}: {held.name}]"


@contextmanager
def _naming(part: FilePart) -> Iterator[None]:
    """Let errors say which part they are about."""
    try:
        yield
    except (AttachmentRefused, RequestTooLarge, FileNotFound) as error:
        error.param = error.param or part.place
        raise


def _sendable(messages: Sequence[Message]) -> list[FilePart]:
    """The attachments that go with these messages: all, or the last of a long history.

    Raises AttachmentRefused if what has not been answered yet has too many by itself.
    """
    parts = _distinct(messages)
    new = _distinct(unheard(messages))
    if len(new) > MAX_ATTACHMENTS:
        beyond = new[MAX_ATTACHMENTS].place
        raise AttachmentRefused(f"At most {MAX_ATTACHMENTS} files may be attached.", param=beyond)
    again = {part.identity for part in new}
    earlier = [part for part in parts if part.identity not in again]
    dropped = {part.identity for part in earlier[: max(0, len(parts) - MAX_ATTACHMENTS)]}
    return [part for part in parts if part.identity not in dropped]


def _distinct(messages: Sequence[Message]) -> list[FilePart]:
    """All attachments of these messages in their order, each once."""
    parts: dict[str, FilePart] = {}
    for message in messages:
        for part in message.files:
            parts.setdefault(part.identity, part)
    return list(parts.values())
