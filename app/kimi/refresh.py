"""Refresh tokens for access tokens: the calls and their answers; pure (protocol.md A2, B3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.errors import AccountRestricted, GatewayError, InvalidRequest, TokenExpired, UpstreamProtocolError
from app.kimi import json, rest_errors
from app.kimi.http import HttpAnswer, HttpRequest

_REFRESH = "/api/account.gateway.v1.AuthService/RefreshToken"
_LEGACY_REFRESH = "/api/auth/token/refresh"
_REFUSED = frozenset({400, 401, 403})


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a refresh gives: both tokens are new, and the old refresh token is good for a short while only."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)


def refresh_request(auth_site: str, token: str) -> HttpRequest:
    """The call of the present auth host; it takes no Authorization header."""
    return HttpRequest(
        method="POST",
        url=auth_site + _REFRESH,
        headers={"Content-Type": "application/json", "connect-protocol-version": "1"},
        body=json.dump({"refresh_token": token}),
    )


def legacy_refresh_request(base: str, token: str) -> HttpRequest:
    """The call of the legacy site."""
    return HttpRequest(
        method="GET",
        url=base + _LEGACY_REFRESH,
        headers={"Authorization": f"Bearer {token}", "Referer": f"{base}/"},
    )


def token_pair(answer: HttpAnswer) -> TokenPair:
    """The new pair, in either spelling and also under `data`.

    Raises TokenExpired when the token is refused for good, else what the answer means.
    """
    try:
        body = json.parse(answer.body)
    except ValueError:
        body = None
    for place in (body, json.member(body, "data")):
        access = json.text(place, "accessToken")
        if access:
            return TokenPair(access=access, refresh=json.text(place, "refreshToken") or None)
    raise _refusal(answer)


def _refusal(answer: HttpAnswer) -> GatewayError:
    error = rest_errors.from_answer(answer)
    if isinstance(error, AccountRestricted):
        # The site means "log in again" by permission_denied as well (protocol.md B3).
        return AccountRestricted("Kimi refuses this account: log in again; if that does not help, it is restricted.")
    is_json = answer.media_type.endswith("json")
    vague = isinstance(error, InvalidRequest | UpstreamProtocolError)
    if answer.status in _REFUSED and is_json and vague:
        return TokenExpired("Kimi refuses the refresh token: log in again and copy the new one.")
    return error
