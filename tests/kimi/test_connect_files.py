"""Files of the Connect protocol: what is sent for them, and what its answers mean."""

from __future__ import annotations

import email
import json
import re
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import (
    AccountRestricted,
    AttachmentRefused,
    ContentFiltered,
    GatewayError,
    PlanRequired,
    RateLimitExceeded,
    RequestTooLarge,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi import connect_files
from app.kimi.http import FileBody, FileReader, HttpAnswer, HttpRequest
from app.kimi.reading import Reading
from tests.kimi.answers import json_answer, page
from tests.kimi.bodies import body_of
from tests.kimi.contents import document, image
from tests.kimi.streams import capture

SITE: Final = "https://www.kimi.ai"
FILE_ID: Final = "00000000-0000-8000-8000-0000000000f1"


def captured(step: str) -> dict[str, Any]:
    """A row of the report of kimi.ai in September 2026."""
    (row,) = [row for row in capture("02") if row["step"] == step]
    return row


# --- The upload -------------------------------------------------------------------------------------------------


def bytes_of(request: HttpRequest) -> bytes:
    """The body as the transport reads it."""
    assert isinstance(request.body, FileBody)
    return b"".join(FileReader(request.body, Cancellation()))


def form(content: Content) -> tuple[dict[str, str], bytes]:
    """The headers and the bytes of the one part of an upload, as Python's own parser reads them."""
    request = connect_files.upload(SITE, "the-token", content)
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    whole = email.message_from_bytes(head + bytes_of(request))
    assert whole.defects == []
    parts = [part for part in whole.walk() if part is not whole]
    assert len(parts) == 1
    part = parts[0]
    headers = {name: value.encode("ascii", "surrogateescape").decode() for name, value in part.raw_items()}
    data = part.get_payload(decode=True)
    assert isinstance(data, bytes)
    return headers, data


def test_an_upload_is_one_part_named_file() -> None:
    """To the byte."""
    request = connect_files.upload(SITE, "the-token", document(b"%PDF", "a b.pdf"))
    boundary = request.headers["Content-Type"].removeprefix("multipart/form-data; boundary=")
    assert re.fullmatch("[0-9a-f]{32}", boundary)
    assert (
        bytes_of(request)
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a b.pdf"\r\n'
            f"Content-Type: application/pdf\r\n\r\n%PDF\r\n--{boundary}--\r\n"
        ).encode()
    )


def test_an_upload_is_addressed_as_captured() -> None:
    """Under these headers and no others."""
    request = connect_files.upload(SITE, "the-token", image())
    row = captured("upload")
    assert (request.method, request.url) == (row["method"], row["url"])
    assert {**request.headers, "Content-Type": ""} == {
        "Authorization": "Bearer the-token",
        "Content-Type": "",
        "connect-protocol-version": "1",
        "Origin": SITE,
        "Referer": f"{SITE}/",
        "x-msh-platform": "web",
        "x-msh-version": "2.2.0",
    }


@pytest.mark.parametrize("data", [b"x", b"\r\n", b"\n", b"--\r\n--", b"a\r\n\r\nb\r", bytes(range(256)) * 300, b"\xff"])
def test_the_bytes_arrive_as_they_are(data: bytes) -> None:
    """Line ends and all."""
    assert form(document(data))[1] == data


@given(st.binary(min_size=1, max_size=60))
def test_any_bytes_arrive_as_they_are(data: bytes) -> None:
    """Nothing in a file can end its part."""
    assert form(document(data)) == (
        {
            "Content-Disposition": 'form-data; name="file"; filename="a.pdf"',
            "Content-Type": "application/pdf",
        },
        data,
    )


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("报告 2026.pdf", "报告 2026.pdf"),
        ("\N{CAT FACE}.pdf", "\N{CAT FACE}.pdf"),
        ('say "hi".pdf', "say %22hi%22.pdf"),
        ("a'b;c=d.pdf", "a'b;c=d.pdf"),
        ("100%.pdf", "100%.pdf"),
        ('a"\r\nX-Evil: 1\r\n\r\nb.pdf', "a%22%0D%0AX-Evil: 1%0D%0A%0D%0Ab.pdf"),
        ("a\nb\rc", "a%0Ab%0Dc"),
    ],
)
def test_names_are_written_as_browsers_write_them(name: str, written: str) -> None:
    """UTF-8; what would end the name or the line is escaped (WHATWG, multipart/form-data)."""
    headers, data = form(document(b"bytes", name))
    assert headers == {
        "Content-Disposition": f'form-data; name="file"; filename="{written}"',
        "Content-Type": "application/pdf",
    }
    assert data == b"bytes"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_name_injects_anything(name: str) -> None:
    """One part, its two headers, its bytes."""
    headers, data = form(document(b"bytes", name))
    assert sorted(headers) == ["Content-Disposition", "Content-Type"]
    assert re.fullmatch(r'form-data; name="file"; filename="[^"\r\n]*"', headers["Content-Disposition"])
    assert data == b"bytes"


def test_every_upload_has_a_boundary_of_its_own() -> None:
    """Or a file could hold the next one's."""
    assert len({connect_files.upload(SITE, "t", document()).headers["Content-Type"] for _ in range(9)}) == 9


def test_a_file_is_not_copied() -> None:
    """It may have 100 MiB: it is read while it is sent, and its length is known before."""
    content = document(b"x" * 1000)
    body = connect_files.upload(SITE, "the-token", content).body
    assert isinstance(body, FileBody)
    assert body.file is content.file
    assert len(body.head) + len(body.tail) < 300
    assert body.size == 1000


def test_an_upload_hides_its_secrets() -> None:
    """Its repr may end up in a log."""
    shown = repr(connect_files.upload(SITE, "the-token", document(name="private.pdf")))
    assert "the-token" not in shown
    assert "private" not in shown


# --- The answer to it -------------------------------------------------------------------------------------------


def test_the_captured_answer_names_the_file() -> None:
    """By its id."""
    assert connect_files.uploaded(json_answer(captured("upload")["response"])) == FILE_ID


@pytest.mark.parametrize("file", [{"id": "f1"}, {"id": "f1", "meta": None, "hologram": {}}])
def test_an_id_is_enough(file: object) -> None:
    """Whatever else has gone or come."""
    assert connect_files.uploaded(json_answer({"file": file, "other": []})) == "f1"


@pytest.mark.parametrize(
    "body", [None, [], "text", 7, {}, {"file": None}, {"file": []}, {"file": "f1"}, {"file": {"id": 7}}, {"id": "f1"}]
)
def test_an_answer_that_names_no_file_is_no_success(body: object) -> None:
    """Also under status 200."""
    with pytest.raises(UpstreamProtocolError):
        connect_files.uploaded(json_answer(body))


def debugged(code: str, **debug: object) -> dict[str, object]:
    """An error as Connect writes it."""
    return {"code": code, "details": [{"debug": debug}]}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (page(413), RequestTooLarge),
        (json_answer({"code": "invalid_argument"}, 413), RequestTooLarge),
        (HttpAnswer(413, {}, b""), RequestTooLarge),
        (page(415), AttachmentRefused),
        (json_answer({}, 415), AttachmentRefused),
        (HttpAnswer(415, {}, b""), AttachmentRefused),
        (json_answer({"code": "invalid_argument"}, 400), AttachmentRefused),
        (json_answer({"error": {"code": "invalid_argument"}}, 400), AttachmentRefused),
        (json_answer({"code": "failed_precondition"}, 400), AttachmentRefused),
        (json_answer({"code": "out_of_range"}, 400), AttachmentRefused),
        (json_answer({}, 400), AttachmentRefused),
        (json_answer(debugged("invalid_argument", reason="REASON_FILE_TYPE_NOT_SUPPORTED"), 400), AttachmentRefused),
        (json_answer(debugged("invalid_argument", reason="REASON_FILE_TOO_LONG"), 400), AttachmentRefused),
        (json_answer(debugged("invalid_argument", reason="REASON_SENSITIVE"), 400), ContentFiltered),
        (json_answer({"code": "unauthenticated"}, 401), TokenExpired),
        (HttpAnswer(401, {}, b""), TokenExpired),
        (json_answer({"code": "permission_denied"}, 403), AccountRestricted),
        (json_answer(debugged("resource_exhausted", paywall={}), 429), PlanRequired),
        (json_answer({"code": "resource_exhausted"}, 429), RateLimitExceeded),
        (HttpAnswer(429, {}, b""), RateLimitExceeded),
        (json_answer(debugged("resource_exhausted", reason="REASON_X_OVERLOADED"), 429), UpstreamBusy),
        (json_answer({}, 404), UpstreamProtocolError),
        (json_answer({"code": "unimplemented"}, 501), UpstreamProtocolError),
        (HttpAnswer(504, {}, b""), UpstreamUnavailable),
        (json_answer({"code": "deadline_exceeded"}, 504), UpstreamTimeout),
        (page(502), UpstreamUnavailable),
        (page(403), UpstreamBlocked),
        (page(200), UpstreamBlocked),
        (HttpAnswer(200, {}, b""), UpstreamProtocolError),
    ],
)
def test_refusals(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """For a file, "invalid" is said of the file; all else is as everywhere."""
    assert type(connect_files.refusal(answer)) is kind
    with pytest.raises(kind):
        connect_files.uploaded(answer)


def test_an_upload_that_the_site_does_not_know_is_not_a_lost_conversation() -> None:
    """`not_found` is also said of calls that are gone (protocol.md B9): no conversation was spoken of."""
    assert type(connect_files.refusal(json_answer({"code": "not_found"}, 404))) is UpstreamProtocolError


LOCALISED: Final = {"locale": "zh-CN", "message": "不支持的文件类型"}
SAID: Final = "Kimi refused the file: 不支持的文件类型"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (debugged("invalid_argument", localizedMessage=LOCALISED), SAID),
        (debugged("invalid_argument", localized_message=LOCALISED), SAID),
        ({"code": "invalid_argument", "message": "不支持的文件类型"}, SAID),
        ({**debugged("invalid_argument", localizedMessage=LOCALISED), "message": "internal words"}, SAID),
        (debugged("invalid_argument", reason="REASON_X"), "Kimi refused the file."),
        (debugged("invalid_argument", localizedMessage="text"), "Kimi refused the file."),
        ({"code": "invalid_argument", "details": 7, "message": 7}, "Kimi refused the file."),
    ],
)
@pytest.mark.parametrize("status", [400, 415])
def test_a_reason_is_passed_on(body: object, message: str, status: int) -> None:
    """In Kimi's words, those for people first."""
    assert connect_files.refusal(json_answer(body, status)).message == message


@pytest.mark.parametrize(
    "body",
    [
        {"code": "invalid_argument", "details": [{"type": "x"}, {"debug": {"localizedMessage": LOCALISED}}]},
        {"error": debugged("invalid_argument", localizedMessage=LOCALISED)},
        {"code": "invalid_argument", "debug": {"localizedMessage": LOCALISED}},
    ],
    ids=["in a later detail", "within an error", "at the top"],
)
def test_a_reason_is_found_wherever_errors_have_it(body: object) -> None:
    """The places are those of protocol.md B9."""
    assert connect_files.refusal(json_answer(body, 400)).message == SAID


def test_a_reason_is_passed_on_cut_and_printable() -> None:
    """It is a stranger's text in one of our sentences."""
    words = "a\r\nb\x00c\u202ed\x1b[31m " + "x" * 1000
    error = connect_files.refusal(json_answer(debugged("invalid_argument", localizedMessage={"message": words}), 400))
    assert error.message.isprintable()
    assert error.message.startswith("Kimi refused the file: a bcd[31m xxx")
    assert len(error.message) == len("Kimi refused the file: ") + 200


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_page_is_not_quoted(status: int) -> None:
    """It may hold anything."""
    assert "Just a moment" not in connect_files.refusal(page(status)).message


# --- How far the site is ----------------------------------------------------------------------------------------


def test_progress_is_asked_for_as_captured() -> None:
    """By a unary call beside the upload."""
    row = captured("parse progress")
    request = connect_files.progress(SITE, "the-token", FILE_ID)
    assert (request.method, request.url) == (row["method"], row["url"])
    assert json.loads(body_of(request)) == row["request"]
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer the-token"


def test_captured_progress() -> None:
    """First not, then done."""
    answers = [json_answer(answer) for answer in captured("parse progress")["responses_in_order"]]
    assert [connect_files.reading(answer, FILE_ID) for answer in answers] == [Reading(done=False), Reading(done=True)]


def told(**progress: object) -> HttpAnswer:
    """An answer about the file f1."""
    return json_answer({"progresses": [{"fileId": "f1", **progress}]})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (told(status="PROCESS_STATUS_SUCCESS"), Reading(done=True)),
        (told(status="PROCESS_STATUS_PROCESSING"), Reading(done=False)),
        (told(status="PROCESS_STATUS_NEW"), Reading(done=False)),
        (told(status=7), Reading(done=False)),
        (told(), Reading(done=False)),
        (told(status="PROCESS_STATUS_FAILED"), Reading(done=True, refusal="")),
        (told(status="PROCESS_STATUS_FAILED", failedReason="locked"), Reading(done=True, refusal="locked")),
        (told(status="PROCESS_STATUS_FAILED", failed_reason="locked"), Reading(done=True, refusal="locked")),
        (told(status="PROCESS_STATUS_FAILED", reason="locked"), Reading(done=True, refusal="locked")),
        (told(status="PROCESS_STATUS_FAILED", failedReason=7), Reading(done=True, refusal="")),
        (
            told(status="PROCESS_STATUS_FAILED", failedReason="a\r\nb\x00" + "x" * 1000),
            Reading(done=True, refusal="a b" + "x" * 197),
        ),
        (json_answer({"progresses": [{"file_id": "f1", "status": "PROCESS_STATUS_SUCCESS"}]}), Reading(done=True)),
        (
            json_answer(
                {
                    "progresses": [
                        None,
                        7,
                        {"fileId": "f2", "status": "PROCESS_STATUS_FAILED"},
                        {"fileId": "f1", "status": "PROCESS_STATUS_SUCCESS"},
                    ]
                }
            ),
            Reading(done=True),
        ),
        (json_answer({"progresses": [{"fileId": "f2", "status": "PROCESS_STATUS_SUCCESS"}]}), Reading(done=False)),
        (json_answer({"progresses": [{"status": "PROCESS_STATUS_SUCCESS"}]}), Reading(done=False)),
        (json_answer({"progresses": []}), Reading(done=False)),
        (json_answer({"progresses": {}}), Reading(done=False)),
        (json_answer({}), Reading(done=False)),
        (json_answer([]), Reading(done=False)),
    ],
)
def test_progress(answer: HttpAnswer, expected: Reading) -> None:
    """A file is read, is not yet, or cannot be; what says nothing of it says that it is not yet."""
    assert connect_files.reading(answer, "f1") == expected


@pytest.mark.parametrize(
    ("answer", "kind"), [(page(200), UpstreamBlocked), (HttpAnswer(200, {}, b""), UpstreamProtocolError)]
)
def test_progress_in_an_answer_that_is_no_json(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """Something stands in between: waiting would not mend it."""
    with pytest.raises(kind):
        connect_files.reading(answer, "f1")


ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["f1", "PROCESS_STATUS_FAILED", "invalid_argument"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["file", "id", "progresses", "fileId", "status", "failedReason", "code", "details", "debug", "error"]
            ),
            inner,
            max_size=4,
        )
    ),
)


@given(ANYTHING, st.sampled_from([200, 400, 401, 413, 415, 429, 500]))
def test_any_json(value: object, status: int) -> None:
    """Arbitrary JSON is read, or is one of our errors."""
    answer = json_answer(value, status)
    assert isinstance(connect_files.reading(answer, "f1"), Reading)
    assert isinstance(connect_files.refusal(answer), GatewayError)
    try:
        assert connect_files.uploaded(answer)
    except GatewayError as error:
        assert error.message  # noqa: PT017 # either is right
