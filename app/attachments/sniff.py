"""What bytes are, by their beginning; what a client or a server calls them is not believed.

A table of signatures, as browsers have one (WHATWG MIME sniffing), instead of a library: those at hand know hundreds of
signatures, some of two letters, and so take plain text for a bitmap. Only what Kimi reads is of interest here.
"""

from __future__ import annotations

import mimetypes
import re

HEAD = 4096
"""Bytes that are looked at."""

PDF = "application/pdf"
TEXT = "text/plain"
HTML = "text/html"
SVG = "image/svg+xml"
ZIP = "application/zip"
OLE = "application/x-ole-storage"
"""The container of Office documents before 2007, and of encrypted ones."""

UNKNOWN = "application/octet-stream"

_SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), "image/webp"),
    (re.compile(rb"BM.{4}\0\0\0\0.{2}\0\0[\x0c-\x7c]\0\0\0", re.DOTALL), "image/bmp"),
    (re.compile(rb"II\*\0|MM\0\*"), "image/tiff"),
    (re.compile(rb".{4}ftyp(?:hei[cmsx]|hev[cmx]|mif1|msf1)", re.DOTALL), "image/heic"),
    (re.compile(rb".{4}ftypavi[fs]", re.DOTALL), "image/avif"),
    (re.compile(rb"(?:\xef\xbb\xbf)?\s{0,100}%PDF-"), PDF),
    (re.compile(rb"PK\x03\x04"), ZIP),
    (re.compile(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), OLE),
    (re.compile(rb"\{\\rtf"), "application/rtf"),
)

# Control characters that no text has, as browsers judge it; the rest may be text in any encoding.
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_MARKUP = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,1000}<(!doctype html|html|svg|\?xml)\b", re.IGNORECASE)
_SVG = re.compile(rb"<svg\b", re.IGNORECASE)

_PACKED = "application/vnd.openxmlformats-officedocument."
_TYPES = {
    # What mimetypes does not know everywhere: its table is that of the system.
    ".docx": f"{_PACKED}wordprocessingml.document",
    ".xlsx": f"{_PACKED}spreadsheetml.sheet",
    ".pptx": f"{_PACKED}presentationml.presentation",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".md": "text/markdown",
    ".epub": "application/epub+zip",
    ".rtf": "application/rtf",
    ".yaml": "text/plain",
    ".yml": "text/plain",
    ".ts": "text/plain",  # not the video stream that the name also stands for
}
_EXTENSIONS = {kind: extension for extension, kind in _TYPES.items() if kind != "text/plain"} | {
    "image/jpeg": ".jpg",
    TEXT: ".txt",
    UNKNOWN: ".bin",
}
_TEXTUAL = frozenset({"application/json", "application/xml", "application/javascript", "application/x-yaml", SVG})


def sniffed(head: bytes) -> str:
    """The media type that the beginning of some bytes shows."""
    for signature, kind in _SIGNATURES:
        if signature.match(head):
            return kind
    if _BINARY.search(head) and not head.startswith(_UTF16):
        return PDF if b"%PDF-" in head[:1024] else UNKNOWN  # readers of PDF pass over what stands before it
    markup = _MARKUP.match(head)
    if markup is None:
        return TEXT
    if markup[1].lower() in {b"svg", b"?xml"}:
        return SVG if _SVG.search(head) else TEXT
    return HTML


def type_of(name: str) -> str | None:
    """The media type that a file name promises, None for one that promises nothing."""
    extension = "." + name.rpartition(".")[2].lower() if "." in name else ""
    return _TYPES.get(extension) or mimetypes.guess_type("file" + extension)[0]


def extension_of(kind: str) -> str:
    """An extension for a media type, with its dot."""
    return _EXTENSIONS.get(kind) or mimetypes.guess_extension(kind) or ".bin"


def is_sure(kind: str) -> bool:
    """Whether a media type that `sniffed` gave says all: text and containers may be many things."""
    return kind not in {TEXT, HTML, ZIP, OLE, UNKNOWN}


def is_textual(kind: str) -> bool:
    """Whether a media type is one of text."""
    return kind.startswith("text/") or kind in _TEXTUAL or kind.endswith(("+xml", "+json"))


def fits(promised: str, found: str) -> bool:
    """Whether bytes of the type `found` may be what a name or a header promises.

    Only promises that bytes must show are held against them: documents of the old Office are often tables or pages in
    disguise, and text comes under any name.
    """
    if promised.startswith("image/") and promised != SVG:
        return found.startswith("image/")
    if promised == PDF:
        return found == PDF
    if promised.startswith(_PACKED):
        return found in {ZIP, OLE}
    return not is_textual(promised) or is_textual(found)
