"""Refresh tokens for access tokens."""

from __future__ import annotations

import json

import pytest

from app.errors import (
    AccountRestricted,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from app.kimi.http import HttpAnswer
from app.kimi.refresh import TokenPair, legacy_refresh_request, refresh_request, token_pair
from tests.kimi.answers import json_answer, page
from tests.kimi.bodies import body_of
from tests.kimi.streams import capture


def test_request() -> None:
    """The auth host is asked with the token in the body and without Authorization, as captured."""
    captured = capture("11")[0]
    request = refresh_request("https://auth.kimi.com", "the-token")
    assert (request.method, request.url) == (captured["method"], captured["url"])
    assert request.headers == {"Content-Type": "application/json", "connect-protocol-version": "1"}
    assert json.loads(body_of(request)) == {**captured["request"], "refresh_token": "the-token"}


def test_legacy_request() -> None:
    """The legacy site is asked with the refresh token as bearer."""
    request = legacy_refresh_request("https://kimi.example", "the-token")
    assert (request.method, request.url, request.body) == ("GET", "https://kimi.example/api/auth/token/refresh", None)
    assert request.headers == {"Authorization": "Bearer the-token", "Referer": "https://kimi.example/"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"accessToken": "a", "refreshToken": "r"}, TokenPair("a", "r")),
        ({"access_token": "a", "refresh_token": "r"}, TokenPair("a", "r")),
        ({"data": {"accessToken": "a", "refreshToken": "r"}}, TokenPair("a", "r")),
        ({"code": 0, "data": {"access_token": "a", "refresh_token": "r"}}, TokenPair("a", "r")),
        ({"accessToken": "a"}, TokenPair("a", None)),
        ({"accessToken": "a", "refreshToken": ""}, TokenPair("a", None)),
        ({"accessToken": "a", "refreshToken": 7, "userId": "u"}, TokenPair("a", None)),
    ],
)
def test_pair(body: object, expected: TokenPair) -> None:
    """A pair comes in either spelling, also under `data`, and the refresh token may stay the old one."""
    assert expected == token_pair(json_answer(body))


def test_captured_pair() -> None:
    """The captured answer gives both tokens."""
    assert token_pair(json_answer(capture("11")[0]["response"])) == TokenPair("<REDACTED>", "<REDACTED>")


def test_repr_hides_tokens() -> None:
    """A pair shows neither token."""
    assert repr(TokenPair("SECRET", "SECRET")) == "TokenPair()"


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({"code": "unauthenticated"}, 401),
        json_answer({"code": "unauthenticated", "debug": {"reason": "REASON_INVALID_AUTH_TOKEN"}}, 401),
        json_answer({"code": "invalid_argument"}, 400),
        json_answer({"error_type": "auth.token.invalid", "message": "x"}, 401),
        json_answer({"error_type": "auth.token.invalid", "message": "x"}),
        json_answer({"error_type": "something.new"}, 400),
        json_answer({"message": "x"}, 401),
        json_answer({"message": "x"}, 400),
        page(401),
    ],
)
def test_refused_token(answer: HttpAnswer) -> None:
    """A refusal means that the person has to log in again."""
    with pytest.raises(TokenExpired):
        token_pair(answer)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_answer({"code": "unavailable"}, 503), UpstreamUnavailable),
        (json_answer({}, 500), UpstreamUnavailable),
        (page(502), UpstreamUnavailable),
        (json_answer({"code": "resource_exhausted"}, 429), RateLimitExceeded),
        (page(429), RateLimitExceeded),
        (page(403), UpstreamBlocked),
        (page(400), UpstreamBlocked),
        (page(200), UpstreamBlocked),
        (page(404), UpstreamBlocked),
        (json_answer({"code": "unimplemented"}, 501), UpstreamProtocolError),
        (json_answer({"error_type": "internal.error"}, 404), UpstreamUnavailable),
        (json_answer({}), UpstreamProtocolError),
        (json_answer({"accessToken": 7}), UpstreamProtocolError),
        (json_answer([]), UpstreamProtocolError),
        (json_answer({"code": "permission_denied", "debug": {"reason": "REASON_USER_BANNED"}}, 403), AccountRestricted),
    ],
)
def test_other_answers(answer: HttpAnswer, kind: type[GatewayError]) -> None:
    """Everything that does not speak of the token leaves it alive."""
    with pytest.raises(GatewayError) as caught:
        token_pair(answer)
    assert type(caught.value) is kind
