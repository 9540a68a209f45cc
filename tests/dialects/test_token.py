"""POST /token/check."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.accounts.credentials import MAX_CREDENTIALS, parse_credentials
from app.errors import AccountRestricted, GatewayError, TokenExpired, UpstreamBlocked, UpstreamUnavailable
from app.kimi.quota import Quota
from tests.dialects.houses import CLIENT, KEY, OWN, Front
from tests.fakes import FakeClock, FakeKimi, jwt

REFRESH = jwt(typ="refresh", sub="refreshing")


def checked(front: Front, token: object) -> dict[str, Any]:
    """What a check tells; it is an answer, whatever it finds."""
    response = front.client().post("/token/check", json={"token": token})
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


def account(token: str) -> str:
    """The beginning of the name of a token's account."""
    return parse_credentials(token)[0].account[:12]


def test_a_token_that_kimi_takes_is_live() -> None:
    """With all that is known of it, and nothing that reveals it."""
    assert checked(Front(FakeKimi()), CLIENT) == {
        "live": True,
        "reason": "ok",
        "remedy": "Nothing to do.",
        "kind": "access",
        "account": account(CLIENT),
        "site": "connect.kimi.com",
        "streams": 0,
        "quotas": [],
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TokenExpired("no"), "token_expired"),
        (AccountRestricted("no"), "account_restricted"),
        (UpstreamBlocked("no"), "network_blocked"),
        (UpstreamUnavailable("no"), "kimi_unavailable"),
    ],
)
def test_what_speaks_against_a_token_is_told_apart(error: GatewayError, reason: str) -> None:
    """In a word for programs and a sentence for people."""
    found = checked(Front(FakeKimi(greeting=error)), CLIENT)
    assert [found["live"], found["reason"], found["detail"]] == [False, reason, "no"]
    assert found["remedy"].endswith(".")


@pytest.mark.parametrize("token", ["", " ", ",", "short", "é" * 20])
def test_a_token_that_cannot_be_one_is_malformed(token: str) -> None:
    """Kimi is not asked."""
    kimi = FakeKimi()
    found = checked(Front(kimi), token)
    assert [found["live"], found["reason"]] == [False, "token_malformed"]
    assert found.keys() == {"live", "reason", "remedy", "detail", "quotas"}
    assert kimi.greeted == []


def test_a_refresh_token_that_is_refused_is_not_live() -> None:
    """Although it has not expired by its own word."""
    found = checked(Front(FakeKimi(), refusal=TokenExpired("no")), REFRESH)
    assert [found["live"], found["reason"], found["kind"]] == [False, "refresh_refused", "refresh"]


def test_a_spent_quota_is_told_with_its_end() -> None:
    """The token is live all the same."""
    resets = FakeClock().now + 3600
    moment = datetime.fromtimestamp(resets, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    quotas = (Quota("plan", 1.0, resets, chat=True), Quota("code, 5 hours", 0.25))
    found = checked(Front(FakeKimi(quotas=quotas)), CLIENT)
    assert [found["live"], found["reason"], found["resets_at"]] == [True, "quota_spent", moment]
    assert found["quotas"] == [
        {"name": "plan", "used": 1.0, "resets_at": moment},
        {"name": "code, 5 hours", "used": 0.25, "resets_at": None},
    ]


@pytest.mark.parametrize(
    ("tokens", "live", "speaker"), [((REFRESH, CLIENT), True, CLIENT), ((REFRESH, "x" * 19), False, REFRESH)]
)
def test_the_first_live_token_of_a_list_speaks_for_it(tokens: tuple[str, ...], speaker: str, *, live: bool) -> None:
    """The others are told beside it, in their order; one that is malformed does not spoil the list."""
    found = checked(Front(FakeKimi(), refusal=TokenExpired("no")), ",".join(tokens))
    assert [found["live"], found["account"]] == [live, account(speaker)]
    assert [one["reason"] for one in found["accounts"]] == [
        "refresh_refused",
        "ok" if live else "token_malformed",
    ]


def test_a_token_by_itself_is_no_list() -> None:
    """Also where it is given twice."""
    assert "accounts" not in checked(Front(FakeKimi()), f"{CLIENT}, {CLIENT}")


@pytest.mark.parametrize("token", [None, 7, ["a"], {}])
def test_a_token_is_a_string(token: object) -> None:
    """Anything else is a mistake of the client's."""
    response = Front(FakeKimi()).client().post("/token/check", json={"token": token})
    error = response.get_json()["error"]
    assert [response.status_code, error["code"], error["param"]] == [400, "invalid_request", "token"]


def test_a_list_has_its_limit() -> None:
    """Each of its tokens costs calls to Kimi."""
    kimi = FakeKimi()
    tokens = ",".join(jwt(sub=str(number)) for number in range(MAX_CREDENTIALS + 1))
    response = Front(kimi).client().post("/token/check", json={"token": tokens})
    assert [response.status_code, response.get_json()["error"]["code"]] == [400, "invalid_request"]
    assert kimi.greeted == []


def test_a_gateway_key_is_checked_by_its_accounts() -> None:
    """The server's own, all of them."""
    tokens = (OWN, jwt(sub="other"))
    found = checked(Front(FakeKimi(), api_keys=(KEY,), tokens=tokens), KEY)
    assert [found["live"], found["account"]] == [True, account(OWN)]
    assert [one["account"] for one in found["accounts"]] == [account(token) for token in tokens]


def test_a_stranger_s_token_is_not_checked_where_keys_are_asked_for() -> None:
    """The check is no way around them."""
    kimi = FakeKimi()
    assert checked(Front(kimi, api_keys=(KEY,)), CLIENT)["live"] is False
    assert kimi.greeted == []


@pytest.mark.parametrize("refusal", [None, UpstreamUnavailable("no"), TokenExpired("no")])
def test_the_answer_holds_no_token(refusal: GatewayError | None) -> None:
    """Nor a part of one."""
    text = Front(FakeKimi(), refusal=refusal).client().post("/token/check", json={"token": f"{REFRESH},{CLIENT}"}).text
    for token in (REFRESH, CLIENT):
        assert not any(part in text for part in token.split("."))


def test_a_check_opens_no_conversation() -> None:
    """It spends nothing but the call."""
    kimi = FakeKimi()
    checked(Front(kimi), CLIENT)
    assert [kimi.accounts, [greeted.token for greeted in kimi.greeted]] == [[], [CLIENT]]
