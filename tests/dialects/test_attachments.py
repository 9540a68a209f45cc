"""Attachments in all the shapes in which clients write them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import tracemalloc
from urllib.parse import quote, quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.request import FilePart, Inline, Remote, Stored
from app.dialects.attachments import from_base64, from_id, from_url, openai_part
from app.errors import AttachmentRefused

PLACE = "messages[3].content[2]"
DATA = b"\xfb\xff\xbe\x00 some bytes?>"
PLAIN = base64.b64encode(DATA).decode()
PNG = f"data:image/png;base64,{PLAIN}"
URL = "https://files.example/a%20b.png?signature=x#page"
SLICE = 1024 * 1024
ONE_SLICE = 32_000_000

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([PNG, PLAIN, URL, "file-1"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["url", "file_id", "file_data"]), inner)
    ),
    max_leaves=4,
)


def part_of(**fields: object) -> FilePart:
    """What a part with these fields is."""
    return openai_part(fields, PLACE)


def refusal_of(**fields: object) -> str:
    """Why a part with these fields is refused; the error names the part."""
    with pytest.raises(AttachmentRefused) as caught:
        openai_part(fields, PLACE)
    assert caught.value.param == PLACE
    return caught.value.message


def inline(data: bytes, media_type: str | None = None) -> Inline:
    """Bytes that came with the request."""
    return Inline(data, hashlib.sha256(data).hexdigest(), media_type)


def bytes_of(part: FilePart) -> bytes:
    """The bytes of a part that came with the request."""
    assert isinstance(part.source, Inline)
    assert part.source.digest == hashlib.sha256(part.source.data).hexdigest()
    return part.source.data


# --- Shapes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        ({"type": "image_url", "image_url": {"url": PNG}}, inline(DATA, "image/png")),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}, inline(DATA, "image/png")),
        ({"type": "image_url", "image_url": {"url": URL}}, Remote(URL)),
        ({"type": "image_url", "image_url": PNG}, inline(DATA, "image/png")),
        ({"type": "image_url", "image_url": URL}, Remote(URL)),
        ({"type": "input_image", "image_url": PNG, "detail": "auto"}, inline(DATA, "image/png")),
        ({"type": "input_image", "image_url": URL, "file_id": None}, Remote(URL)),
        ({"type": "input_image", "image_url": {"url": URL}}, Remote(URL)),
        ({"type": "input_image", "file_id": "file-1"}, Stored("file-1")),
        ({"type": "input_image", "file_id": "file-1", "image_url": None}, Stored("file-1")),
        ({"type": "input_image", "file_id": "", "image_url": URL}, Remote(URL)),
    ],
)
def test_an_image(fields: dict[str, object], source: Inline | Remote | Stored) -> None:
    """As Chat Completions and Responses have it: the client takes it for an image."""
    assert part_of(**fields) == FilePart(source, PLACE, image=True)


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        (
            {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PLAIN}"}},
            inline(DATA, "application/pdf"),
        ),
        ({"type": "file", "file": {"file_data": PLAIN}}, inline(DATA)),
        ({"type": "file", "file": {"file_id": "file-1"}}, Stored("file-1")),
        ({"type": "file", "file": {"file_id": "file-1", "file_data": None, "filename": None}}, Stored("file-1")),
        ({"type": "file", "file": {"file_id": None, "file_data": PLAIN}}, inline(DATA)),
        ({"type": "file", "file": {"file_url": URL}}, Remote(URL)),
        ({"type": "file", "file": {"file_url": {"url": URL}}}, Remote(URL)),
        ({"type": "file", "file_url": {"url": URL}}, Remote(URL)),
        ({"type": "file", "file_url": {"url": PNG}}, inline(DATA, "image/png")),
        ({"type": "file", "file_url": URL}, Remote(URL)),
        ({"type": "file", "file_id": "file-1"}, Stored("file-1")),
        ({"type": "file_url", "file_url": {"url": URL}}, Remote(URL)),
        ({"type": "input_file", "file_data": f"data:;base64,{PLAIN}"}, inline(DATA)),
        ({"type": "input_file", "file_data": PLAIN}, inline(DATA)),
        ({"type": "input_file", "file_id": "file-1"}, Stored("file-1")),
        ({"type": "input_file", "file_url": URL}, Remote(URL)),
        ({"type": "input_file", "file_url": URL, "file_id": None, "file_data": ""}, Remote(URL)),
    ],
)
def test_a_file(fields: dict[str, object], source: Inline | Remote | Stored) -> None:
    """As Chat Completions and Responses have it, and as this service had it before there were such parts."""
    assert part_of(**fields) == FilePart(source, PLACE)


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "file", "file": {"file_data": PLAIN, "filename": "отчёт 1.pdf"}},
        {"type": "file", "file": {"file_data": PLAIN}, "filename": "отчёт 1.pdf"},
        {"type": "input_file", "file_data": f"data:application/pdf;base64,{PLAIN}", "filename": "отчёт 1.pdf"},
        {"type": "input_file", "file_url": URL, "filename": "отчёт 1.pdf"},
    ],
)
def test_a_file_has_the_name_that_the_client_gives(fields: dict[str, object]) -> None:
    """As it is: whether it can be used is looked at with the bytes."""
    assert part_of(**fields).name == "отчёт 1.pdf"


@pytest.mark.parametrize("name", [None, ""])
def test_a_file_need_not_have_a_name(name: str | None) -> None:
    """SDKs write optional fields so."""
    assert part_of(type="input_file", file_data=PLAIN, filename=name).name is None


@pytest.mark.parametrize("field", ["file_data", "file_id"])
@pytest.mark.parametrize("url", [URL, URL.replace("https", "HTTP")])
def test_a_url_may_stand_where_bytes_or_an_id_do(field: str, url: str) -> None:
    """OpenRouter's clients write it into file_data, LiteLLM's into file_id: it can be neither."""
    assert part_of(type="file", file={field: url, "filename": "a.pdf"}) == FilePart(Remote(url), PLACE, name="a.pdf")


@pytest.mark.parametrize("url", ["http://a.example", "HTTPS://A.example/x", "hTTp://a.example/x"])
def test_a_scheme_may_be_in_any_case(url: str) -> None:
    """The URL is kept as it is: its path and query are of another's making."""
    assert from_url(url, PLACE) == FilePart(Remote(url), PLACE)


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        ("data:image/png;base64", "image/png"),
        ("DATA:IMAGE/PNG;BASE64", "image/png"),
        ("data:;base64", None),
        ("data:application/pdf;name=a.pdf;base64", "application/pdf"),
        ("data:text/plain;charset=utf-8;base64", "text/plain"),
        ("data:text/plain; charset=utf-8; base64", "text/plain"),
        ("data: image/png ;base64", "image/png"),
    ],
)
def test_a_data_url_in_base64(header: str, media_type: str | None) -> None:
    """RFC 2397, in any case and with any parameters."""
    assert from_url(f"{header},{PLAIN}", PLACE).source == inline(DATA, media_type)


@pytest.mark.parametrize(
    ("url", "data", "media_type"),
    [
        ("data:,hello%20world", b"hello world", None),
        ("data:text/plain,a,b", b"a,b", "text/plain"),
        ("data:text/plain;charset=utf-8,%E4%B8%96+1", "世+1".encode(), "text/plain"),
        ("data:text/plain,世", "世".encode(), "text/plain"),
        ("data:text/plain,50%", b"50%", "text/plain"),
        ("data:text/csv,a%0D%0Ab\n", b"a\r\nb\n", "text/csv"),
        ("data:image/svg+xml;utf8,<svg xmlns='x'/>", b"<svg xmlns='x'/>", "image/svg+xml"),
    ],
)
def test_a_data_url_in_plain_characters(url: str, data: bytes, media_type: str | None) -> None:
    """Escapes stand for bytes, and a plus is a plus."""
    assert from_url(url, PLACE).source == inline(data, media_type)


@pytest.mark.parametrize("file_id", ["file-0123abc", "a", "A_b.c:d-9", "x" * 128])
def test_an_id(file_id: str) -> None:
    """Whether there is such a file is another question."""
    assert from_id(file_id, PLACE) == FilePart(Stored(file_id), PLACE)


# --- Base64 as clients write it --------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("="),
        PLAIN.replace("+", "-").replace("/", "_"),
        PLAIN.replace("+", "-").replace("/", "_").rstrip("="),
        "\n".join(PLAIN),
        "\r\n".join(PLAIN) + "\r\n",
        f" {PLAIN[:7]} {PLAIN[7:]}\t",
        quote(PLAIN, safe=""),
        quote("\r\n".join(PLAIN), safe=""),
        PLAIN[:-1],
    ],
)
def test_base64_is_taken_as_it_comes(text: str) -> None:
    """Wrapped into lines, in the alphabet for URLs, without padding, escaped."""
    assert bytes_of(from_base64(text, PLACE)) == DATA
    assert bytes_of(from_url(f"data:image/png;base64,{text}", PLACE)) == DATA


@given(
    data=st.binary(min_size=1, max_size=300),
    line=st.integers(1, 100),
    end=st.sampled_from(["", "\n", "\r\n", " ", "\t"]),
    for_urls=st.booleans(),
    padded=st.booleans(),
    escaped=st.booleans(),
)
def test_any_bytes_come_out_equal(
    *, data: bytes, line: int, end: str, for_urls: bool, padded: bool, escaped: bool
) -> None:
    """Whatever the length of the lines and the alphabet."""
    text = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    text = end.join(text[start : start + line] for start in range(0, len(text), line)) + end
    text = quote(text, safe="") if escaped else text
    assert bytes_of(from_base64(text, PLACE)) == data
    assert bytes_of(from_url(f"data:;base64,{text}", PLACE)) == data


@given(st.binary(min_size=1, max_size=300))
def test_any_escaped_bytes_come_out_equal(data: bytes) -> None:
    """Without base64."""
    assert bytes_of(from_url("data:," + quote_from_bytes(data), PLACE)) == data


@pytest.mark.parametrize("size", [SLICE // 4 * 3 + change for change in (-2, -1, 0, 1, 2)] + [3 * SLICE])
@pytest.mark.parametrize("line", [76, 1_000_000_000])
def test_a_large_file_comes_out_equal(size: int, line: int) -> None:
    """It is decoded in slices, and no slice loses a byte."""
    data = hashlib.shake_128(b"seed").digest(size)
    text = base64.b64encode(data).decode()
    lines = "\n".join(text[start : start + line] for start in range(0, len(text), line))
    assert bytes_of(from_base64(lines, PLACE)) == data


@pytest.mark.parametrize("size", [200_000, 1_000_000])
def test_many_escapes_come_out_equal(size: int) -> None:
    """Wherever a cut may fall among them."""
    data = b"a\xff%41" * (size // 5)
    assert bytes_of(from_url("data:,x" + quote_from_bytes(data), PLACE)) == b"x" + data


@pytest.mark.parametrize(
    "url",
    [
        "data:," + "%41" * 300_000,
        "data:," + "%" * 500_000,
        "data:;base64," + "%41" * 300_000,
        "data:;base64," + "%0A" * 300_000 + "QUFB",
        "data:;base64," + "QUFB" + "\n" * 2_000_000,
        "data:;base64," + "A\n" * 1_000_000,
        "data:;base64," + "-_" * 1_000_000,
        "data:" + ";" * 2_000_000,
    ],
    ids=["escapes", "percent signs", "base64 in escapes", "lines in escapes", "blanks", "lines", "for URLs", "header"],
)
def test_escapes_cost_memory_in_proportion(url: str) -> None:
    """Beside what one slice takes: nobody fills the worker by a body that stands for little."""
    tracemalloc.start()
    try:
        with contextlib.suppress(AttachmentRefused):
            from_url(url, PLACE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(url) + ONE_SLICE


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "SECRET!",
        "SECRET*",
        "SE.CRET=",
        "SECRETé",
        "SECRET\u00a0AA",
        "SECRET世",
        "SECRET\x00",
        "SECRET%00",
        "SECRET%E9",
        "SECRET%",
        "SECRETSEC",
        "=SECRET=",
        "SEC=RETS",
        "SE==CRET",
        "A",
        "data;base64,SECRET",
        "application/pdf;base64,SECRET",
        "A" * SLICE + "=" + "SECRET",
        "A" * (SLICE - 2) + "==" + "SECRETSE",
        "A" * (SLICE - 1) + "=" + "SECRETSE",
    ],
)
def test_what_is_no_base64_is_refused(text: str) -> None:
    """Also where it is wrong in the middle of a large file; what was sent is not repeated."""
    for message in (
        refusal_of(type="input_file", file_data=text),
        refusal_of(type="image_url", image_url={"url": f"data:image/png;base64,{text}"}),
    ):
        assert message.startswith("The base64 ")
        assert "SECRET" not in message


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
        {"type": "image_url", "image_url": "data:,"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,"}},
        {"type": "file", "file": {"file_data": "===="}},
        {"type": "input_file", "file_data": " \r\n"},
        {"type": "input_file", "file_url": "data:;base64,%0A"},
    ],
)
def test_an_empty_file_is_refused(fields: dict[str, object]) -> None:
    """A model must not answer as if it had seen something."""
    assert refusal_of(**fields) == "The file is empty: it has 0 bytes."


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://files.example/a",
        "blob:https://a.example/0b5f",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_x",
        "//a.example/x",
        "/etc/passwd",
        "a.example/x",
        "http:/a.example",
        "https:a.example",
        "httpx://a.example",
        "x-http://a.example",
        " http",
        "http\n://a.example",
        "\x00http://a.example",
        "ms-data:,x",
        "dat",
    ],
)
def test_other_schemes_are_refused(url: str) -> None:
    """Nothing but the web and the bytes themselves is looked at."""
    expected = "The URL must begin with http://, https:// or data:."
    assert refusal_of(type="image_url", image_url={"url": url}) == expected
    assert refusal_of(type="file", file_url={"url": url}) == expected


@pytest.mark.parametrize("url", ["data:", "data:image/png;base64", "data:" + "x" * 2000 + ",QQ==", "data:%2Cx"])
def test_a_data_url_needs_its_comma(url: str) -> None:
    """Soon enough: nobody's header is longer than a thousand characters."""
    assert refusal_of(type="image_url", image_url=url) == "The data URL has no comma before its bytes."


@pytest.mark.parametrize(
    "file_id",
    [" ", "a b", "../a", "a/b", "a\n", "fïle", "file-\uff11", "x" * 129, "%2e%2e", "a\x00", "a?b", "ms://a"],
)
def test_what_can_be_no_id_is_refused(file_id: str) -> None:
    """It would be looked up, and would stand in keys and paths."""
    for fields in ({"type": "file", "file": {"file_id": file_id}}, {"type": "input_image", "file_id": file_id}):
        assert refusal_of(**fields) == "file_id is not the id of a file."


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "image_url"},
        {"type": "image_url", "image_url": None},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": ""}},
        {"type": "image_url", "image_url": {"URL": URL}},
        {"type": "input_image"},
        {"type": "input_image", "image_url": None, "file_id": None},
    ],
)
def test_an_image_part_without_an_image_is_refused(fields: dict[str, object]) -> None:
    """It says what it has to hold."""
    assert refusal_of(**fields) == f"{PLACE} must hold image_url."


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "file"},
        {"type": "file", "file": None},
        {"type": "file", "file": {}},
        {"type": "file", "file": PLAIN},
        {"type": "file", "file": [{"file_data": PLAIN}]},
        {"type": "file", "file": {"filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "", "file_id": "", "file_url": ""}},
        {"type": "file", "file_url": {"url": None}},
        {"type": "input_file"},
        {"type": "input_file", "filename": "a.pdf"},
    ],
)
def test_a_file_part_without_a_file_is_refused(fields: dict[str, object]) -> None:
    """It says what it has to hold."""
    assert refusal_of(**fields) == f"{PLACE} must hold file_data, file_id or file_url."


@pytest.mark.parametrize("value", [7, 0, 1.5, True, False, [], [PNG], ["a"]])
@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("image_url", {"type": "image_url"}),
        ("image_url", {"type": "input_image"}),
        ("file_url", {"type": "file"}),
        ("file_url", {"type": "input_file"}),
        ("file_data", {"type": "input_file"}),
        ("file_id", {"type": "input_file"}),
        ("filename", {"type": "input_file", "file_data": PLAIN}),
    ],
)
def test_a_field_of_another_type_is_named(field: str, fields: dict[str, object], value: object) -> None:
    """It is neither turned into text nor passed over."""
    assert refusal_of(**fields, **{field: value}) == f"{field} must be a string."


@pytest.mark.parametrize("value", [7, True, [], {}, {"url": URL}])
@pytest.mark.parametrize(("outer", "field"), [("image_url", "url"), ("file_url", "url"), ("file", "file_data")])
def test_a_field_of_another_type_within_an_object_is_named(outer: str, field: str, value: object) -> None:
    """The same a level deeper."""
    assert refusal_of(type="file", **{outer: {field: value}}) == f"{field} must be a string."


@given(
    kind=st.sampled_from(["image_url", "input_image", "file", "input_file", "file_url"]),
    fields=st.dictionaries(
        st.sampled_from(["image_url", "file_url", "file", "file_data", "file_id", "filename"]), ANY_JSON
    ),
)
def test_any_part_is_taken_or_refused(kind: str, fields: dict[str, object]) -> None:
    """Never a crash, and the part is named."""
    try:
        part = openai_part({"type": kind, **fields}, PLACE)
    except AttachmentRefused as error:
        assert error.param == PLACE  # noqa: PT017 # either outcome is right
    else:
        assert part.place == PLACE
        assert part.image is (kind in {"image_url", "input_image"})


def test_what_a_person_sent_is_not_shown() -> None:
    """A part may stand in a log line or a traceback: neither bytes nor signatures do."""
    shown = repr([part_of(type="input_file", file_data=PLAIN), part_of(type="input_file", file_url=URL)])
    assert "some bytes" not in shown
    assert "signature" not in shown


def test_the_same_bytes_are_the_same_attachment() -> None:
    """However they are written, so that they are uploaded once."""
    one, other = from_base64(PLAIN, "messages[0].content[0]"), from_url(PNG, "messages[2].content[1]", image=True)
    assert one.identity == other.identity
    assert one.identity != from_base64("QQ==", PLACE).identity
