"""The bytes of an attachment."""

from __future__ import annotations

import io

import pytest

from app.chat.content import Content


def content(data: bytes, *, is_text: bool = True) -> Content:
    """Some bytes as they are sent on."""
    return Content("a.txt", "text/plain", len(data), "digest", is_image=False, is_text=is_text, file=io.BytesIO(data))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello\r\n", "hello\r\n"),
        ("名前".encode(), "名前"),
        (b"\xef\xbb\xbfhello", "hello"),
        ("名前".encode("utf-16"), "名前"),
        (b"\xff\xfe" + "名前".encode("utf-16-le"), "名前"),
        (b"\xfe\xff" + "名前".encode("utf-16-be"), "名前"),
        ("简体".encode("gbk"), None),
        ("ñandú".encode("latin-1"), None),
        (b"\xff\xfea", None),
        (b"\xff\xfe\x00\xd8", None),
        (b"ab\xe5\x90", None),
        (b"\xed\xa0\x80", None),
        (b"", ""),
    ],
)
def test_text_is_read_where_its_encoding_is_sure(data: bytes, text: str | None) -> None:
    """A guess would give a model nonsense to read."""
    assert content(data).text(100) == text


@pytest.mark.parametrize(("limit", "text"), [(4, None), (5, "hello"), (6, "hello")])
def test_only_short_text_is_read(limit: int, text: str | None) -> None:
    """To the byte, of which a letter may have several."""
    assert content(b"hello").text(limit) == text
    assert content("é".encode()).text(1) is None


def test_what_is_no_text_is_not_read_as_text() -> None:
    """Though its bytes might be letters."""
    assert content(b"%PDF-1.7", is_text=False).text(100) is None


def test_text_is_read_from_its_beginning() -> None:
    """Any number of times, wherever another reader has stopped."""
    found = content(b"hello")
    found.file.read(3)
    assert [found.text(5), found.text(5)] == ["hello", "hello"]


def test_bytes_stay_out_of_what_is_printed() -> None:
    """Only what they are is shown."""
    assert repr(content(b"secret")) == (
        "Content(name='a.txt', media_type='text/plain', size=6, digest='digest', is_image=False, is_text=True)"
    )
