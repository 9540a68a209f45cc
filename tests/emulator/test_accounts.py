"""Tokens: what they say, how they rotate, how they die."""

import base64
import json
import time

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import Answered, Raw

pytestmark = pytest.mark.e2e

USER = "kimi.gateway.account.v1.UserService/GetCurrentUser"
REFRESH = "/api/account.gateway.v1.AuthService/RefreshToken"


def refresh(control: EmulatorControl, token: str, key: str = "refresh_token") -> Answered:
    """Exchange a refresh token, without any Authorization."""
    return Raw(control, "").legacy("POST", REFRESH, **{key: token})


def claims(token: str) -> dict[str, object]:
    """Read a JWT's claims as anybody may."""
    payload = token.split(".")[1]
    found: dict[str, object] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def test_tokens_are_jwts_with_the_claims_of_the_site(control: EmulatorControl) -> None:
    """The client reads exp, typ, aud, sub, ssid and device_id out of them."""
    account = control.account("ann", access_seconds=120, region="overseas")
    found = claims(account.access_token)
    assert (found["typ"], found["app_id"], found["region"]) == ("access", "kimi", "overseas")
    assert found["aud"] == ["kimi.ai"]
    assert abs(float(str(found["exp"])) - time.time() - 120) < 3
    assert len(str(found["sub"])) == 20
    assert len(str(found["ssid"])) == len(str(found["device_id"])) == 19
    assert claims(account.refresh_token)["typ"] == "refresh"
    assert len(account.legacy_token) == 40


def test_an_access_token_lets_in(control: EmulatorControl, raw: Raw) -> None:
    """The good case, or all the refusals below would prove nothing."""
    assert raw.call(USER).json["user"]["nickname"] == "ann"


@pytest.mark.parametrize("place", [0, -1])
def test_any_changed_byte_of_the_signature_is_noticed(control: EmulatorControl, raw: Raw, place: int) -> None:
    """Also in the last character, whose low bits a base64 decoder drops."""
    head, payload, signature = raw.token.split(".")
    letters = list(signature)
    letters[place] = "A" if letters[place] != "A" else "B"
    raw.token = ".".join((head, payload, "".join(letters)))
    answered = raw.call(USER)
    assert answered.status == 401
    assert answered.json["code"] == "unauthenticated"
    assert answered.json["details"][0]["debug"]["reason"] == "REASON_INVALID_AUTH_TOKEN"


def test_a_refresh_token_is_no_access_token(control: EmulatorControl, raw: Raw) -> None:
    """Kinds are not mixed up."""
    raw.token = control.account("ben").refresh_token
    assert raw.call(USER).status == 401
    assert raw.ask().status == 401


def test_no_token_is_refused(control: EmulatorControl) -> None:
    """A missing header is a 401 as well."""
    assert Raw(control, "").ask().status == 401


def test_an_access_token_expires(control: EmulatorControl, raw: Raw) -> None:
    """After access_seconds it is as unknown as a forged one."""
    raw.token = control.account("ben", access_seconds=0.05).access_token
    time.sleep(0.06)
    assert raw.call(USER).status == 401


def test_expire_access_ends_the_tokens_issued_so_far(control: EmulatorControl, raw: Raw) -> None:
    """Whatever their exp claim says; a refreshed one works."""
    renewed = control.patch_account("ann", expire_access=True)
    assert raw.call(USER).status == 401
    raw.token = refresh(control, renewed.refresh_token).json["accessToken"]
    assert raw.call(USER).status == 200


@pytest.mark.parametrize("key", ["refresh_token", "refreshToken"])
def test_a_refresh_rotates_both_tokens(control: EmulatorControl, key: str) -> None:
    """The body may be written in either case; both tokens of the answer are new."""
    account = control.account("ann")
    answered = refresh(control, account.refresh_token, key)
    assert answered.status == 200
    assert answered.json["accessToken"] not in {account.access_token, ""}
    assert answered.json["refreshToken"] not in {account.refresh_token, ""}
    (entry,) = control.log()
    assert (entry["account"], entry["authorization"]) == ("ann", "none")


def test_the_old_refresh_token_works_once_more(control: EmulatorControl) -> None:
    """Within the window; the third use takes the whole family down."""
    account = control.account("ann")
    first = refresh(control, account.refresh_token)
    assert refresh(control, account.refresh_token).status == 200
    third = refresh(control, account.refresh_token)
    assert (third.status, third.json["code"]) == (401, "unauthenticated")
    assert refresh(control, first.json["refreshToken"]).status == 401
    assert Raw(control, first.json["accessToken"]).call(USER).status == 401


def test_reuse_after_the_window_revokes_the_family(control: EmulatorControl) -> None:
    """With a window of nothing the second use is too late."""
    account = control.account("ann", reuse_window=0)
    renewed = refresh(control, account.refresh_token).json["refreshToken"]
    assert refresh(control, account.refresh_token).status == 401
    assert refresh(control, renewed).status == 401


def test_a_restricted_account_is_denied_everywhere(control: EmulatorControl, raw: Raw) -> None:
    """A ban is not a dead token: 403, and chat.forbidden on the legacy site."""
    tokens = control.patch_account("ann", state="restricted")
    for answered in (raw.call(USER), raw.ask(), refresh(control, tokens.refresh_token)):
        assert (answered.status, answered.json["code"]) == (403, "permission_denied")
    legacy = raw.legacy("GET", "/api/user")
    assert (legacy.status, legacy.json["error_type"]) == (403, "chat.forbidden")


def test_a_revoked_account_has_no_valid_token(control: EmulatorControl, raw: Raw) -> None:
    """Neither kind is known any more."""
    tokens = control.patch_account("ann", state="revoked")
    assert raw.call(USER).status == 401
    assert refresh(control, tokens.refresh_token).status == 401


def test_making_an_account_anew_kills_its_old_tokens(control: EmulatorControl, raw: Raw) -> None:
    """The same name is the same person with a fresh login."""
    control.account("ann")
    assert raw.call(USER).status == 401


def test_a_misbehaving_auth_host(control: EmulatorControl) -> None:
    """Status, body and delay as ordered, without using up the token; then normal again."""
    account = control.account("ann")
    control.auth(status=503, body="<h1>busy</h1>")
    busy = refresh(control, account.refresh_token)
    assert (busy.status, busy.headers["content-type"]) == (503, "text/html")
    control.auth(status=200, body={"data": {"access_token": "a"}})
    assert refresh(control, account.refresh_token).json == {"data": {"access_token": "a"}}
    control.auth(delay=0.1)
    began = time.monotonic()
    assert refresh(control, account.refresh_token).status == 200
    assert time.monotonic() - began >= 0.1
    control.auth()
    assert refresh(control, account.refresh_token).status == 200


def test_a_refresh_without_a_token_is_refused(control: EmulatorControl) -> None:
    """Neither a body that is not JSON nor one without a token gets anything."""
    assert refresh(control, "").status == 401
    bad = Raw(control, "").send("POST", REFRESH, b"{", {})
    assert (bad.status, bad.json["code"]) == (400, "invalid_argument")
