"""Forms with a file in them, read as they arrive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import stat
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.dialects.body import ByteStream
from app.dialects.multipart import FRAME_BYTES, MAX_FIELD_BYTES, MAX_FIELDS, Form, reading_form
from app.errors import GatewayError, InvalidRequest, RequestTooLarge, UnsupportedMediaType

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
MARK = b"--" + BOUNDARY.encode()
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LIMIT = 1_000_000
ON_DISK = 700_000
PIECE = 64 * 1024
"""What a parser may have asked for at once."""

LOOKALIKES = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"--", b"-", MARK[:-1], b"\r\n" + MARK[:-1], MARK[2:], b"x" + MARK]
)
CONTENTS = st.lists(st.binary(max_size=20) | LOOKALIKES, max_size=12).map(b"".join)


class Wire:
    """A body that comes in pieces of at most `most` bytes; `given` are those that were asked for and given."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self._rest = io.BytesIO(data)
        self._most = most
        self.given = 0

    def read(self, size: int, /) -> bytes:
        piece = self._rest.read(min(size, self._most))
        self.given += len(piece)
        return piece


class Endless:
    """A body that begins with `head` and goes on for `times` repetitions of `block`, made while it is read."""

    def __init__(self, head: bytes, block: bytes, times: int, tail: bytes = b"") -> None:
        self.given = 0
        self.length = len(head) + len(block) * times + len(tail)
        self._pieces = self._made(head, block, times, tail)
        self._left = b""

    def read(self, size: int, /) -> bytes:
        while not self._left and (piece := next(self._pieces, None)) is not None:
            self._left = piece
        piece, self._left = self._left[:size], self._left[size:]
        self.given += len(piece)
        return piece

    def _made(self, head: bytes, block: bytes, times: int, tail: bytes) -> Iterator[bytes]:
        yield head
        for _ in range(times):
            yield block
        yield tail


@dataclass(frozen=True)
class Taken:
    """What was read of a form."""

    data: bytes
    name: str | None
    media_type: str | None
    fields: dict[str, str]


def file_part(
    data: bytes = b"%PDF-1", disposition: str = 'name="file"; filename="a.pdf"', media_type: str | None = None
) -> bytes:
    """A part with a file."""
    head = f"Content-Disposition: form-data; {disposition}\r\n"
    head += f"Content-Type: {media_type}\r\n" if media_type is not None else ""
    return head.encode() + b"\r\n" + data


def field(name: str, value: str) -> bytes:
    """A part with a field."""
    return f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()


def form_of(*parts: bytes) -> bytes:
    """A whole form."""
    return b"".join(MARK + b"\r\n" + part + b"\r\n" for part in parts) + MARK + b"--\r\n"


def reading(
    stream: ByteStream,
    length: int | None,
    *,
    kind: str | None = TYPE,
    encoding: str | None = None,
    limit: int = LIMIT,
) -> contextlib.AbstractContextManager[Form]:
    """Read a form, by default as a well-behaved client sends it."""
    return reading_form(stream, length, kind, encoding, limit)


def taken(body: bytes, *, declared: bool = True, most: int = 1 << 30, limit: int = LIMIT) -> Taken:
    """What is read of a body."""
    with reading(Wire(body, most), len(body) if declared else None, limit=limit) as form:
        data = b""
        if form.spool.size:
            content = form.spool.content(None, None)
            data = content.file.read()
            assert (content.size, content.digest) == (len(data), hashlib.sha256(data).hexdigest())
        return Taken(data, form.name, form.media_type, form.fields)


def refusal(body: bytes, error: type[GatewayError], *, declared: bool = True, limit: int = LIMIT) -> GatewayError:
    """The error with which a body is refused, however it arrives; nothing is left on the disk."""
    before = files_on_disk()
    found: list[GatewayError] = []
    for most in (1 << 30, 777):
        with pytest.raises(error) as caught, reading(Wire(body, most), len(body) if declared else None, limit=limit):
            pass
        assert files_on_disk() == before
        found.append(caught.value)
    assert [type(one) for one in found] == [error] * 2
    assert found[0].param == found[1].param
    return found[0]


def files_on_disk() -> int:
    """How many files this process holds that have no name, as spools have none."""
    found = []
    for descriptor in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(os.fstat(int(descriptor.name)))
    return sum(stat.S_ISREG(status.st_mode) and status.st_nlink == 0 for status in found)


# --- What is read ----------------------------------------------------------------------------


def test_a_form_is_read() -> None:
    """The file, what the client calls it, and the fields beside it."""
    body = form_of(field("purpose", "user_data"), file_part(b"%PDF-1.7 ...", media_type="application/pdf"))
    assert taken(body) == Taken(b"%PDF-1.7 ...", "a.pdf", "application/pdf", {"purpose": "user_data"})


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("declared", [True, False])
def test_a_form_may_drip(most: int, *, declared: bool) -> None:
    """However the network cuts it, with a length and without."""
    data = b"\r\n\r\n--\r" + MARK[:-1] + b"\r\n" + bytes(range(256)) * 4 + b"\r"
    body = form_of(file_part(data, media_type="image/png"), field("purpose", "vision"), field("empty", ""))
    expected = Taken(data, "a.pdf", "image/png", {"purpose": "vision", "empty": ""})
    assert taken(body, declared=declared, most=most) == expected


@given(data=CONTENTS, most=st.integers(1, 50), first=st.booleans(), declared=st.booleans())
def test_any_bytes_come_out_equal(*, data: bytes, most: int, first: bool, declared: bool) -> None:
    """Also what looks like a boundary, wherever the file stands in the form."""
    assume(re.search(rb"(?:\A|[\r\n])" + MARK, data) is None)
    parts = [file_part(data), field("purpose", "vision")]
    body = form_of(*(parts if first else reversed(parts)))
    assert taken(body, declared=declared, most=most) == Taken(data, "a.pdf", None, {"purpose": "vision"})


@given(seed=st.binary(min_size=1, max_size=8), most=st.integers(10_000, 200_000), lines=st.booleans())
def test_any_large_bytes_come_out_equal(*, seed: bytes, most: int, lines: bool) -> None:
    """Whatever stands where one read ends: a line break there may be the beginning of a boundary."""
    data = hashlib.shake_128(seed).digest(300_000)
    if lines:
        data = data.translate(bytes(byte if byte % 32 else 10 for byte in range(256)))
    assert taken(form_of(file_part(data)), most=most).data == data


@pytest.mark.parametrize("line", [b"\n", b"\r\n", b"a,b,c\r\n", b"\r", b"x" * 75 + b"\n"])
def test_a_long_text_comes_out_equal(line: bytes) -> None:
    """Every line of it ends as the line before a boundary does."""
    data = line * (900_000 // len(line))
    assert taken(form_of(file_part(data))).data == data


@pytest.mark.parametrize("rest", range(12))
def test_no_size_is_changed(rest: int) -> None:
    """Servers give a body in pieces of what is asked for, so that its length decides where the last of them begins."""
    empty = len(form_of(file_part(b"")))
    data = b"x" * (2 * PIECE + rest - empty)
    assert taken(form_of(file_part(data))).data == data


def test_an_empty_file_is_read() -> None:
    """That it is empty is said where it is looked at."""
    assert taken(form_of(file_part(b""))) == Taken(b"", "a.pdf", None, {})
    assert taken(form_of(file_part(b"")), most=1) == Taken(b"", "a.pdf", None, {})


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('name="file"; filename="a.pdf"', "a.pdf"),
        ("name=file; filename=a.pdf", "a.pdf"),
        ('filename="a.pdf"; name="file"', "a.pdf"),
        ('name="file"; filename="two words.pdf"', "two words.pdf"),
        ('name="file"; filename="a;b=c.pdf"', "a;b=c.pdf"),
        (r'name="file"; filename="say \"hi\".pdf"', 'say "hi".pdf'),
        ('name="file"; filename="отчёт 世.pdf"', "отчёт 世.pdf"),
        ("name=\"file\"; filename*=UTF-8''%D0%BE%D1%82%20a.pdf", "от a.pdf"),
        ("name=\"file\"; filename*=utf-8''%E4%B8%96.pdf", "世.pdf"),
        ('name="file"; filename="../../etc/passwd"', "../../etc/passwd"),
        ('name="file"; filename="=?utf-8?B?5LiWLnBk/w==?="; filename*=utf-8\'\'%E4%B8%96.pdf', "世.pdf"),
        ('name="file"; filename=""', ""),
        ('NAME="file"; FileName="a.pdf"', "a.pdf"),
    ],
)
def test_a_file_name_is_read_in_any_form(disposition: str, name: str) -> None:
    """Plain, quoted, in UTF-8 or as RFC 5987 has it; whether it can be used is looked at later."""
    assert taken(form_of(file_part(disposition=disposition))).name == name


def test_a_name_that_is_given_twice_is_read_once() -> None:
    """A plain one for old servers, and the true one: either will do, a mixture will not."""
    disposition = 'name="file"; filename="plain.pdf"; filename*=UTF-8\'\'%E4%B8%96.pdf'
    assert taken(form_of(file_part(disposition=disposition))).name in {"plain.pdf", "世.pdf"}


@pytest.mark.parametrize("media_type", ["application/pdf", "image/svg+xml", "x/y"])
def test_the_part_s_type_is_passed_on(media_type: str) -> None:
    """It is believed as little as any other."""
    assert taken(form_of(file_part(media_type=media_type))).media_type == media_type


@pytest.mark.parametrize(
    "kind",
    [
        f'multipart/form-data; boundary="{BOUNDARY}"',
        f"Multipart/Form-Data; charset=utf-8; Boundary={BOUNDARY}",
        f"multipart/form-data;boundary={BOUNDARY}",
    ],
)
def test_a_boundary_may_be_written_otherwise(kind: str) -> None:
    """Quoted, or behind other parameters."""
    body = form_of(file_part(b"data"))
    with reading(Wire(body), len(body), kind=kind) as form:
        assert form.spool.size == 4


@pytest.mark.parametrize("body", [b"preamble\r\n" + form_of(file_part(b"data")), form_of(file_part(b"data")) + b"end"])
def test_what_stands_around_a_form_is_passed_over(body: bytes) -> None:
    """As RFC 2046 wants it."""
    assert taken(body).data == b"data"


def test_bytes_beyond_the_declared_length_are_left_alone() -> None:
    """They belong to the next request."""
    body = form_of(file_part(b"data"))
    wire = Wire(body + b"GET / HTTP/1.1")
    with reading(wire, len(body)):
        assert wire.given == len(body)


# --- Limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("limit", [1, 1000, ON_DISK])
def test_a_file_may_have_exactly_the_limit(limit: int, *, declared: bool) -> None:
    """And not a byte more; the error names the field."""
    body = form_of(field("purpose", "vision"), file_part(b"x" * limit))
    assert len(taken(body, declared=declared, limit=limit).data) == limit
    body = form_of(field("purpose", "vision"), file_part(b"x" * (limit + 1)))
    assert refusal(body, RequestTooLarge, declared=declared, limit=limit).param == "file"


def test_what_is_declared_too_large_is_refused_unread() -> None:
    """Its length alone says so."""
    wire = Wire(form_of(file_part(b"x" * LIMIT)))
    with pytest.raises(RequestTooLarge) as caught, reading(wire, LIMIT + FRAME_BYTES + 1):
        pass
    assert [wire.given, caught.value.param] == [0, "file"]


@pytest.mark.parametrize("limit", [1, LIMIT])
@pytest.mark.parametrize(
    "head", [MARK + b"\r\n" + file_part(b""), b"", MARK + b"\r\n" + field("a", ""), MARK + b"\r\nContent-Disposition: "]
)
def test_what_never_ends_is_refused_in_time(head: bytes, limit: int) -> None:
    """A file, or what stands before one, or a field, or a header: little more is read than may be kept."""
    wire = Endless(head, b"x" * 1000, 1_000_000)
    with pytest.raises(RequestTooLarge) as caught, reading(wire, None, limit=limit):
        pass
    assert wire.given <= limit + FRAME_BYTES + PIECE
    assert caught.value.status == 413


@pytest.mark.parametrize("declared", [True, False])
def test_the_error_names_the_limit_of_files(*, declared: bool) -> None:
    """Not what a whole body may have."""
    error = refusal(form_of(file_part(b"x" * (3 * 1024 * 1024))), RequestTooLarge, declared=declared, limit=1024 * 1024)
    assert error.message == "The file is larger than the 1 MiB that are allowed."


def test_fields_that_are_too_long_together_are_not_called_a_file() -> None:
    """The file beside them may be small."""
    value = "x" * (MAX_FIELD_BYTES - 1000)
    fields = [field(f"field-{number}", value) for number in range(FRAME_BYTES // len(value) + 2)]
    error = refusal(form_of(*fields, file_part(b"data")), RequestTooLarge, declared=False, limit=10)
    assert error.message == "The form has too many fields, or too long ones."


def test_a_form_may_have_some_fields() -> None:
    """The file counts as one of them."""
    fields = [field(f"field-{number}", "x") for number in range(MAX_FIELDS - 1)]
    assert len(taken(form_of(*fields, file_part())).fields) == MAX_FIELDS - 1
    refusal(form_of(*fields, field("more", "x"), file_part()), RequestTooLarge)
    refusal(form_of(file_part(b"x" * ON_DISK), *fields, field("more", "x")), RequestTooLarge)


def test_a_field_may_be_somewhat_long() -> None:
    """Bounded, because it is kept in memory."""
    longest = "x" * (MAX_FIELD_BYTES - PIECE)
    assert taken(form_of(field("purpose", longest), file_part())).fields == {"purpose": longest}
    refusal(form_of(field("purpose", "x" * (MAX_FIELD_BYTES + 1)), file_part()), RequestTooLarge)
    refusal(form_of(file_part(b"x" * ON_DISK), field("purpose", "x" * (MAX_FIELD_BYTES + 1))), RequestTooLarge)


def test_a_large_file_is_never_whole_in_memory() -> None:
    """It passes through on its way to the disk."""
    block = bytes(range(256)) * 256
    wire = Endless(MARK + b"\r\n" + file_part(b""), block, 320, b"\r\n" + MARK + b"--\r\n")
    tracemalloc.start()
    try:
        with reading(wire, wire.length, limit=30_000_000) as form:
            assert form.spool.size == 320 * 65_536
            peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded",
        "application/json",
        "application/octet-stream; boundary=x",
        f"text/plain, {TYPE}",
        "x" * 8000,
        "multipart/form-data; " + "a=b; " * 2000,
    ],
)
def test_other_types_are_refused_unread(kind: str | None) -> None:
    """A form has a boundary."""
    body = form_of(file_part())
    wire = Wire(body)
    with pytest.raises(UnsupportedMediaType), reading(wire, len(body), kind=kind):
        pass
    assert wire.given == 0


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "GZIP", "x"])
def test_compressed_bodies_are_refused_unread(coding: str) -> None:
    """Nothing is inflated."""
    wire = Wire(form_of(file_part()))
    with pytest.raises(UnsupportedMediaType), reading(wire, None, encoding=coding):
        pass
    assert wire.given == 0


@pytest.mark.parametrize("coding", [None, "", "identity"])
def test_plain_bodies_are_taken(coding: str | None) -> None:
    """Identity is no encoding."""
    body = form_of(file_part(b"data"))
    with reading(Wire(body), len(body), encoding=coding) as form:
        assert form.spool.size == 4


@pytest.mark.parametrize("missing", [1, 2, 4, 40, 100_000, ON_DISK + 10])
def test_a_body_that_ends_too_early_is_refused(missing: int) -> None:
    """A client that went away in the middle sent no file, even if what came is a form."""
    before = files_on_disk()
    body = form_of(file_part(b"x" * ON_DISK), field("purpose", "vision"))
    with pytest.raises(InvalidRequest) as caught, reading(Wire(body[:-missing]), len(body)):
        pass
    assert caught.value.status == 400
    assert files_on_disk() == before


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (field("purpose", "vision"),),
        (field("file", "no file name, so no file"),),
        (file_part(disposition='name="document"; filename="a.pdf"'),),
        (file_part(disposition='filename="a.pdf"'),),
        (file_part(disposition='name="file[]"; filename="a.pdf"'),),
    ],
)
def test_a_form_without_a_file_is_refused(parts: tuple[bytes, ...]) -> None:
    """The field is named."""
    assert refusal(form_of(*parts), InvalidRequest).param == "file"


@pytest.mark.parametrize("size", [1, ON_DISK])
@pytest.mark.parametrize("other", ["file", "other"])
def test_a_form_with_two_files_is_refused(other: str, size: int) -> None:
    """Nobody would know which of them the answer is about; none of them stays."""
    parts = (file_part(b"x" * size), file_part(b"y" * size, f'name="{other}"; filename="b.pdf"'))
    for order in (parts, parts[::-1]):
        assert refusal(form_of(*order), InvalidRequest, limit=2 * ON_DISK).param == "file"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"garbage",
        MARK,
        MARK + b"\r\n",
        MARK + b"\r\n\r\n",
        MARK + b"\r\nContent-Type: text/plain\r\n\r\ndata\r\n" + MARK + b"--",
        MARK + b"\r\n" + file_part(b"x" * ON_DISK),
        MARK + b"\r\n" + file_part(b"x" * ON_DISK) + b"\r\n" + MARK[:-1] + b"--",
        MARK + b"\r\n" + file_part(b"x" * ON_DISK) + b"\r\n" + MARK,
        form_of(file_part(b"x" * ON_DISK), b'Content-Disposition: form-data; name="\xff"\r\n\r\nx'),
        form_of(b'Content-Disposition: form-data; name="file"; filename="\xe9.pdf"\r\n\r\nx'),
        form_of(file_part(b"x" * ON_DISK), b"\r\nx"),
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    """Cut, broken, or none at all: nothing of it stays."""
    refusal(body, InvalidRequest)


@pytest.mark.parametrize("length", [-1, 0])
def test_a_length_of_nothing_is_no_form(length: int) -> None:
    """It does not become a read without an end."""
    wire = Wire(form_of(file_part()))
    with pytest.raises(InvalidRequest), reading(wire, length):
        pass
    assert wire.given == 0


class Broken(Wire):
    """A connection that breaks when all has been read."""

    def read(self, size: int, /) -> bytes:
        data = super().read(size)
        if not data:
            raise TimeoutError
        return data


def test_errors_of_the_stream_pass_through() -> None:
    """They are for the door to judge; the file is let go."""
    before = files_on_disk()
    with pytest.raises(TimeoutError) as caught, reading(Broken(MARK + b"\r\n" + file_part(b"x" * ON_DISK)), LIMIT):
        pass
    assert files_on_disk() == before, caught


def test_the_file_is_there_within_the_block_only() -> None:
    """It is let go however the block ends."""
    before = files_on_disk()
    body = form_of(file_part(b"x" * ON_DISK))
    with reading(Wire(body), len(body)) as form:
        assert files_on_disk() == before + 1
    assert files_on_disk() == before
    with pytest.raises(ValueError, match="closed"):
        form.spool.content(None, None)
    with pytest.raises(ZeroDivisionError), reading(Wire(body), len(body)) as form:
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="closed"):
        form.spool.content(None, None)


@given(body=st.binary(max_size=300), declared=st.booleans())
def test_any_body_is_read_or_refused(*, body: bytes, declared: bool) -> None:
    """Never a crash."""
    with contextlib.suppress(GatewayError):
        taken(body, declared=declared)


@given(
    st.lists(
        st.sampled_from([
            MARK, b"--", b"\r\n", b"\n", b"\r", b":", b";", b" ", b'"', b"\xff", b"name=file", b'filename="a"',
            b"Content-Disposition: form-data", b"Content-Type: text/plain; charset=utf-16", b"*=UTF-8''%ff", b"*0=a",
            b"Content-Length: x", b"Transfer-Encoding: gzip", b"\x00", file_part(), MARK + b"--\r\n",
        ]),
        max_size=20,
    ).map(b"".join),
    st.integers(1, 30),
)  # fmt: skip
def test_almost_a_form_is_read_or_refused(body: bytes, most: int) -> None:
    """The same for what gets further."""
    with contextlib.suppress(GatewayError):
        taken(MARK + b"\r\n" + body, most=most)


@pytest.mark.parametrize("boundary", ["\xe9", "x" * 5000, "a b", "\\", ".*", "(", "世".encode().decode("latin-1")])
def test_any_boundary_is_read_or_refused(boundary: str) -> None:
    """It is text to look for, nothing else."""
    mark = b"--" + boundary.encode("latin-1")
    body = mark + b"\r\n" + file_part(b"data") + b"\r\n" + mark + b"--\r\n"
    try:
        with reading(Wire(body), len(body), kind=f'multipart/form-data; boundary="{boundary}"') as form:
            assert form.spool.size == 4
    except GatewayError as error:
        assert error.status in {400, 415}  # noqa: PT017 # either outcome is right
