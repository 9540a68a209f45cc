"""The bytes of an attachment as they are sent on: on disk or in memory, never copied."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Content:
    """An image or a document.

    `media_type` is what the bytes were found to be, `size` their number, `digest` their SHA-256 in hex; `is_text` says
    that they can be read as text. `file` is read from its beginning by one reader at a time.
    """

    name: str
    media_type: str
    size: int
    digest: str
    is_image: bool
    is_text: bool
    file: BinaryIO = field(repr=False)

    def text(self, limit: int) -> str | None:
        """The bytes as text; None if they are more than `limit`, or no text in an encoding that is sure."""
        if not self.is_text or self.size > limit:
            return None
        self.file.seek(0)
        data = self.file.read()
        encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            return None
