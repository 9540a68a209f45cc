"""Attachments as clients write them, made FileParts: bytes in the request, a URL, or the id of an earlier upload.

The bytes are decoded here, within the computation on the body, so that nothing else waits for a large picture. Base64
is taken as clients send it: wrapped into lines, in the alphabet for URLs, or without its padding.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping

from app.chat.request import FilePart, Inline, Remote, Stored
from app.errors import AttachmentRefused

_SLICE = 1024 * 1024  # characters that are decoded at a time: others get their turn in between
_VARIANTS = ((" ", ""), ("\t", ""), ("\r", ""), ("\n", ""), ("-", "+"), ("_", "/"))
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_FILE_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_MAX_HEADER = 1024
_URLS = ("http://", "https://", "data:")


def from_base64(
    text: str, place: str, *, name: str | None = None, media_type: str | None = None, image: bool = False
) -> FilePart:
    """An attachment whose bytes are written in base64. Raises AttachmentRefused."""
    return _inline(_decoded(text, place), place, name=name, media_type=media_type, image=image)


def from_url(url: str, place: str, *, name: str | None = None, image: bool = False) -> FilePart:
    """An attachment behind a URL: the bytes themselves (`data:`), or where they are. Raises AttachmentRefused."""
    if url[:5].lower() == "data:":
        return _from_data_url(url, place, name=name, image=image)
    if _is_url(url):
        return FilePart(Remote(url), place, name=name, image=image)
    raise AttachmentRefused("The URL must begin with http://, https:// or data:.", param=place)


def from_id(file_id: str, place: str, *, image: bool = False) -> FilePart:
    """An attachment that was uploaded to /v1/files. Raises AttachmentRefused."""
    if not _FILE_ID.fullmatch(file_id):
        raise AttachmentRefused("file_id is not the id of a file.", param=place)
    return FilePart(Stored(file_id), place, image=image)


def openai_part(part: Mapping[str, object], place: str) -> FilePart:
    """An image or file part in any of the shapes that OpenAI's clients send, and those of this gateway's own.

    `image_url` and `file` are of Chat Completions, `input_image` and `input_file` of Responses; `file_url` with a
    `url` in it is this service's. What stands in an object may also stand beside it. Raises AttachmentRefused.
    """
    image = part.get("type") in {"image_url", "input_image"}
    inner = part.get("file")
    fields = {**part, **(inner if isinstance(inner, dict) else {})}
    name = _text(fields, "filename", place)
    file_id, data = _text(fields, "file_id", place), _text(fields, "file_data", place)
    urls = [_url(fields, key, place) for key in ("image_url", "file_url")]
    # Some clients put a URL where the bytes or the id belong; it can be neither.
    urls += [text for text in (file_id, data) if text is not None and _is_url(text)]
    if file_id is not None and not _is_url(file_id):
        return from_id(file_id, place, image=image)
    for url in urls:
        if url is not None:
            return from_url(url, place, name=name, image=image)
    if data is not None:
        return from_base64(data, place, name=name, image=image)
    wanted = "image_url" if image else "file_data, file_id or file_url"
    raise AttachmentRefused(f"{place} must hold {wanted}.", param=place)


def _from_data_url(url: str, place: str, *, name: str | None, image: bool) -> FilePart:
    """RFC 2397: `data:[type][;parameters][;base64],bytes`."""
    comma = url.find(",", 0, _MAX_HEADER)
    if comma < 0:
        raise AttachmentRefused("The data URL has no comma before its bytes.", param=place)
    media_type, *parameters = url[len("data:") : comma].split(";")
    media_type = media_type.strip().lower()
    if any(parameter.strip().lower() == "base64" for parameter in parameters):
        data = _decoded(url[comma + 1 :], place)
    else:
        data = _unescaped(url[comma + 1 :])
    return _inline(data, place, name=name, media_type=media_type or None, image=image)


def _inline(data: bytes, place: str, *, name: str | None, media_type: str | None, image: bool) -> FilePart:
    if not data:
        raise AttachmentRefused("The file is empty: it has 0 bytes.", param=place)
    return FilePart(Inline(data, hashlib.sha256(data).hexdigest(), media_type), place, name=name, image=image)


def _unescaped(text: str) -> bytes:
    """Percent-encoded text as bytes, slice by slice: others get their turn in between."""
    out = bytearray()
    start = 0
    while start < len(text):
        end = start + _SLICE
        while end < len(text) and "%" in text[end - 2 : end] and end > start + _SLICE - 3:
            end -= 1  # an escape is not cut
        piece = text[start:end].encode(errors="surrogatepass")
        out += _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), piece)
        start = end
    return bytes(out)


def _decoded(text: str, place: str) -> bytes:
    if not text.isascii():
        raise AttachmentRefused("The base64 has characters that base64 does not have.", param=place)
    if "%" in text:
        text = _unescaped(text).decode("latin-1")
    for old, new in _VARIANTS:
        if old in text:  # a search and a replacement of one character, because a pattern would hold up the others
            text = text.replace(old, new)
    text = text.rstrip("=")
    if "=" in text:
        raise AttachmentRefused("The base64 cannot be read.", param=place)
    text += "=" * (-len(text) % 4)
    out = bytearray()
    try:
        for start in range(0, len(text), _SLICE):
            out += binascii.a2b_base64(text[start : start + _SLICE], strict_mode=True)
    except (binascii.Error, ValueError):
        raise AttachmentRefused("The base64 cannot be read.", param=place) from None
    return bytes(out)


def _is_url(text: str) -> bool:
    return text[:8].lower().startswith(_URLS)


def _url(fields: Mapping[str, object], key: str, place: str) -> str | None:
    """A URL that stands by itself or as the `url` of an object; None if there is none."""
    value = fields.get(key)
    return _text(value, "url", place) if isinstance(value, dict) else _text(fields, key, place)


def _text(fields: Mapping[str, object], key: str, place: str) -> str | None:
    value = fields.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise AttachmentRefused(f"{key} must be a string.", param=place)
    return value
