"""What a client presents, recognised by its look (contract, section 2)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.credentials import (
    MAX_CREDENTIALS,
    Claims,
    Credential,
    Kind,
    parse_credentials,
    routing_claims,
)
from app.errors import GatewayError, InvalidApiKey, InvalidRequest
from tests.fakes import jwt

OPAQUE = "0123456789abcdefghij"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def one(text: str) -> Credential:
    """The only credential of a list."""
    (credential,) = parse_credentials(text)
    return credential


def token_of(payload: bytes) -> str:
    """A JWT with any payload."""
    return f"{'h' * 20}.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.s"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (jwt(typ="access"), Kind.ACCESS),
        (jwt(typ="refresh"), Kind.REFRESH),
        ("sk-" + "a" * 17, Kind.OFFICIAL),
        (OPAQUE, Kind.LEGACY),
        ("~" * 4096, Kind.LEGACY),
        (jwt(app_id="other"), Kind.LEGACY),
        (jwt(typ="id"), Kind.LEGACY),
        (jwt(typ="access") + ".more", Kind.LEGACY),
        ("eyJhbGciOiJIUzI1NiJ9.!!!.x", Kind.LEGACY),
        (token_of(b"[1]"), Kind.LEGACY),
        (token_of(b"\xff"), Kind.LEGACY),
        (token_of(b"[" * 2000), Kind.LEGACY),
    ],
)
def test_a_credential_is_recognised_by_its_look(token: str, kind: Kind) -> None:
    """The table of the contract, and what only looks like a row of it."""
    assert one(token) == Credential(token, kind, one(token).claims)
    assert one(token).kind is kind


@pytest.mark.parametrize(
    "token",
    ["short", "a" * 19, "a" * 4097, "sk-short", "a" * 20 + "é", "a" * 20 + "\n", "a" * 10 + " " + "a" * 10, "世" * 20],
)
def test_what_cannot_be_a_credential_is_refused(token: str) -> None:
    """Only 20 to 4096 visible ASCII characters go upstream as a header."""
    with pytest.raises(InvalidApiKey) as caught:
        parse_credentials(token)
    assert token not in caught.value.message


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_an_empty_list_is_refused(text: str) -> None:
    """There is no account without a credential."""
    with pytest.raises(InvalidApiKey):
        parse_credentials(text)


def test_a_list_is_split_at_commas_and_each_credential_counts_once() -> None:
    """In the order in which they came."""
    other = "z" * 20
    credentials = parse_credentials(f" {OPAQUE} ,{other},,{OPAQUE}")
    assert [credential.token for credential in credentials] == [OPAQUE, other]


def test_one_bad_credential_spoils_the_list() -> None:
    """A client with a typing error wants to hear of it."""
    with pytest.raises(InvalidApiKey):
        parse_credentials(f"{OPAQUE},short")


def test_at_most_32_credentials_are_taken() -> None:
    """One more is an invalid request."""
    tokens = [f"{OPAQUE}{number}" for number in range(33)]
    assert len(parse_credentials(",".join(tokens[:32]))) == MAX_CREDENTIALS == 32
    with pytest.raises(InvalidRequest):
        parse_credentials(",".join(tokens))


def test_a_credential_shows_no_token() -> None:
    """Its repr may end up in a log."""
    assert OPAQUE not in repr(one(OPAQUE))


def test_a_name_is_the_token_s() -> None:
    """Two tokens of one user are kept apart, the same token is found again."""
    tokens = [jwt(sub="user-1"), jwt(sub="user-1", jti=2), jwt(sub="user-2")]
    assert len({one(token).name for token in tokens}) == 3
    assert one(tokens[0]).name == one(tokens[0]).name


def test_an_account_is_the_user_s() -> None:
    """All tokens of one user share it, of either kind."""
    mine = {one(jwt(sub="user-1", typ=typ, jti=number)).account for typ in ("access", "refresh") for number in (1, 2)}
    assert len(mine) == 1
    assert one(jwt(sub="user-2")).account not in mine


@pytest.mark.parametrize("token", [OPAQUE, "sk-" + "a" * 20, jwt(), jwt(app_id="other", sub="user-1")])
def test_a_token_without_a_user_is_an_account_by_itself(token: str) -> None:
    """It is all that is known; what another site's token says of a user is not looked at."""
    assert one(token).account == one(token).account != one(token + "x").account
    assert one(token).account != one(jwt(sub="user-1")).account


def test_the_names_are_the_same_in_every_process() -> None:
    """What is kept for an account must be found after a restart: these values may never change."""
    credential = one(jwt(sub="user-1", typ="refresh"))
    key = b"kimi-gateway %s 1"
    expected = [
        hmac.digest(key % purpose, text, hashlib.sha256)
        for purpose, text in ((b"token", credential.token.encode()), (b"account", b"user-1"), (b"secret", b"user-1"))
    ]
    assert [bytes.fromhex(credential.name), bytes.fromhex(credential.account), credential.secret] == expected


@given(st.text("0123456789abcdef", min_size=20, max_size=80))
def test_no_name_reveals_a_token_or_a_user(token: str) -> None:
    """Nor does one of the names tell another: each purpose has its own."""
    for credential in (one(token), one(jwt(sub=token))):
        names = [credential.name, credential.account, credential.secret.hex()]
        assert len(set(names)) == 3
        assert not [name for name in names if token in name]


@pytest.mark.parametrize(
    ("payload", "claims"),
    [
        ({}, Claims()),
        ({"exp": 1000, "iat": 100.5}, Claims(expires_at=1000.0, lifetime=899.5)),
        ({"exp": 1000}, Claims(expires_at=1000.0)),
        ({"iat": 1000}, Claims()),
        ({"exp": "1000", "iat": True}, Claims()),
        ({"exp": 10**400}, Claims()),
        ({"aud": "kimi.ai"}, Claims(overseas=True)),
        ({"aud": ["kimi.com", "kimi.ai"]}, Claims(overseas=True)),
        ({"aud": "kimi.com", "region": "overseas"}, Claims(overseas=True)),
        ({"aud": "kimi.com", "region": "cn"}, Claims()),
        ({"aud": "kimi.ai.example"}, Claims()),
        ({"sub": "user-1"}, Claims(subject="user-1")),
        ({"sub": ""}, Claims()),
        ({"sub": 7}, Claims()),
        ({"sub": ["user-1"]}, Claims()),
        ({"exp": float("inf"), "iat": float("nan")}, Claims()),
    ],
)
def test_claims_route_a_token(payload: dict[str, object], claims: Claims) -> None:
    """Where it goes, and how long it is good."""
    assert routing_claims(payload) == claims


@given(st.dictionaries(st.sampled_from(["exp", "iat", "aud", "region", "sub", "typ", "app_id"]), JSON_VALUES))
def test_no_payload_breaks_the_gateway(payload: dict[str, object]) -> None:
    """Whoever makes the token."""
    credential = one(token_of(json.dumps({"app_id": "kimi", "typ": "access", **payload}).encode()))
    assert [len(credential.name), len(credential.account), len(credential.secret)] == [64, 64, 32]
    assert routing_claims(payload).overseas in {True, False}


@given(st.text() | st.text("abc.-_=,", min_size=20))
def test_any_text_is_a_list_of_credentials_or_refused(text: str) -> None:
    """Never anything else."""
    try:
        credentials = parse_credentials(text)
    except GatewayError as error:
        assert error.status in {400, 401}  # noqa: PT017 # either outcome is right
    else:
        assert all(credential.token in text for credential in credentials)
