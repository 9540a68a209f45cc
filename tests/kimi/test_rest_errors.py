"""Errors of the legacy protocol."""

from __future__ import annotations

import pytest

from app.errors import (
    AccountRestricted,
    ContentFiltered,
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    RateLimitExceeded,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from app.kimi.http import HttpAnswer
from app.kimi.rest_errors import from_answer, from_type
from tests.kimi.answers import json_answer, page
from tests.kimi.streams import capture


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        ("auth.token.invalid", TokenExpired),
        ("chat.not_found", ConversationNotFound),
        ("chat.forbidden", AccountRestricted),
        ("chat.user_stream_pushing", SecondStreamRefused),
        ("openai.completion.stream", UpstreamBusy),
        ("openai.completion.token_length_too_long", ContextLengthExceeded),
        ("content.sensitive", ContentFiltered),
        ("internal.error", UpstreamUnavailable),
        ("something.new", UpstreamProtocolError),
        ("", UpstreamProtocolError),
    ],
)
def test_types(error_type: str, kind: type[GatewayError]) -> None:
    """Each type is its error, in an event and in an answer of any status."""
    assert type(from_type(error_type)) is kind
    for status in (200, 400, 404) if error_type else ():
        assert type(from_answer(json_answer({"error_type": error_type, "message": "never"}, status))) is kind


def test_captured_answers() -> None:
    """The captured answers are what they mean."""
    answers = [row["body"] for row in capture("09") if row["where"] == "HTTP JSON"]
    kinds = [type(from_answer(json_answer(body, 400))) for body in answers]
    assert kinds == [TokenExpired, ConversationNotFound, AccountRestricted]


def test_second_stream() -> None:
    """A second stream is told to wait a little; the account bears one at a time."""
    error = from_type("chat.user_stream_pushing")
    assert [type(error), error.code, error.retry_after] == [SecondStreamRefused, "rate_limit_exceeded", 10]


def test_a_type_that_only_begins_alike_is_no_second_stream() -> None:
    """The account would be slowed down for a day."""
    assert type(from_type("chat.user_stream_pushing_failed")) is UpstreamProtocolError


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer({"code": "unauthenticated"}, 401), TokenExpired),
        (json_answer({}, 401), TokenExpired),
        (json_answer({"error_type": 7}, 429), RateLimitExceeded),
        (json_answer([], 502), UpstreamUnavailable),
        (page(200), UpstreamBlocked),
        (page(503), UpstreamUnavailable),
    ],
)
def test_other_answers(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """Late answers have the newer shape; everything else goes by its status."""
    assert type(from_answer(answer)) is kind
