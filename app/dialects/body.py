"""The one strict JSON reader: a request body becomes a dict, or an error that says why not.

The standard library does the parsing. It is strict about syntax but takes six things that hurt
later: NaN and numbers beyond a double (they cannot be written as JSON again), integers of thousands
of digits (each conversion is quadratic), duplicate keys (two readers of one body see two requests),
lone surrogates (an UnicodeEncodeError in the middle of a stream) and any depth (a RecursionError).
Three are refused by hooks while parsing, depth and surrogates by scans of the bytes before it. The
scans are `bytes` methods and regular expressions without alternatives to go back to: their time and
memory are linear in the body.

orjson would parse three times as fast, but it keeps the last of two duplicate keys in silence.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from typing import Final, NoReturn, Protocol

from app.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

MAX_DEPTH: Final = 64
"""Objects and arrays that may stand within each other, the outermost included."""

MAX_INTEGER_LENGTH: Final = 308
"""Characters of an integer, its sign included: a longer one may not fit a double (1.8e308)."""

_PIECE: Final = 64 * 1024  # bytes of one read: no more is ever asked for on the word of a header
_BOM: Final = b"\xef\xbb\xbf"
_JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json")
_CHARSET: Final = re.compile(r";[ \t]*charset[ \t]*=[ \t]*\"?([^\";, \t]*)", re.IGNORECASE)

_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE: Final = bytes(set(range(256)) - set(b'{}[]"'))
_STRING: Final = re.compile(rb'"[^"]*+"?')  # possessive, and the end of the body closes too: never goes back

_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE_PAIR: Final = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}",
)


class ByteStream(Protocol):
    """What a body is read from, such as `wsgi.input`: it must end where the body ends.

    Werkzeug's `request.stream` is one only while `max_content_length` is unset; with it, a chunked
    body that is too long ends early in silence.
    """

    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, or none at the end."""


def read_json_body(
    stream: ByteStream,
    content_length: int | None,
    content_type: str | None,
    content_encoding: str | None,
    limit: int,
) -> list[bytes]:
    """Read a request body whose headers say that it is JSON; give it in pieces, as it came.

    `content_length` is in bytes, None for a chunked body; `content_type` and `content_encoding` are
    the headers as they came; `limit` is the most bytes that are taken. At most `limit + 1` bytes
    are read, and none when the headers already refuse.

    Raises UnsupportedMediaType for the headers, RequestTooLarge for the size, InvalidRequest for a
    body that is not whole. What `stream.read` raises is passed on.
    """
    check_encoding(content_encoding)
    _check_type(content_type)
    return _read(stream, content_length, limit)


def parse_json_object(pieces: Sequence[bytes]) -> dict[str, object]:
    """Make a dict of a body that must be one JSON object (RFC 8259) in UTF-8.

    It is all computation, so that a thread of its own may do it for a large body. Raises
    InvalidRequest, whose message does not quote the body.
    """
    body = b"".join(pieces)
    text = _decode(body)
    _check_escapes_and_depth(body)
    return _parse(text)


def check_encoding(header: str | None) -> None:
    """Refuse compressed bodies: some bytes on the wire would become any number in memory."""
    if header and any(coding.strip().lower() not in {"", "identity"} for coding in header.split(",")):
        raise UnsupportedMediaType("Content-Encoding is not supported: send the body uncompressed.")


def _check_type(header: str | None) -> None:
    """Require a JSON media type: a page of another site can send others unasked (CSRF)."""
    if _JSON_TYPE.fullmatch((header or "").partition(";")[0].strip().lower()) is None:
        raise UnsupportedMediaType("Content-Type must be application/json.")
    if any(charset.lower() not in {"utf-8", "utf8"} for charset in _CHARSET.findall(header or "")):
        raise UnsupportedMediaType("The charset of a JSON body must be utf-8.")


def _read(stream: ByteStream, declared: int | None, limit: int) -> list[bytes]:
    """Return the pieces of the whole body of at most `limit` bytes; what ends too early is refused."""
    if declared is not None and declared < 0:
        raise InvalidRequest("Content-Length is negative.")
    if declared is not None and declared > limit:
        raise _too_large(limit)
    wanted = limit + 1 if declared is None else declared
    pieces: list[bytes] = []
    size = 0
    while size < wanted and (piece := stream.read(min(wanted - size, _PIECE))):
        if pieces:
            time.sleep(0)  # a client that sends fast enough would hold up all others of the worker
        pieces.append(piece)
        size += len(piece)
    if size > limit:
        raise _too_large(limit)
    if declared is not None and size < declared:
        raise InvalidRequest("The body is shorter than its Content-Length.")
    if not size:
        raise InvalidRequest("The body is empty; a JSON object is expected.")
    return pieces


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than the {limit} bytes that are allowed.")


def _decode(body: bytes) -> str:
    if body.startswith(_BOM):
        raise InvalidRequest("The body begins with a byte order mark; send UTF-8 without one.")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The body is not valid UTF-8 (byte {error.start}).") from None


def _check_escapes_and_depth(body: bytes) -> None:
    r"""Refuse lone surrogates and deep nesting, without parsing.

    Right for every body up to its first syntax error, and the parser never gets beyond that.
    """
    if b"\\" in body:
        # An escaped backslash would make what follows it look escaped. A filler keeps what stood on
        # its two sides apart: `\ud800\\\udc00` is not a pair.
        body = body.replace(b"\\\\", b"__")
        if _SURROGATE.search(body) and _SURROGATE.search(_SURROGATE_PAIR.sub(b"_", body)):
            raise InvalidRequest("The body has a lone surrogate (\\ud800 to \\udfff without its partner).")
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _is_too_deep(body):
        raise InvalidRequest(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _is_too_deep(body: bytes) -> bool:
    """Tell whether brackets outside strings nest too deep; `body` has no escaped backslashes.

    Everything but brackets and quotes is dropped, then strings, then innermost pairs, once per
    level. Dropping two neighbouring quotes leaves every bracket inside or outside as it was, and
    makes most strings vanish at the speed of a search.
    """
    quoted = body.replace(b'\\"', b"").translate(_BRACKETS, _NOT_STRUCTURE).replace(b'""', b"")
    brackets = _STRING.sub(b"", quoted)
    for _ in range(MAX_DEPTH):
        flatter = brackets.replace(b"[]", b"")
        if len(flatter) == len(brackets):
            break
        brackets = flatter
    return b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH


def _parse(text: str) -> dict[str, object]:
    try:
        value: object = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite_float,
            parse_int=_short_int,
        )
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON: {error.msg} ({where}).") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidRequest("The body has an object with the same key twice.")
    return members


def _refuse_constant(_name: str) -> NoReturn:
    raise InvalidRequest("NaN, Infinity and -Infinity are not JSON.")


def _finite_float(literal: str) -> float:
    number = float(literal)
    if math.isinf(number):
        raise InvalidRequest("The body has a number that is too large for a double.")
    return number


def _short_int(literal: str) -> int:
    if len(literal) > MAX_INTEGER_LENGTH:
        raise InvalidRequest(f"The body has an integer longer than {MAX_INTEGER_LENGTH} characters.")
    return int(literal)
