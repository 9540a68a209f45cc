"""Takes in the bytes of attachments, from wherever they come, and looks at them before anything is sent on.

Bytes that arrive piece by piece are kept in memory while they are few and on disk from then on; they are counted and
hashed as they pass. What is taken in is refused here if it is empty, too large, or not what it is said to be.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tempfile
import unicodedata
from typing import BinaryIO, cast

from app.attachments import sniff
from app.chat.content import Content
from app.errors import AttachmentRefused, Overloaded, RequestTooLarge

IN_MEMORY = 512 * 1024
"""Bytes of an attachment that are kept in memory."""

MAX_NAME = 200
"""Characters of a file name."""

_CONTROL = {"Cc", "Cs", "Zl", "Zp"}
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They turn the direction of writing, and so can make one extension look like another."""

_MIB = 1024 * 1024
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
"""RFC 6838: it goes into a header."""


class Spool:
    """A file that does not exist yet: it takes in at most `limit` bytes, and is gone when it is closed."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self._limit = limit
        self._hash = hashlib.sha256()
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 # `close` is our own

    def write(self, data: bytes) -> int:
        """Take in more. Raises RequestTooLarge, or Overloaded where the disk has no room."""
        self.size += len(data)
        if self.size > self._limit:
            raise too_large(self._limit)
        self._hash.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            raise _no_room() from error

    def content(self, name: str | None, declared: str | None, *, image: bool = False) -> Content:
        """What was taken in; see `looked_at`. Raises Overloaded where the disk has no room."""
        try:
            self._file.flush()
        except OSError as error:
            raise _no_room() from error
        file = cast("BinaryIO", self._file)
        return looked_at(file, self.size, self._hash.hexdigest(), name, declared, image=image)

    def close(self) -> None:
        """Let go of all bytes."""
        with contextlib.suppress(OSError):  # of a full disk, on which the last of them were to be written
            self._file.close()


def in_memory(
    data: bytes, digest: str, name: str | None, declared: str | None, *, limit: int, image: bool = False
) -> Content:
    """Bytes that are there already, at most `limit`; see `looked_at`."""
    if len(data) > limit:
        raise too_large(limit)
    return looked_at(io.BytesIO(data), len(data), digest, name, declared, image=image)


def looked_at(
    file: BinaryIO, size: int, digest: str, name: str | None, declared: str | None, *, image: bool = False
) -> Content:
    """Content, if the bytes are something that can be sent on.

    `name` is what the client calls it and `declared` the media type that it, or a server, gives; `image` says that it
    has to be one. Raises AttachmentRefused.
    """
    if size == 0:
        raise AttachmentRefused("The file is empty: it has 0 bytes.")
    file.seek(0)
    found = sniff.sniffed(file.read(sniff.HEAD))
    file.seek(0)
    if image and (found == sniff.SVG or not (found.startswith("image/") or found in _DOCUMENTS)):
        raise AttachmentRefused(f"This is no image that can be read, but {_called(found)}.")
    kind = _media_type(name, declared, found)
    return Content(
        name=_full_name(name, kind, digest, image=found.startswith("image/")),
        media_type=kind,
        size=size,
        digest=digest,
        is_image=found.startswith("image/") and found != sniff.SVG,
        is_text=sniff.is_textual(found),
        file=file,
    )


def checked_name(name: str | None) -> str | None:
    """A file name of a client's as it may be used, None for none.

    Raises AttachmentRefused for one with path parts or control characters: nobody's file is called so.
    """
    if name is None or not name.strip():
        return None
    # Shortened before it is normalised, because that takes quadratic time for a name made of accents.
    name = unicodedata.normalize("NFC", _short(name.strip(), 2 * MAX_NAME))
    if "/" in name or "\\" in name or set(name) == {"."}:
        raise AttachmentRefused("The file name has path parts; send the name alone.")
    if any(map(_is_control, name)):
        raise AttachmentRefused("The file name has control characters.")
    return _short(name, MAX_NAME)


def cleaned_name(name: str | None) -> str | None:
    """The same of a name that a server gave: what is not fit is left out."""
    last = re.split(r"[/\\]", name or "")[-1]
    kept = "".join(character for character in last if not _is_control(character)).strip()
    return None if set(kept) <= {".", " "} else checked_name(kept)


def too_large(limit: int) -> RequestTooLarge:
    """The error of a file with too many bytes."""
    return RequestTooLarge(f"The file is larger than the {limit / _MIB:g} MiB that are allowed.")


_DOCUMENTS = {sniff.PDF, sniff.ZIP, sniff.OLE}
"""What is sure to be a document: some clients send these as if they were images."""

_CALLED = {
    sniff.HTML: "a web page",
    sniff.SVG: "a drawing (SVG)",
    sniff.TEXT: "text",
    sniff.PDF: "a PDF",
    sniff.ZIP: "an archive",
    sniff.OLE: "an Office document",
    sniff.UNKNOWN: "data of an unknown kind",
}


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in _CONTROL or character in _TURNING


def _called(found: str) -> str:
    return _CALLED.get(found, found)


def _media_type(name: str | None, declared: str | None, found: str) -> str:
    """The media type to send: what was found, made more precise by a promise that it fits."""
    stated = (declared or "").partition(";")[0].strip().lower()
    stated = stated if _MEDIA_TYPE.fullmatch(stated) else ""
    promised = sniff.type_of(name) if name else None
    # A server's header is wrong so often that it counts only where it promises what bytes must show, and they do not.
    if promised is None and stated and (sniff.is_sure(stated) or sniff.fits(stated, found)):
        promised = stated if not sniff.is_sure(found) and stated != sniff.UNKNOWN else None
    if promised is not None and not sniff.fits(promised, found):
        raise AttachmentRefused(f"The file is called {promised}, but it is {_called(found)}.")
    return found if sniff.is_sure(found) or promised is None else promised


def _full_name(name: str | None, kind: str, digest: str, *, image: bool) -> str:
    """The name with an extension, by which Kimi tells how to read it; without one, a name made of the content.

    It is the same in every turn, so that what a prompt calls it is what Kimi has it under.
    """
    if name is None:
        return f"{'image' if image else 'file'}-{digest[:8]}{sniff.extension_of(kind)}"
    if "." in name.strip(".") and (sniff.type_of(name) is not None or not sniff.is_sure(kind)):
        return name
    return name + sniff.extension_of(kind)  # also behind a dot that is none of an extension, as in 2301.00001


def _short(name: str, length: int) -> str:
    """At most so many characters of a name, with its extension."""
    if len(name) <= length:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = dot + extension[:20] if stem else ""
    return name[: length - len(tail)] + tail


def _no_room() -> Overloaded:
    return Overloaded("The gateway has no room on its disk to take in this file.")
