"""Reads multipart/form-data as it arrives, and strictly (RFC 7578, RFC 2046).

What a lenient reader would forgive is an error here: a stray line break or a control character in
a part's head, a boundary that never comes. So a client whose form is broken is found out.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from emulator.values import Malformed

Parts = Iterator[tuple["Head", Iterator[bytes]]]

_LONGEST_HEAD = 16 * 1024
_LONGEST_BOUNDARY = 70
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*("(?:\\.|[^"\\])*"|[^\s;"]*)')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Head:
    """What a part says of itself, as it was sent."""

    field: str | None
    name: str | None
    content_type: str


class _Window:
    """The bytes that have arrived and not been read yet; never much more than a piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = bytearray(b"\r\n")  # so that the first boundary looks like the others

    def until(self, mark: bytes) -> Iterator[bytes]:
        """Give what comes before the mark, and pass over the mark itself."""
        while (at := self._held.find(mark)) < 0:
            safe = len(self._held) - len(mark) + 1
            if safe > 0:
                yield self.take(safe)
            self._more()
        yield self.take(at)
        self.take(len(mark))

    def take(self, size: int) -> bytes:
        """Give exactly so many bytes."""
        while len(self._held) < size:
            self._more()
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def _more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise Malformed("the multipart body breaks off")
        self._held += piece


def read_parts(pieces: Iterator[bytes], content_type: str) -> Parts:
    """Give each part's head and its bytes, which must be read before the next; raises `Malformed`."""
    mark = b"\r\n--" + _boundary(content_type)
    window = _Window(pieces)
    for _ in window.until(mark):
        pass  # the preamble, usually empty
    while (after := window.take(2)) != b"--":
        if after != b"\r\n":
            raise Malformed("a boundary must stand on a line of its own")
        yield _read_head(window), window.until(mark)


def _boundary(content_type: str) -> bytes:
    media_type, parameters = _split(content_type)
    if media_type != "multipart/form-data":
        raise Malformed("the body must be multipart/form-data")
    boundary = parameters.get("boundary", "")
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        raise Malformed("the boundary must have 1 to 70 characters")
    return boundary.encode()


def _read_head(window: _Window) -> Head:
    raw = b""
    for data in window.until(b"\r\n\r\n"):
        raw += data
        if len(raw) > _LONGEST_HEAD:
            raise Malformed("the head of a part is too long")
    try:
        lines = raw.decode().split("\r\n")
    except UnicodeDecodeError as error:
        raise Malformed("the head of a part is not UTF-8") from error
    if any(_CONTROL.search(line) for line in lines):
        raise Malformed("the head of a part holds a control character")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    disposition, parameters = _split(headers.get("content-disposition", ""))
    if disposition != "form-data" or "name" not in parameters:
        raise Malformed("a part must have a Content-Disposition form-data with a name")
    return Head(parameters["name"], parameters.get("filename"), headers.get("content-type", ""))


def _split(value: str) -> tuple[str, dict[str, str]]:
    """Split a header into its value and its parameters; `filename*` of RFC 5987 wins over `filename`."""
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(value):
        key, quoted = found[1].lower(), found[2]
        plain = re.sub(r"\\(.)", r"\1", quoted[1:-1]) if quoted.startswith('"') else quoted
        if key.endswith("*"):
            key, plain = key[:-1], _unquoted(plain.rpartition("'")[2])
        elif key in parameters:
            continue
        parameters[key] = plain
    return value.partition(";")[0].strip().lower(), parameters


def _unquoted(value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise Malformed("filename* is not UTF-8") from error
