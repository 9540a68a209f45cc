"""Errors of the Connect protocol."""

from __future__ import annotations

from typing import Final

import pytest

from app.errors import (
    AccountRestricted,
    ContentFiltered,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    PlanRequired,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi.connect_errors import from_answer, from_object, saying
from app.kimi.http import HttpAnswer
from tests.kimi.answers import json_answer, page
from tests.kimi.streams import capture


def debugged(code: str = "", **debug: object) -> dict[str, object]:
    """An error object with a code and details."""
    return {"code": code, "details": [{"type": "x", "value": "y"}, {"debug": debug}]}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthenticated", TokenExpired),
        ("permission_denied", AccountRestricted),
        ("invalid_argument", InvalidRequest),
        ("not_found", ConversationNotFound),
        ("resource_exhausted", RateLimitExceeded),
        ("unavailable", UpstreamUnavailable),
        ("deadline_exceeded", UpstreamTimeout),
        ("unimplemented", UpstreamProtocolError),
        ("internal", UpstreamUnavailable),
        ("unknown", UpstreamUnavailable),
        ("aborted", UpstreamUnavailable),
        ("failed_precondition", InvalidRequest),
        ("out_of_range", ContextLengthExceeded),
        ("brand_new", UpstreamProtocolError),
        ("", UpstreamProtocolError),
    ],
)
def test_codes(code: str, kind: type[GatewayError]) -> None:
    """Each code is its error."""
    assert type(from_object({"code": code, "message": "never"})) is kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("REASON_SERVER_OVERLOADED_FOR_FREE_USER", UpstreamBusy),
        ("REASON_COMPLETION_OVERLOADED", UpstreamBusy),
        ("REASON_INVALID_AUTH_TOKEN", TokenExpired),
        ("REASON_CONTENT_FILTERED", ContentFiltered),
        ("REASON_SENSITIVE", ContentFiltered),
        ("REASON_CONTEXT_LENGTH", ContextLengthExceeded),
        ("REASON_USER_BANNED", AccountRestricted),
        ("REASON_NEW", RateLimitExceeded),
    ],
)
def test_reasons(reason: str, kind: type[GatewayError]) -> None:
    """A known reason says more than the code, wherever it stands; an unknown one leaves it to the code."""
    assert type(from_object(debugged("resource_exhausted", reason=reason))) is kind
    assert type(from_object({"code": "resource_exhausted", "debug": {"reason": reason}})) is kind
    assert type(from_object({"code": "resource_exhausted", "reason": reason})) is kind


@pytest.mark.parametrize("paywall", [{}, {"plan": "x"}])
@pytest.mark.parametrize("code", ["permission_denied", "resource_exhausted", ""])
def test_paywall(code: str, paywall: dict[str, str]) -> None:
    """A paywall asks for a plan, also an empty one."""
    assert type(from_object(debugged(code, paywall=paywall))) is PlanRequired


def test_paywall_of_an_overload() -> None:
    """An overload that invites to subscribe stays an overload."""
    assert type(from_object(debugged("resource_exhausted", reason="REASON_X_OVERLOADED", paywall={}))) is UpstreamBusy


@pytest.mark.parametrize("error", [None, [], "text", 7, {}, {"details": 7}, {"details": [None, {"debug": 7}]}])
def test_objects_of_an_unknown_shape(error: object) -> None:
    """What cannot be read is an error of an unknown kind."""
    assert type(from_object(error)) is UpstreamProtocolError


def test_messages_are_our_own() -> None:
    """Nothing that Kimi wrote reaches the client."""
    error = from_object({**debugged("internal", reason="SECRET", localizedMessage={"message": "SECRET"})})
    assert "SECRET" not in error.message


def test_captured_errors() -> None:
    """The captured errors are what they mean."""
    rows = capture("05")
    assert type(from_object(rows[0]["payload"]["error"])) is UpstreamBusy
    assert type(from_object(rows[1]["payload_fields"])) is UpstreamBusy
    assert type(from_object(rows[2]["payload"]["block"]["exception"]["error"])) is UpstreamBusy
    assert type(from_object(rows[3]["payload"]["error"])) is InvalidRequest
    for row in rows[4:6]:
        assert type(from_answer(json_answer(row["payload"], row["http_status"]))) is TokenExpired


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer({"code": "not_found"}, 404), ConversationNotFound),
        (json_answer({"error": {"code": "not_found"}}, 404), ConversationNotFound),
        (json_answer({"code": "unimplemented"}, 501), UpstreamProtocolError),
        (json_answer({"code": "resource_exhausted"}, 200), RateLimitExceeded),
        (json_answer({}, 400), InvalidRequest),
        (json_answer({}, 401), TokenExpired),
        (json_answer({}, 403), AccountRestricted),
        (json_answer({}, 404), UpstreamProtocolError),
        (json_answer({}, 405), UpstreamProtocolError),
        (json_answer({}, 429), RateLimitExceeded),
        (json_answer({}, 501), UpstreamProtocolError),
        (json_answer({}, 504), UpstreamTimeout),
        (json_answer([], 500), UpstreamUnavailable),
        (json_answer({"error": "text"}, 503), UpstreamUnavailable),
        (json_answer({}, 200), UpstreamProtocolError),
        (json_answer({}, 302), UpstreamProtocolError),
    ],
)
def test_json_answers(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """A JSON answer is what its code says, else what its status says."""
    assert type(from_answer(answer)) is kind


@pytest.mark.parametrize(
    ("status", "of_a_page", "of_nothing"),
    [
        (200, UpstreamBlocked, UpstreamProtocolError),
        (302, UpstreamBlocked, UpstreamProtocolError),
        (400, UpstreamBlocked, UpstreamProtocolError),
        (401, TokenExpired, TokenExpired),
        (403, UpstreamBlocked, UpstreamProtocolError),
        (404, UpstreamBlocked, UpstreamProtocolError),
        (429, RateLimitExceeded, RateLimitExceeded),
        (500, UpstreamUnavailable, UpstreamUnavailable),
        (502, UpstreamUnavailable, UpstreamUnavailable),
        (504, UpstreamUnavailable, UpstreamUnavailable),
    ],
)
def test_pages(status: int, of_a_page: type[GatewayError], of_nothing: type[GatewayError]) -> None:
    """A page comes from what stands between: a 403 of it does not restrict the account, it blocks the way."""
    assert type(from_answer(page(status))) is of_a_page
    assert type(from_answer(HttpAnswer(status, {}, b""))) is of_nothing


def test_a_page_is_not_quoted() -> None:
    """It may hold anything, also the address of whoever asks."""
    assert "Just a moment" not in from_answer(page(403)).message


RESETS: Final = "2026-07-29T11:58:03.964Z"
RESETS_AT: Final = 1_785_326_283.964


@pytest.mark.parametrize(
    "error",
    [
        {"code": "resource_exhausted", "resetTime": RESETS},
        {"code": "resource_exhausted", "reset_time": RESETS},
        {"code": "resource_exhausted", "debug": {"resetTime": RESETS}},
        debugged("resource_exhausted", resetTime=RESETS),
        debugged("resource_exhausted", reason="REASON_X_OVERLOADED", resetTime=RESETS),
        {**debugged("resource_exhausted", resetTime=RESETS), "resetTime": "2030-01-01T00:00:00Z"},
    ],
)
def test_a_quota_is_full_again_when_kimi_says(error: dict[str, object]) -> None:
    """Wherever it says so, the details first."""
    assert from_object(error).resets_at == pytest.approx(RESETS_AT)
    assert from_answer(json_answer(error, 429)).resets_at == pytest.approx(RESETS_AT)
    assert from_answer(json_answer({"error": error}, 429)).resets_at == pytest.approx(RESETS_AT)


@pytest.mark.parametrize("resets", [None, "", "soon", 1_785_326_283, "2026-07-29", "2026-07-29T11:58:03", {}, [RESETS]])
def test_a_reset_that_cannot_be_read_is_not_told(resets: object) -> None:
    """A moment without its zone is none."""
    assert from_object(debugged("resource_exhausted", resetTime=resets)).resets_at is None


# --- What an error says to people ---------------------------------------------------------------------------------

LOCALISED: Final = {"localizedMessage": {"locale": "zh-CN", "message": "不支持"}}


@pytest.mark.parametrize(
    "error",
    [
        {"code": "invalid_argument", "message": "不支持"},
        debugged("invalid_argument", **LOCALISED),
        debugged("invalid_argument", localized_message={"message": "不支持"}),
        debugged("invalid_argument", message="不支持"),
        {"code": "invalid_argument", "debug": LOCALISED},
        {**debugged("invalid_argument", **LOCALISED), "message": "internal words"},
        {"details": [{"debug": {"reason": "R"}}, {"debug": LOCALISED}], "message": "internal words"},
        {"details": [{"debug": {"localizedMessage": {"message": " \x00"}}}], "message": "不支持"},
    ],
)
def test_what_is_said_to_people_is_found(error: dict[str, object]) -> None:
    """Wherever it stands, the details first, also within an `error`."""
    assert saying(json_answer(error, 400)) == "不支持"
    assert saying(json_answer({"error": error}, 400)) == "不支持"


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({}),
        json_answer(None),
        json_answer([]),
        json_answer({"error": "text", "message": 7, "details": 7}),
        json_answer({"details": [None, {"debug": 7}, {"debug": {"localizedMessage": "text"}}]}),
        page(400),
        HttpAnswer(400, {}, b""),
    ],
)
def test_an_error_may_say_nothing(answer: HttpAnswer) -> None:
    """A page is not quoted."""
    assert saying(answer) == ""


def test_what_is_said_is_cut_and_printable() -> None:
    """It is a stranger's text."""
    assert saying(json_answer({"message": "a\r\nb\x00\u202e" + "x" * 1000})) == "a b" + "x" * 197
