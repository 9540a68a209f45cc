"""Errors of the Connect protocol."""

from __future__ import annotations

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
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi.connect_errors import from_answer, from_object
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
    ("status", "kind"),
    [
        (200, UpstreamProtocolError),
        (302, UpstreamProtocolError),
        (400, UpstreamProtocolError),
        (401, TokenExpired),
        (403, UpstreamProtocolError),
        (404, UpstreamProtocolError),
        (429, RateLimitExceeded),
        (500, UpstreamUnavailable),
        (502, UpstreamUnavailable),
        (504, UpstreamUnavailable),
    ],
)
def test_pages(status: int, kind: type[GatewayError]) -> None:
    """A page comes from what stands between: a 403 of it does not restrict the account."""
    assert type(from_answer(page(status))) is kind
    assert type(from_answer(HttpAnswer(status, {}, b""))) is kind
