"""Reads a form with a file in it as it arrives: the file goes to a spool, and is never whole in memory.

The package multipart takes the form apart, a parser that is fed bytes. werkzeug's own adds a byte to a file when a read
ends at a certain place within the last boundary (3.1.9), which a gateway must not do.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser
from werkzeug.http import parse_options_header

from app.attachments.intake import Spool, too_large
from app.dialects.body import ByteStream, check_encoding
from app.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

MAX_FIELDS = 32
MAX_FIELD_BYTES = 64 * 1024
"""Bytes of all fields beside the file."""

MAX_BOUNDARY = 200
MAX_HEADER = 8 * 1024
FRAME_BYTES = 512 * 1024
"""Bytes that a form may have beside its file: fields, and what separates them."""

_PIECE = 64 * 1024
_FILE = "file"


@dataclass(frozen=True, slots=True)
class Form:
    """A form: the file of the field `file`, with what the client calls it, and its other fields."""

    spool: Spool
    name: str | None
    media_type: str | None
    fields: dict[str, str]


@contextmanager
def reading_form(
    stream: ByteStream, content_length: int | None, content_type: str | None, content_encoding: str | None, limit: int
) -> Iterator[Form]:
    """Read a form whose file has at most `limit` bytes; the spool is closed at the end of the block.

    Raises UnsupportedMediaType for the headers, RequestTooLarge for the size, InvalidRequest for the form.
    """
    check_encoding(content_encoding)
    boundary = _boundary(content_type)
    if content_length is not None and content_length > limit + FRAME_BYTES:
        raise _of_file(limit)
    with ExitStack() as stack:
        collector = _Collector(limit, stack)
        try:
            with PushMultipartParser(boundary, max_header_size=MAX_HEADER, max_segment_count=MAX_FIELDS) as parser:
                for piece in _pieces(stream, content_length, limit + FRAME_BYTES):
                    if not parser.closed:
                        for event in parser.parse(piece):
                            collector.take(event)
        except ParserLimitReached:
            raise _too_many() from None
        except MultipartError:
            raise InvalidRequest("The form cannot be read: it is no whole multipart/form-data.") from None
        yield collector.form()


class _Collector:
    """Puts a form together from the events of the parser: a part's head, its bytes, and None for its end."""

    def __init__(self, limit: int, stack: ExitStack) -> None:
        self._limit = limit
        self._stack = stack
        self._head: MultipartSegment | None = None
        self._field = bytearray()
        self._fields: dict[str, str] = {}
        self._room = MAX_FIELD_BYTES
        self._file: MultipartSegment | None = None
        self._name = ""
        self._spool: Spool | None = None

    def take(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take in one event. Raises RequestTooLarge or InvalidRequest."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            self._end()
        elif self._spool is not None and self._head is self._file:
            try:
                self._spool.write(bytes(event))
            except RequestTooLarge:
                raise _of_file(self._limit) from None
        else:
            self._room -= len(event)
            if self._room < 0:
                raise _too_many()
            self._field += event

    def form(self) -> Form:
        """The whole form. Raises InvalidRequest if it has no file."""
        if self._file is None or self._spool is None or self._file.name != _FILE:
            raise InvalidRequest("The form must hold a file in its field file.", param=_FILE)
        return Form(self._spool, self._name, self._file.header("Content-Type"), self._fields)

    def _begin(self, head: MultipartSegment) -> None:
        self._head, self._field = head, bytearray()
        name = _file_name(head)
        if name is None:
            return
        if self._file is not None:
            raise InvalidRequest("The form must hold one file.", param=_FILE)
        self._file, self._name = head, name
        self._spool = self._stack.enter_context(closing(Spool(self._limit)))

    def _end(self) -> None:
        if self._head is not None and self._head is not self._file:
            self._fields[self._head.name or ""] = self._field.decode(errors="replace")


def _file_name(head: MultipartSegment) -> str | None:
    """The file name of a part, None for a part that is no file; the one of RFC 5987 goes before the plain one."""
    disposition = str(head.header("Content-Disposition", ""))
    if "filename*" in disposition.lower():
        return parse_options_header(disposition)[1].get("filename")
    return None if head.filename is None else str(head.filename)


def _boundary(content_type: str | None) -> str:
    media_type, options = parse_options_header(content_type)
    boundary = options.get("boundary", "")
    if media_type.lower() != "multipart/form-data" or not boundary:
        raise UnsupportedMediaType("Content-Type must be multipart/form-data with a boundary.")
    if len(boundary) > MAX_BOUNDARY or not boundary.isascii() or not boundary.isprintable():
        raise InvalidRequest("The boundary of the form is not a plain one.")
    return boundary


def _pieces(stream: ByteStream, length: int | None, room: int) -> Iterator[bytes]:
    """The body: no more than file and frame may have, and with turns for others in between."""
    left = room + 1 if length is None else length
    while left > 0 and (piece := stream.read(min(left, _PIECE))):
        left -= len(piece)
        room -= len(piece)
        if room < 0:
            raise _too_many()  # a file that is too large is noticed by its spool before
        yield piece
        time.sleep(0)  # a client that is fast enough would otherwise hold up the whole worker
    if length is not None and left > 0:
        raise InvalidRequest("The body is shorter than its Content-Length.")


def _of_file(limit: int) -> RequestTooLarge:
    error = too_large(limit)
    error.param = _FILE
    return error


def _too_many() -> RequestTooLarge:
    return RequestTooLarge("The form has too many fields, or too long ones.")
