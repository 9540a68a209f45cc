"""Attachments for the tests: bytes in memory, as they come from the intake."""

from __future__ import annotations

import hashlib
import io

from app.chat.content import Content

PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def document(data: bytes = b"%PDF-1.7 \x00\xff\r\n--", name: str = "a.pdf") -> Content:
    """A document."""
    digest = hashlib.sha256(data).hexdigest()
    return Content(name, "application/pdf", len(data), digest, is_image=False, is_text=False, file=io.BytesIO(data))


def image(data: bytes = PNG, name: str = "a.png") -> Content:
    """An image."""
    digest = hashlib.sha256(data).hexdigest()
    return Content(name, "image/png", len(data), digest, is_image=True, is_text=False, file=io.BytesIO(data))
