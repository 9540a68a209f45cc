"""The strict JSON reader."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.dialects.body import MAX_DEPTH, MAX_INTEGER_LENGTH, ByteStream, parse_json_object, read_json_body
from app.errors import GatewayError, InvalidRequest, RequestTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT: Final = 1_000_000
CORPUS: Final = Path(__file__).parents[1] / "corpora" / "bad_inputs.jsonl"


class Drip:
    """A stream that gives at most `most` bytes at once and counts what it gave."""

    def __init__(self, data: bytes, most: int = 1 << 30) -> None:
        self._rest = io.BytesIO(data)
        self._most = most
        self.given = 0

    def read(self, size: int, /) -> bytes:
        piece = self._rest.read(min(size, self._most))
        self.given += len(piece)
        return piece


def read_json_object(
    stream: ByteStream, length: int | None, content_type: str | None, content_encoding: str | None, limit: int
) -> dict[str, object]:
    """Both steps, as a door takes them."""
    return parse_json_object(read_json_body(stream, length, content_type, content_encoding, limit))


def read(body: bytes, *, limit: int = LIMIT) -> dict[str, object]:
    """Read `body` as a well-behaved client sends it."""
    return read_json_object(io.BytesIO(body), len(body), "application/json", None, limit)


def read_headers(
    content_type: str | None = "application/json",
    content_encoding: str | None = None,
) -> dict[str, object]:
    """Read `{}` under the given headers."""
    return read_json_object(io.BytesIO(b"{}"), 2, content_type, content_encoding, LIMIT)


def refusal(body: bytes) -> str:
    """Return the message with which `body` is refused."""
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    return caught.value.message


# --- Headers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        'application/json; charset="utf-8"; x=y',
        "application/json; charset=utf8",
        "application/problem+json",
        "application/vnd.api.v1+json ; profile=a",
    ],
)
def test_json_types_are_taken(content_type: str) -> None:
    """JSON and its +json relatives pass, with any parameters."""
    assert read_headers(content_type) == {}


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/jsonl",
        "application/+json",
        "application/a b+json",
        "application/json, application/json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; a=b; charset = "iso-8859-1"',
        "application/json; charset=utf-8; charset=gbk",
        "application/json; charset=",
        "x" * 100_000,
        "application/" + "x+" * 50_000,
        "application/json" + "; charset " * 20_000 + "; charset=x",
    ],
)
def test_other_types_are_refused(content_type: str | None) -> None:
    """Anything else is 415, also when it is missing: a foreign page can send those unasked."""
    with pytest.raises(UnsupportedMediaType):
        read_headers(content_type)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "x", "identity, gzip", "GZIP"])
def test_compressed_bodies_are_refused(coding: str) -> None:
    """Nothing is inflated."""
    with pytest.raises(UnsupportedMediaType):
        read_headers(content_encoding=coding)


@pytest.mark.parametrize("coding", [None, "", "identity", " Identity "])
def test_plain_bodies_are_taken(coding: str | None) -> None:
    """Identity is no encoding."""
    assert read_headers(content_encoding=coding) == {}


# --- Size ------------------------------------------------------------------------------------


def test_declared_length_over_the_limit_is_refused_unread() -> None:
    """The body is not touched when its length alone refuses it."""
    stream = Drip(b"{}")
    with pytest.raises(RequestTooLarge):
        read_json_object(stream, 101, "application/json", None, 100)
    assert stream.given == 0


def test_body_without_length_is_read_to_one_byte_over_the_limit() -> None:
    """A chunked body is bounded by what is read."""
    stream = Drip(b" " * 1000)
    with pytest.raises(RequestTooLarge):
        read_json_object(stream, None, "application/json", None, 100)
    assert stream.given == 101


@pytest.mark.parametrize("declared", [True, False])
def test_body_of_exactly_the_limit_is_taken(*, declared: bool) -> None:
    """The limit is inclusive."""
    body = b'{"a":1}'
    length = len(body) if declared else None
    got = read_json_object(io.BytesIO(body), length, "application/json", None, len(body))
    assert got == {"a": 1}


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_body_may_come_in_pieces(most: int) -> None:
    """A read may return less than was asked for."""
    body = json.dumps({"a": "世界" * 1000}).encode()
    stream = Drip(body, most)
    assert read_json_object(stream, None, "application/json", None, LIMIT) == json.loads(body)


def test_bytes_beyond_the_declared_length_are_left_alone() -> None:
    """They belong to the next request."""
    stream = Drip(b"{}garbage")
    assert read_json_object(stream, 2, "application/json", None, LIMIT) == {}
    assert stream.given == 2


def test_truncated_body_is_refused() -> None:
    """A client that went away in the middle sent no request, even if what came is JSON."""
    with pytest.raises(InvalidRequest, match="shorter"):
        read_json_object(io.BytesIO(b"{}"), 3, "application/json", None, LIMIT)


def test_negative_length_is_refused() -> None:
    """Servers stop it earlier; here it does not become `read(-1)`."""
    with pytest.raises(InvalidRequest):
        read_json_object(io.BytesIO(b"{}"), -1, "application/json", None, LIMIT)


@pytest.mark.parametrize("length", [0, None])
def test_empty_body_is_refused(length: int | None) -> None:
    """Nothing is not an empty object."""
    with pytest.raises(InvalidRequest, match="empty"):
        read_json_object(io.BytesIO(b""), length, "application/json", None, LIMIT)


def test_errors_of_the_stream_pass_through() -> None:
    """They are for the door to judge: a deadline, a broken connection."""

    class Broken:
        def read(self, size: int, /) -> bytes:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        read_json_object(Broken(), 5, "application/json", None, LIMIT)


# --- Content ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a":"\xe9"}', "not valid UTF-8 (byte 6)"),
        (b'{"a":"\xc0\xaf"}', "not valid UTF-8 (byte 6)"),
        (b'{"a":"\xed\xa0\x80"}', "not valid UTF-8"),
        ('{"a":1}'.encode("utf-16"), "not valid UTF-8"),
        ('{"a":1}'.encode("utf-16-le"), "not valid JSON"),
        (b"", "empty"),
        (b"   ", "not valid JSON"),
        (b"{} x", "(line 1, column 4)"),
        (b"{}{}", "(line 1, column 3)"),
        (b'{\n  "a": tru\n}', "(line 2, column 8)"),
        (b'{"a":1,}', "not valid JSON"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":"\n"}', "not valid JSON"),
        (b'{"a":"\\x"}', "not valid JSON"),
        (b'{"a":"\\u12"}', "not valid JSON"),
        (b'{"a":01}', "not valid JSON"),
        (b'{"a":.5}', "not valid JSON"),
        (b'{"a":1.}', "not valid JSON"),
        (b'{"a":+1}', "not valid JSON"),
        ('{"a":\uff11}'.encode(), "not valid JSON"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":[Infinity]}', "Infinity"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":1e999}', "too large"),
        (b'{"a":[-1.5E+400]}', "too large"),
        (b'{"a":1,"a":1}', "same key twice"),
        (b'{"b":[{"a":1,"\\u0061":2}]}', "same key twice"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"a"', "must be a JSON object"),
        (b"1", "must be a JSON object"),
        (b"true", "must be a JSON object"),
    ],
)
def test_refused_content(body: bytes, says: str) -> None:
    """Each defect has its own sentence."""
    assert says in refusal(body)


@pytest.mark.parametrize(
    "string",
    [
        r"\ud800",
        r"\uDFFF",
        r"\udc00\ud800",
        r"\ud800\ud800\udc00",
        r"\ud83d\ude00\ude00",
        r"\ud800x\udc00",
        r"\ud800\n\udc00",
        r"\ud800\\\udc00",
        r"\ud800\\udc00",
        r"\\\ud800",
    ],
)
def test_lone_surrogates_are_refused(string: str) -> None:
    """In values and in keys, whatever stands around them."""
    assert "surrogate" in refusal(f'{{"a":"{string}"}}'.encode())
    assert "surrogate" in refusal(f'{{"{string}":[]}}'.encode())


@pytest.mark.parametrize(
    ("string", "meaning"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"\uD83D\uDE00\uD83D\uDE00", "😀😀"),
        (r"\\ud800", r"\ud800"),
        (r"\\\\udfff", r"\\udfff"),
        (r"\\\ud83d\ude00", "\\😀"),
        (r"\ud7ff\ue000", "\ud7ff\ue000"),
        ("😀", "😀"),
    ],
)
def test_pairs_and_what_only_looks_like_surrogates_pass(string: str, meaning: str) -> None:
    """A pair is one character; an escaped backslash escapes nothing more."""
    assert read(f'{{"{string}":"{string}"}}'.encode()) == {meaning: meaning}


def test_integers_have_a_longest() -> None:
    """One digit fewer than a double may lack is fine, one more is not."""
    longest = "9" * MAX_INTEGER_LENGTH
    assert read(f'{{"a":{longest}}}'.encode()) == {"a": int(longest)}
    float(int(longest))
    assert "integer longer" in refusal(f'{{"a":{longest}9}}'.encode())
    assert "integer longer" in refusal(b'{"a":' + b"9" * 100_000 + b"}")


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"k":', "}")])
def test_depth_is_bounded(left: str, right: str) -> None:
    """MAX_DEPTH levels pass, the outermost object included; one more does not."""
    inner = MAX_DEPTH - 1
    read(f'{{"a":{left * inner}1{right * inner}}}'.encode())
    assert "deeper" in refusal(f'{{"a":{left * (inner + 1)}1{right * (inner + 1)}}}'.encode())


@pytest.mark.parametrize("unit", [b'{"a":', b"[", b'{"a":[', b'[[],"]",'])
def test_abysmal_nesting_is_no_recursion_error(unit: bytes) -> None:
    """Open brackets without end are refused before anything recurses."""
    assert "deeper" in refusal(unit * 50_000)


def test_brackets_in_strings_are_not_depth() -> None:
    """Code in a message nests nothing, whatever is escaped in it."""
    text = 'if x["a\\"]: {[' * 100 + "\\"
    body = {"messages": [{"content": text}, {"content": text}] * 100, text: []}
    assert read(json.dumps(body).encode()) == body


def test_many_shallow_brackets_are_not_depth() -> None:
    """Only what stands within each other counts."""
    body = {"a": [[[]], {}, {"b": "]"}] * 1000}
    assert read(json.dumps(body).encode()) == body


def test_messages_never_quote_the_body() -> None:
    """What a person wrote does not end up in a log through an error."""
    for body in (
        b'{"SECRET":SECRET}',
        b'{"SECRET":1,"SECRET":2}',
        b"SECRET",
        b'"SECRET"',
        b'{"a":"\\SECRET"}',
    ):
        assert "SECRET" not in refusal(body)


# --- In two steps ----------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"{}", b"no JSON at all", b"\xff", b"\xef\xbb\xbf{}", b"[" * 1000])
def test_reading_alone_does_not_look_at_the_content(body: bytes) -> None:
    """It is the cheap half: what waits for the network."""
    assert b"".join(read_json_body(io.BytesIO(body), len(body), "application/json", None, LIMIT)) == body


@pytest.mark.parametrize(
    ("length", "content_type", "content_encoding", "error"),
    [
        (2, "text/plain", None, UnsupportedMediaType),
        (2, "application/json; charset=gbk", None, UnsupportedMediaType),
        (2, "application/json", "gzip", UnsupportedMediaType),
        (LIMIT + 1, "application/json", None, RequestTooLarge),
        (-1, "application/json", None, InvalidRequest),
        (0, "application/json", None, InvalidRequest),
    ],
)
def test_reading_alone_judges_the_headers(
    length: int, content_type: str, content_encoding: str | None, error: type[GatewayError]
) -> None:
    """Before a byte is read."""
    stream = Drip(b"{}")
    with pytest.raises(error):
        read_json_body(stream, length, content_type, content_encoding, LIMIT)
    assert stream.given == 0


def test_parsing_alone_judges_the_content() -> None:
    """It is the dear half, and needs nothing of the request."""
    assert parse_json_object([b'{"a":[1,"\xe4', b'\xb8\x96"]}']) == {"a": [1, "世"]}
    for body in (b"", b"[]", b"{} x", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 1000):
        with pytest.raises(InvalidRequest):
            parse_json_object([body])


# --- The corpus ------------------------------------------------------------------------------


def _corpus() -> Iterator[tuple[str, int, bytes, dict[str, str]]]:
    """Yield id, status, body and lower-case headers of the rows that this reader decides."""
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["category"] not in {"json", "size"} and not row["id"].startswith("ce-"):
            continue
        headers = {"content-type": "application/json"}
        if "body_repeat" in row:
            unit, times = row["body_repeat"]
            body = (unit * times).encode()
            headers["content-length"] = str(len(body))
        elif row["raw_latin1"] == "CHUNKED_OVER":
            body = b"a" * 1_200_000
        else:
            head, _, content = row["raw_latin1"].partition("\r\n\r\n")
            body = content.encode("latin-1")
            pairs = (field.split(": ", 1) for field in head.split("\r\n")[1:])
            headers = {name.lower(): value for name, value in pairs}
        yield row["id"], row["expect_status"], body, headers


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [pytest.param(*row[1:], id=row[0]) for row in _corpus()],
)
def test_corpus(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Every bad body of the shared corpus gets the status that it should."""
    length = headers.get("content-length")
    with pytest.raises(GatewayError) as caught:
        read_json_object(
            io.BytesIO(body),
            None if length is None else int(length),
            headers.get("content-type"),
            headers.get("content-encoding"),
            LIMIT,
        )
    assert caught.value.status == status


# --- Properties ------------------------------------------------------------------------------

_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]))
_SCALARS: Final = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT
_VALUES: Final = st.recursive(
    _SCALARS,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(_TEXT, children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_TEXT, _VALUES, max_size=5), st.booleans())
def test_every_json_object_comes_back(value: dict[str, object], escaped: bool) -> None:  # noqa: FBT001 (@given)
    """What another writer wrote is read as it was meant, escaped or not."""
    assert read(json.dumps(value, ensure_ascii=escaped).encode()) == value


@given(st.binary())
def test_random_bytes_are_read_or_refused(body: bytes) -> None:
    """No input raises anything that is not of the error tree."""
    with contextlib.suppress(GatewayError):
        read(body)


_PIECES: Final = st.sampled_from(
    [
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b'"a":',
        b",",
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\ude00",
        b"1",
        b"e9",
        b" ",
        b"\xe4",
    ],
)


@given(st.lists(_PIECES).map(b"".join))
def test_almost_json_is_read_or_refused(inner: bytes) -> None:
    """The same for bytes that get further; and what is read can be written as UTF-8 JSON again."""
    try:
        value = read(b'{"x":' + inner + b"}")
    except GatewayError:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def _depth(value: object) -> int:
    """Measure nesting the slow way."""
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(
    st.lists(
        st.sampled_from(["[{}]", '[{},"]["]', '["\\\\",{}]', '["\\"[",{}]', '{{"k":{}}}', '{{"[":{},"z":[[]]}}']),
        min_size=MAX_DEPTH - 8,
        max_size=MAX_DEPTH + 8,
    ),
)
def test_depth_is_measured_exactly(levels: list[str]) -> None:
    """The scan agrees with a walk through the parsed value."""
    text = "1"
    for level in levels:
        text = level.format(text) if level.startswith("{") else level.replace("{}", text)
    text = f'{{"a":{text}}}'
    if _depth(json.loads(text)) <= MAX_DEPTH:
        read(text.encode())
    else:
        assert "deeper" in refusal(text.encode())
