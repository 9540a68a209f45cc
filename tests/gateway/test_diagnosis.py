"""The diagnosis of a credential: each bad kind told apart, nothing of the token told."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.pool import Limits
from app.chat.cancellation import Cancellation
from app.errors import (
    AccountRestricted,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamBusy,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.gateway.diagnosis import REMEDIES, Finding, Reason, as_json
from app.kimi.client import KimiClient
from app.kimi.http import HttpAnswer
from app.kimi.quota import Quota
from app.kimi.sites import Sites
from tests.fakes import JSON, FakeClock, FakeKimi, FakeTransport, Reply, json_answer, jwt
from tests.gateway.houses import ANN, MODELS, House, ask, failing, refreshable

NOW = FakeClock().now
HOUR = 3600.0
SPENT = Quota("plan", 1.0, NOW + HOUR, chat=True)
PAGE = HttpAnswer(403, {"content-type": "text/html"}, b"<html>")


def examined(token: str = ANN.token, *, refusal: GatewayError | None = None, **changes: object) -> Finding:
    """What is found of a token by a Kimi like this."""
    kimi = FakeKimi(**changes)  # type: ignore[arg-type] # its arguments by their names
    return House(kimi, refusal=refusal).diagnosis.examine(token)


# --- Reasons -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("find", "reason", "live"),
    [
        (examined, Reason.OK, True),
        (lambda: examined("short"), Reason.MALFORMED, False),
        (lambda: examined("with spaces, which no token has"), Reason.MALFORMED, False),
        (lambda: examined(jwt(exp=NOW - 1)), Reason.EXPIRED, False),
        (lambda: examined(jwt(typ="refresh", exp=NOW - 1)), Reason.EXPIRED, False),
        (lambda: examined(greeting=TokenExpired("no")), Reason.EXPIRED, False),
        (lambda: examined(refreshable().token, refusal=TokenExpired("no")), Reason.REFUSED, False),
        (lambda: examined("opaque-token-0000000000", refusal=TokenExpired("no")), Reason.REFUSED, False),
        (lambda: examined(refreshable().token, greeting=TokenExpired("no")), Reason.REFUSED, False),
        (lambda: examined(greeting=AccountRestricted("no")), Reason.RESTRICTED, False),
        (lambda: examined(refreshable().token, refusal=AccountRestricted("no")), Reason.RESTRICTED, False),
        (lambda: examined(greeting=RateLimitExceeded("no")), Reason.SPENT, True),
        (lambda: examined(quotas=(SPENT,)), Reason.SPENT, True),
        (lambda: examined(greeting=UpstreamBusy("no")), Reason.BUSY, True),
        (lambda: examined(greeting=UpstreamBlocked("no")), Reason.BLOCKED, False),
        (lambda: examined(greeting=UpstreamUnreachable("no")), Reason.BLOCKED, False),
        (lambda: examined(greeting=UpstreamTimeout("no")), Reason.BLOCKED, False),
        (lambda: examined(greeting=UpstreamUnavailable("no")), Reason.UNAVAILABLE, False),
        (lambda: examined(greeting=UpstreamProtocolError("no")), Reason.CHANGED, False),
        (lambda: examined("sk-official-key-000000000"), Reason.OFFICIAL, False),
        (
            lambda: House(FakeKimi()).diagnosis.examine(refreshable().token, refreshes=False),
            Reason.UNCHECKED,
            False,
        ),
    ],
)
def test_each_kind_of_trouble_has_its_reason(find: Callable[[], Finding], reason: Reason, *, live: bool) -> None:
    """And only what Kimi takes is live."""
    finding = find()
    assert [finding.reason, finding.live, finding.remedy] == [reason, live, REMEDIES[reason]]


def test_every_reason_has_one_line_of_remedy() -> None:
    """Whatever is found."""
    assert set(REMEDIES) == set(Reason)
    assert all(text and "\n" not in text for text in REMEDIES.values())


def test_reasons_are_stable_words() -> None:
    """Programs read them."""
    assert [reason.value for reason in Reason] == [
        "ok", "token_malformed", "key_refused", "token_expired", "refresh_refused", "account_restricted", "quota_spent",
        "kimi_busy", "network_blocked", "kimi_unavailable", "protocol_changed", "official_key", "not_checked",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (json_answer({}), Reason.OK),
        (json_answer({"code": "unauthenticated"}, 401), Reason.EXPIRED),
        (json_answer({"code": "permission_denied"}, 403), Reason.RESTRICTED),
        (json_answer({"code": "resource_exhausted"}, 429), Reason.SPENT),
        (PAGE, Reason.BLOCKED),
        (HttpAnswer(200, {"content-type": "text/html"}, b"<html>"), Reason.BLOCKED),
        (UpstreamUnreachable("no"), Reason.BLOCKED),
        (UpstreamTimeout("no"), Reason.BLOCKED),
        (HttpAnswer(503, JSON, b""), Reason.UNAVAILABLE),
        (json_answer({}, 404), Reason.CHANGED),
        (json_answer({"code": "never_seen"}, 400), Reason.CHANGED),
    ],
)
def test_what_kimi_s_site_answers_is_told_apart(reply: Reply, reason: Reason) -> None:
    """Over the real client."""
    transport = FakeTransport(lambda _: reply)
    kimi = KimiClient(transport=transport, sites=Sites(legacy="https://legacy.example"), models=MODELS)
    assert House(kimi).diagnosis.examine(ANN.token).reason is reason


def test_no_conversation_is_opened() -> None:
    """Two calls that cost nothing."""
    transport = FakeTransport(lambda _: json_answer({}))
    kimi = KimiClient(transport=transport, sites=Sites(legacy="https://legacy.example"), models=MODELS)
    House(kimi).diagnosis.examine(ANN.token)
    assert transport.calls == ["GetCurrentUser", "GetSubscriptionStats"]


def test_a_token_that_may_not_be_exchanged_is_not_asked_about() -> None:
    """The exchange would use it up; an access token needs none."""
    house = House(FakeKimi())
    assert house.diagnosis.examine(refreshable().token, refreshes=False).reason is Reason.UNCHECKED
    assert house.refreshed == []
    assert house.diagnosis.examine(ANN.token, refreshes=False).reason is Reason.OK


def test_an_access_token_that_has_ended_is_renewed_before_the_session_is_blamed() -> None:
    """The refresh token may be good."""
    house = House(_RefusesOnce())
    assert house.diagnosis.examine(refreshable().token).reason is Reason.OK
    assert len(house.refreshed) == 2


class _RefusesOnce(FakeKimi):
    """Takes the second access token."""

    def greet(self, account: object) -> None:
        if account.token == "access-1":  # type: ignore[attr-defined] # an Account
            raise TokenExpired("no")


# --- Quotas and pauses -------------------------------------------------------------------------------------


def test_a_quota_that_a_chat_does_not_need_may_be_spent() -> None:
    """It is told, and that is all."""
    code = Quota("code, 5 hours", 1.0, NOW + HOUR)
    finding = examined(quotas=(code,))
    assert [finding.reason, finding.quotas, finding.resets_at] == [Reason.OK, (code,), None]


def test_a_spent_quota_tells_when_it_is_full_again() -> None:
    """Where Kimi tells it."""
    assert examined(quotas=(SPENT,)).resets_at == NOW + HOUR
    assert examined(quotas=(Quota("plan", 1.0, None, chat=True),)).resets_at is None


def test_the_time_told_is_that_of_the_quota_a_chat_needs() -> None:
    """Others may be full again long before."""
    finding = examined(quotas=(Quota("plan", 1.0, NOW + 24 * HOUR, chat=True), Quota("code", 1.0, NOW + HOUR)))
    assert finding.resets_at == NOW + 24 * HOUR


def test_a_time_that_is_over_is_no_help() -> None:
    """It is left out."""
    assert examined(quotas=(Quota("plan", 1.0, NOW - 1, chat=True),)).resets_at is None


def test_a_refusal_s_own_time_is_told() -> None:
    """Kimi's errors may carry it."""
    error = RateLimitExceeded("no")
    error.resets_at = NOW + HOUR
    assert examined(greeting=error).resets_at == NOW + HOUR


@pytest.mark.parametrize(("kind", "reason"), [(RateLimitExceeded, Reason.SPENT), (UpstreamBusy, Reason.BUSY)])
def test_what_the_last_answer_met_counts(kind: type[GatewayError], reason: Reason) -> None:
    """Not every quota is told by a call."""
    house = House(FakeKimi(failing(kind("Kimi said no.", retry_after=60))))
    house.answer()
    finding = house.diagnosis.examine(ANN.token)
    assert [finding.reason, finding.live, finding.detail, finding.resets_at] == [
        reason, True, "Kimi said no.", house.clock() + 60,
    ]  # fmt: skip
    assert finding.cooldown is not None
    house.clock.advance(61)
    assert house.diagnosis.examine(ANN.token).reason is Reason.OK


def test_the_streams_of_the_account_are_counted() -> None:
    """As the pool sees them."""
    house = House(FakeKimi(), limits=Limits(streams_per_account=2, queue=0.0))
    with house.pool.lease([ANN], "kimi", Cancellation()):
        assert house.diagnosis.examine(ANN.token).streams == 1
    assert house.diagnosis.examine(ANN.token).streams == 0


def test_a_restricted_account_is_told_as_such_while_it_is_set_aside() -> None:
    """The pause that the gateway keeps does not hide why."""
    house = House(FakeKimi(failing(AccountRestricted("no")), greeting=AccountRestricted("no")))
    house.answer(request=ask())
    assert house.diagnosis.examine(ANN.token).reason is Reason.RESTRICTED


# --- As JSON -----------------------------------------------------------------------------------------------


def test_a_finding_as_json_has_what_is_known() -> None:
    """Times in RFC 3339; the account by a piece of its name."""
    credential: Credential = parse_credentials(jwt(sub="ann", exp=NOW + HOUR, aud="kimi.ai"))[0]
    house = House(
        FakeKimi(failing(UpstreamBusy("no", retry_after=60)), quotas=(Quota("plan", 0.33333, NOW, chat=True),))
    )
    house.answer(credential)
    assert as_json(house.diagnosis.examine(credential.token)) == {
        "live": True,
        "reason": "kimi_busy",
        "remedy": REMEDIES[Reason.BUSY],
        "detail": "no",
        "kind": "access",
        "account": credential.account[:12],
        "site": "connect.kimi.ai",
        "expires_at": "2027-01-15T09:00:00Z",
        "resets_at": "2027-01-15T08:01:00Z",
        "streams": 0,
        "cooldown": {"code": "upstream_busy", "until": "2027-01-15T08:01:00Z"},
        "quotas": [{"name": "plan", "used": 0.3333, "resets_at": "2027-01-15T08:00:00Z"}],
    }


def test_what_is_not_known_is_left_out() -> None:
    """A program looks for a member, not for null."""
    found = as_json(House(FakeKimi()).diagnosis.examine("short"))
    assert set(found) == {"live", "reason", "remedy", "detail", "quotas"}


@pytest.mark.parametrize("expires", [1e300, -1e300, 1e18])
def test_a_date_that_no_calendar_has_is_left_out(expires: float) -> None:
    """Anybody can write a token."""
    assert "expires_at" not in as_json(examined(jwt(exp=expires)))


@pytest.mark.parametrize(
    "find",
    [
        examined,
        lambda: examined("a-malformed token-of-somebody"),
        lambda: examined("sk-official-key-000000000"),
        lambda: examined(refreshable().token, refusal=TokenExpired("no")),
        lambda: examined(quotas=(SPENT,)),
    ],
)
def test_no_token_is_told(find: Callable[[], Finding]) -> None:
    """Not even a piece of one."""
    told = json.dumps(as_json(find())) + repr(find())
    for piece in (ANN.token[-24:], refreshable().token[-24:], "token-of-somebody", "official-key-0"):
        assert piece not in told
