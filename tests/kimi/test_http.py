"""The values that the builders make and the transport sends."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.cancellation import Cancellation
from app.errors import ClientGone
from app.kimi.http import FileBody, FileReader, HttpAnswer, HttpRequest


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/connect+json", "application/connect+json"),
        ("Text/HTML; charset=UTF-8", "text/html"),
        (" application/json ;x=y", "application/json"),
        ("", ""),
    ],
)
def test_media_type(header: str, expected: str) -> None:
    """The media type is without parameters, in lower case."""
    assert expected == HttpAnswer(200, {"content-type": header}, b"").media_type


def test_missing_media_type() -> None:
    """No content type is an empty one."""
    assert HttpAnswer(200, {}, b"").media_type == ""


def test_repr_hides_secrets() -> None:
    """Headers and bodies stay out of a log."""
    file = FileBody(io.BytesIO(b"SECRET"), 6, b"SECRET", b"SECRET")
    assert repr(HttpRequest("GET", "https://x", {"Authorization": "SECRET"}, b"SECRET")).count("SECRET") == 0
    assert "SECRET" not in repr(HttpAnswer(200, {}, b"SECRET"))
    assert repr(file) == "FileBody(size=6)"
    assert "size" not in repr(HttpRequest("PUT", "https://x", {}, file))


# --- Bodies from files ------------------------------------------------------------------------------------------


def body(data: bytes, head: bytes = b"", tail: bytes = b"") -> FileBody:
    """A body from a file that holds just these bytes."""
    return FileBody(io.BytesIO(data), len(data), head, tail)


def read_by(reader: FileReader, sizes: Sequence[int]) -> bytes:
    """All bytes, in reads of these sizes over and over."""
    out = bytearray()
    while True:
        for size in sizes:
            data = reader.read(size)
            assert len(data) <= size
            if not data:
                assert reader.read(size) == b""
                return bytes(out)
            out += data


PIECES = st.binary(max_size=40)


@given(PIECES, PIECES, PIECES, st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_any_reads_give_the_same_bytes(head: bytes, data: bytes, tail: bytes, sizes: list[int]) -> None:
    """Head, file and tail, whoever reads them in whatever pieces; the length is known before."""
    reader = FileReader(body(data, head, tail), Cancellation())
    assert len(reader) == len(head) + len(data) + len(tail)
    assert read_by(reader, sizes) == head + data + tail


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_pieces_are_small_and_together_whole(size: int) -> None:
    """A large file is never in memory as a whole."""
    data = bytes(index % 251 for index in range(size))
    pieces = list(FileReader(body(data, b"<", b">"), Cancellation()))
    assert b"".join(pieces) == b"<" + data + b">"
    assert all(0 < len(piece) <= 65_536 for piece in pieces)


def test_a_body_is_read_again_from_its_beginning() -> None:
    """A second attempt must not send what the first one left over."""
    sent = body(b"0123456789", b"<", b">")
    FileReader(sent, Cancellation()).read(4)
    half_read = FileReader(sent, Cancellation())
    half_read.read(1)
    half_read.read(5)
    assert b"".join(FileReader(sent, Cancellation())) == b"<0123456789>"


def test_a_file_is_read_from_its_beginning_wherever_it_stands() -> None:
    """Whoever looked at it before may have left it anywhere."""
    sent = body(b"0123456789")
    sent.file.seek(0, io.SEEK_END)
    assert b"".join(FileReader(sent, Cancellation())) == b"0123456789"


def test_no_more_is_sent_than_was_announced() -> None:
    """`size` bytes, also of a file that is longer: the rest would be taken for another request."""
    reader = FileReader(FileBody(io.BytesIO(b"0123456789"), 4, b"<", b">"), Cancellation())
    assert b"".join(reader) == b"<0123>"


def test_a_client_that_has_left_is_noticed_between_two_pieces() -> None:
    """What was read stays read; nothing more is."""
    cancellation = Cancellation()
    sent = body(b"x" * 100)
    reader = FileReader(sent, cancellation)
    assert reader.read(10) == b"x" * 10
    cancellation.cancel()
    with pytest.raises(ClientGone):
        reader.read(10)
    assert sent.file.tell() == 10


def test_nothing_is_read_for_a_client_that_has_left() -> None:
    """Not even the head."""
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(ClientGone):
        next(iter(FileReader(body(b"x", b"head"), cancellation)))
