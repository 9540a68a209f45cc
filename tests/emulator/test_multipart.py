"""The strict reader of forms: what it takes, and what it finds out."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.multipart import Head, read_parts
from emulator.values import Malformed
from tests.emulator.raw import form, part


def read(body: bytes, content_type: str, size: int = 65536) -> list[tuple[Head, bytes]]:
    """Read a body that arrives in pieces of so many bytes."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return [(head, b"".join(contents)) for head, contents in read_parts(pieces, content_type)]


def read_one(head: bytes) -> Head:
    """Read the head of a single part."""
    body, headers = form(head + b"\r\n\r\nx")
    ((found, _),) = read(body, headers["content-type"])
    return found


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.text("\r\n-b", max_size=40).map(str.encode)), min_size=1, max_size=3),
    st.integers(1, 40),
)
def test_the_bytes_are_those_that_were_sent(contents: list[bytes], size: int) -> None:
    """However they are cut, and however much they look like a boundary."""
    boundary = "--\tnever in the contents"
    body, headers = form(*(part(data) for data in contents), boundary=boundary)
    headers["content-type"] = f'multipart/form-data; boundary="{boundary}"'
    assert [data for _, data in read(body, headers["content-type"], size)] == contents


def test_little_of_a_long_part_is_held() -> None:
    """The contents go out as they come in."""
    given_out = 0
    body, headers = form(part(b"x" * 100_000))

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 1000):
            assert start - given_out < 3000
            yield body[start : start + 1000]

    for _, contents in read_parts(pieces(), headers["content-type"]):
        for data in contents:
            given_out += len(data)
    assert given_out == 100_000


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b'filename="a.txt"', "a.txt"),
        (b"filename=a.txt", "a.txt"),
        ('filename="图 1.png"'.encode(), "图 1.png"),
        (rb'filename="a\"b\\c.txt"', 'a"b\\c.txt'),
        (b'filename="a%22b;c=d.txt"', "a%22b;c=d.txt"),
        (b"filename=\"plain\"; filename*=UTF-8''%E5%9B%BE.png", "图.png"),
        (b"filename*=UTF-8''%E5%9B%BE.png; filename=\"plain\"", "图.png"),
        (b'filename=""', ""),
        (b"x=y", None),
    ],
)
def test_names(sent: bytes, name: str | None) -> None:
    """Quoted, bare, escaped and extended; percent signs in a plain name stay as they are."""
    head = read_one(b'content-disposition: form-data; name="file"; ' + sent + b"\r\nCONTENT-TYPE:  image/png ")
    assert head == Head("file", name, "image/png")


def test_a_type_may_be_missing() -> None:
    """Then it is empty."""
    assert read_one(b'Content-Disposition: form-data; name="file"').content_type == ""


GOOD, _HEADERS = form(part(b"x"))
TYPE = _HEADERS["content-type"]


@pytest.mark.parametrize(
    ("body", "content_type", "word"),
    [
        (GOOD, "application/json", "multipart/form-data"),
        (GOOD, "multipart/form-data", "boundary"),
        (GOOD, f"multipart/form-data; boundary={'b' * 71}", "boundary"),
        (GOOD, "multipart/form-data; boundary=other", "breaks off"),
        (GOOD[:-4], TYPE, "breaks off"),
        (GOOD.replace(b"\r\n", b"\n"), TYPE, "line of its own"),
        (GOOD[:-4] + b"??", TYPE, "line of its own"),
        (form(b"Content-Type: text/plain\r\n\r\nx")[0], TYPE, "Content-Disposition"),
        (form(b"Content-Disposition: attachment; name=a\r\n\r\nx")[0], TYPE, "Content-Disposition"),
        (form(part(b"x", "a\nb"))[0], TYPE, "control character"),
        (form(part(b"x", "a\0b"))[0], TYPE, "control character"),
        (form(b"Content-Disposition: form-data; name=\xff\r\n\r\nx")[0], TYPE, "UTF-8"),
        (
            form(b"Content-Disposition: form-data; name=a; filename*=UTF-8''%FF\r\n\r\n")[0],
            TYPE,
            "UTF-8",
        ),
        (form(part(b"x", "a" * 20_000))[0], TYPE, "too long"),
    ],
)
@pytest.mark.parametrize("size", [1, 65536])
def test_what_is_wrong_is_found_out(body: bytes, content_type: str, word: str, size: int) -> None:
    """A lenient reader would hide the mistake of a client."""
    with pytest.raises(Malformed, match=word):
        read(body, content_type, size)
