"""Files of the legacy protocol: what is sent for them, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.content import Content
from app.errors import (
    AccountRestricted,
    AttachmentRefused,
    ContentFiltered,
    GatewayError,
    RateLimitExceeded,
    RequestTooLarge,
    TokenExpired,
    UpstreamBlocked,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from app.kimi import rest_files
from app.kimi.http import FileBody, HttpAnswer, HttpRequest
from app.kimi.reading import Reading
from app.kimi.rest_files import Place
from tests.kimi.answers import json_answer, page
from tests.kimi.bodies import body_of
from tests.kimi.contents import document, image
from tests.kimi.streams import capture

BASE: Final = "https://kimi.moonshot.cn"
TOKEN: Final = "the-token"
PLACE: Final = Place("https://storage.example/key?signature=abc", "object-1", "file-1")
CAPTURED_ID: Final = "<20 chars>"


def captured(where: str) -> list[dict[str, Any]]:
    """The rows of a call in the captured answers of 2024."""
    return [row for row in capture("09") if row["where"].startswith(where)]


def sent(request: HttpRequest) -> tuple[str, str, object]:
    """Method, URL and JSON body of a call that bears the token and names its origin."""
    assert request.headers["Authorization"] == "Bearer the-token"
    assert request.headers["Origin"] == BASE
    assert request.headers["Content-Type"] == "application/json"
    return request.method, request.url, json.loads(body_of(request))


# --- A place for the bytes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "action", "name"),
    [(document(), "file", "a.pdf"), (image(), "image", "a.png"), (document(name="报告.pdf"), "file", "报告.pdf")],
    ids=["document", "image", "name"],
)
def test_a_place_is_asked_for(content: Content, action: str, name: str) -> None:
    """For a file or an image of that name."""
    assert sent(rest_files.request_place(BASE, TOKEN, content)) == (
        "POST",
        "https://kimi.moonshot.cn/api/pre-sign-url",
        {"action": action, "name": name},
    )


def placed(url: object, base: str = BASE) -> Place:
    """What an answer with this URL gives."""
    return rest_files.place_of(json_answer({"url": url, "object_name": "o", "file_id": "f"}), base)


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://prod-chat-kimi.tos-s3-cn-beijing.volces.com/key?X-Amz-Signature=abc", BASE),
        ("https://kimi.moonshot.cn/put/key", BASE),
        ("https://storage.example/key", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/put/key", "http://127.0.0.1:8080"),
    ],
)
def test_a_place_is_elsewhere_or_the_site_itself(url: str, base: str) -> None:
    """Elsewhere it is encrypted; at the site it is as safe as the site."""
    assert placed(url, base) == Place(url, "o", "f")


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://storage.example/key", BASE),
        ("http://kimi.moonshot.cn/put/key", BASE),
        ("http://storage.example/key", "http://127.0.0.1:8080"),
        ("http://127.0.0.1/put/key", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8081/put/key", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080@storage.example/key", "http://127.0.0.1:8080"),
        ("ftp://kimi.moonshot.cn/key", BASE),
        ("file:///etc/passwd", BASE),
        ("//storage.example/key", BASE),
        ("/key", BASE),
        ("javascript:alert(1)", BASE),
        ("https://[storage.example/key", BASE),
    ],
)
def test_a_place_that_is_not_to_be_trusted_is_refused(url: str, base: str) -> None:
    """The bytes are a person's: they do not go over the network for all to read."""
    with pytest.raises(UpstreamProtocolError) as caught:
        placed(url, base)
    assert "storage" not in caught.value.message


def test_a_place_hides_its_signature() -> None:
    """The URL is the permission."""
    assert "abc" not in repr(PLACE)


@pytest.mark.parametrize("url", [None, "", 7, {}])
def test_an_answer_without_a_place_is_no_success(url: object) -> None:
    """Also under status 200."""
    with pytest.raises(UpstreamProtocolError):
        placed(url)


# --- The bytes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "kind"), [(document(), "application/pdf"), (image(), "image/png")])
def test_the_bytes_go_without_a_token(content: Content, kind: str) -> None:
    """To a host of which nothing is known but its URL; what they are is said as found, and nothing else."""
    request = rest_files.put(PLACE, content)
    assert (request.method, request.url, request.headers) == ("PUT", PLACE.url, {"Content-Type": kind})
    assert isinstance(request.body, FileBody)
    assert request.body.file is content.file
    assert (request.body.head, request.body.size, request.body.tail) == (b"", content.size, b"")


# --- The file made of them --------------------------------------------------------------------------------------


def test_a_document_is_made_of_what_was_put() -> None:
    """By the name of the object."""
    assert sent(rest_files.register(BASE, TOKEN, document(), PLACE)) == (
        "POST",
        "https://kimi.moonshot.cn/api/file",
        {"type": "file", "name": "a.pdf", "object_name": "object-1", "file_id": ""},
    )


def test_an_image_is_made_of_what_was_put() -> None:
    """By the id that it was promised."""
    assert sent(rest_files.register(BASE, TOKEN, image(), PLACE)) == (
        "POST",
        "https://kimi.moonshot.cn/api/file",
        {"type": "image", "name": "a.png", "file_id": "file-1"},
    )


def test_the_captured_answer_names_the_file() -> None:
    """By its id."""
    (row,) = captured("POST /api/file response")
    assert rest_files.registered(json_answer(row["body"])) == CAPTURED_ID


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"id": 7}, {"id": ""}, {"file": {"id": "f1"}}])
def test_an_answer_that_names_no_file_is_no_success(body: object) -> None:
    """Also under status 200."""
    with pytest.raises(UpstreamProtocolError):
        rest_files.registered(json_answer(body))


# --- Refusals ---------------------------------------------------------------------------------------------------


def error(error_type: str, **more: object) -> dict[str, object]:
    """An error as the legacy site writes it."""
    return {"error_type": error_type, **more}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (page(413), RequestTooLarge),
        (HttpAnswer(413, {}, b""), RequestTooLarge),
        (json_answer(error("file.too_large"), 413), RequestTooLarge),
        (json_answer(error("file.type_not_supported"), 400), AttachmentRefused),
        (json_answer(error("file.empty"), 200), AttachmentRefused),
        (json_answer({"code": "invalid_argument"}, 400), AttachmentRefused),
        (json_answer({}, 400), AttachmentRefused),
        (json_answer(error("auth.token.invalid"), 401), TokenExpired),
        (json_answer(error("auth.token.invalid"), 200), TokenExpired),
        (HttpAnswer(401, {}, b""), TokenExpired),
        (HttpAnswer(429, {}, b""), RateLimitExceeded),
        (json_answer(error("chat.forbidden"), 403), AccountRestricted),
        (json_answer(error("content.sensitive"), 400), ContentFiltered),
        (json_answer(error("internal.error"), 404), UpstreamUnavailable),
        (json_answer(error("something.new"), 400), UpstreamProtocolError),
        (page(502), UpstreamUnavailable),
        (page(403), UpstreamBlocked),
        (page(200), UpstreamBlocked),
    ],
)
def test_refusals(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """What is said of the file is said of the file; all else is as everywhere."""
    assert type(rest_files.refusal(answer)) is kind
    with pytest.raises(kind):
        rest_files.place_of(answer, BASE)
    with pytest.raises(kind):
        rest_files.registered(answer)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (error("file.type_not_supported", message="不支持的文件类型"), "Kimi refused the file: 不支持的文件类型"),
        (error("file.type_not_supported", message="a\r\nb\x00\x1b[0m"), "Kimi refused the file: a b[0m"),
        (error("file.type_not_supported", message="x" * 1000), "Kimi refused the file: " + "x" * 200),
        (error("file.type_not_supported", message=7), "Kimi refused the file."),
        (error("file.type_not_supported", detail="internal words"), "Kimi refused the file."),
        ({"code": "invalid_argument", "message": "no"}, "Kimi refused the file: no"),
    ],
)
def test_a_reason_is_passed_on(body: object, message: str) -> None:
    """In Kimi's words for people, cut and printable."""
    assert rest_files.refusal(json_answer(body, 400)).message == message


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (json_answer(error("file.not_found"), 404), True),
        (json_answer(error("file.not_found"), 200), True),
        (json_answer(error("file.not_found_here"), 404), False),
        (json_answer(error("chat.not_found"), 404), False),
        (json_answer({}, 404), False),
        (page(404), False),
        (HttpAnswer(404, {}, b""), False),
    ],
)
def test_an_unknown_file_is_told_from_everything_else(answer: HttpAnswer, *, expected: bool) -> None:
    """By its type of error alone: a page or another error does not say that the file is gone."""
    assert rest_files.is_unknown(answer) is expected


# --- How far the site is ----------------------------------------------------------------------------------------


def test_progress_is_asked_for() -> None:
    """By the file's id."""
    assert sent(rest_files.parse(BASE, TOKEN, "f1")) == (
        "POST",
        "https://kimi.moonshot.cn/api/file/parse_process",
        {"ids": ["f1"]},
    )


def test_captured_progress() -> None:
    """Both lines say that the file is read."""
    rows = captured("POST /api/file/parse_process")
    lines = [row["line"].removeprefix("data: ") for row in rows]
    assert [rest_files.reading(line, CAPTURED_ID) for line in lines] == [Reading(done=True), Reading(done=True)]
    assert [rest_files.reading(line, "other") for line in lines] == [None, None]


def event(**members: object) -> str:
    """An event about the file f1."""
    return json.dumps({"event": "resp", "id": "f1", **members})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (event(status="parsed"), Reading(done=True)),
        (event(status="parsing"), Reading(done=False, is_there=True)),
        (event(status="initialized"), Reading(done=False, is_there=True)),
        (event(file_info={"status": "initialized"}), Reading(done=False, is_there=True)),
        (event(status="something new"), Reading(done=False)),
        (event(), Reading(done=False)),
        (event(status=7, file_info=7), Reading(done=False)),
        (event(file_info={"status": "parsed"}), Reading(done=True)),
        (event(status="parsed", file_info={"failed_reason": ""}), Reading(done=True)),
        (event(status="parsed", file_info={"failed_reason": None}), Reading(done=True)),
        (event(status="parsed", file_info={"failed_reason": "locked"}), Reading(done=True, refusal="locked")),
        (event(status="parsing", file_info={"failed_reason": "locked"}), Reading(done=True, refusal="locked")),
        (event(status="failed"), Reading(done=True, refusal="")),
        (event(status="parse_failed", file_info={}), Reading(done=True, refusal="")),
        (event(file_info={"status": "failed", "failed_reason": "a\r\nb\x00"}), Reading(done=True, refusal="a b")),
        (event(file_info={"failed_reason": "x" * 1000}), Reading(done=True, refusal="x" * 200)),
        ('{"file_info":{"id":"f1","status":"parsed"}}', Reading(done=True)),
        ('{"file_info":{"id":"f1","status":"parsed"},"id":"f2"}', None),
        ('{"id":"f2","status":"parsed"}', None),
        ('{"status":"parsed"}', None),
        ('{"event":"ping"}', None),
        ('{"id":7,"status":"parsed"}', None),
        ("", None),
        ("[]", None),
        ("null", None),
        ("{broken", None),
        ("[DONE]", None),
    ],
)
def test_events(data: str, expected: Reading | None) -> None:
    """A file is read, is not yet, or cannot be; what does not name it says nothing."""
    assert rest_files.reading(data, "f1") == expected


ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["f1", "parsed", "failed", "https://x/", "file.x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "url", "file_info", "status", "failed_reason", "error_type", "code", "message"]),
            inner,
            max_size=4,
        )
    ),
)


@given(ANYTHING, st.sampled_from([200, 400, 401, 413, 429, 500]))
def test_any_json(value: object, status: int) -> None:
    """Arbitrary JSON is read, or is one of our errors."""
    answer = json_answer(value, status)
    rest_files.reading(json.dumps(value), "f1")
    assert isinstance(rest_files.refusal(answer), GatewayError)
    for read in (rest_files.registered, lambda got: rest_files.place_of(got, BASE)):
        try:
            assert read(answer)
        except GatewayError as refused:
            assert refused.message  # noqa: PT017 # either is right


@given(st.text(max_size=60))
def test_any_place(url: str) -> None:
    """An address of any shape is taken, or is one of our errors."""
    for written in (url, f"https://{url}", f"http://{url}", f"https://[{url}"):
        try:
            assert placed(written).url == written
        except GatewayError as refused:
            assert refused.message  # noqa: PT017 # either is right
