"""Who may use the gateway, and with whose account."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.admission import Admission, presented
from app.errors import GatewayError, InvalidApiKey, MissingApiKey

KEY = "sk-gateway-0123456789"
OTHER_KEY = "sk-gateway-abcdefghij"
OWN = ("server-token-000000000000", "server-token-111111111111")
CLIENT = "client-token-000000000000"


def admitted(key: str, *, keys: tuple[str, ...], tokens: tuple[str, ...], allow: bool) -> tuple[str, ...] | None:
    """The tokens that serve a key; None if it is refused."""
    admission = Admission(api_keys=keys, tokens=tokens, allow_client_tokens=allow)
    try:
        return tuple(credential.token for credential in admission.admit(key))
    except InvalidApiKey:
        return None


@pytest.mark.parametrize(
    ("keys", "allow", "tokens", "with_key", "with_token"),
    [
        # Without keys, a key is a credential like any other (it begins with sk-), and the server's tokens are out of
        # reach.
        ((), False, (), (KEY,), (CLIENT,)),
        ((), False, OWN, (KEY,), (CLIENT,)),
        ((), True, (), (KEY,), (CLIENT,)),
        ((), True, OWN, (KEY,), (CLIENT,)),
        ((OTHER_KEY, KEY), False, OWN, OWN, None),
        ((OTHER_KEY, KEY), False, (), None, None),
        ((OTHER_KEY, KEY), True, OWN, OWN, (CLIENT,)),
        ((OTHER_KEY, KEY), True, (), None, (CLIENT,)),
    ],
)
def test_the_matrix_of_the_contract(
    keys: tuple[str, ...],
    allow: bool,  # noqa: FBT001
    tokens: tuple[str, ...],
    with_key: tuple[str, ...] | None,
    with_token: tuple[str, ...] | None,
) -> None:
    """API_KEYS, ALLOW_CLIENT_TOKENS and KIMI_TOKENS, each way."""
    assert admitted(KEY, keys=keys, tokens=tokens, allow=allow) == with_key
    assert admitted(CLIENT, keys=keys, tokens=tokens, allow=allow) == with_token


@pytest.mark.parametrize("key", [KEY[:-1], KEY + "x", KEY.upper(), KEY + "," + KEY, KEY + "," + OTHER_KEY])
def test_a_key_is_compared_whole(key: str) -> None:
    """A part of a key, or a list of keys, opens nothing."""
    assert admitted(key, keys=(KEY,), tokens=OWN, allow=False) is None


@pytest.mark.parametrize("key", ["é" * 20, "世界" * 10, "\udcff" * 20, KEY + "é"])
def test_keys_that_are_not_ascii_are_refused(key: str) -> None:
    """The comparison in constant time is on bytes: on such strings it would raise."""
    assert admitted(key, keys=(KEY,), tokens=OWN, allow=False) is None


def test_the_tokens_of_a_client_are_given_as_they_came() -> None:
    """Those that cannot be credentials as well: each is diagnosed by itself."""
    admission = Admission(api_keys=(KEY,), tokens=OWN, allow_client_tokens=True)
    assert admission.tokens(f" {CLIENT},short,{CLIENT} ") == (CLIENT, "short")
    assert admission.tokens(KEY) == OWN


def test_spaces_around_a_key_do_not_matter() -> None:
    """They are easily copied along."""
    assert admitted(f" {KEY} ", keys=(KEY,), tokens=OWN, allow=False) == OWN


def test_a_refusal_does_not_repeat_the_key() -> None:
    """Messages end up in logs of clients."""
    with pytest.raises(InvalidApiKey) as caught:
        Admission(api_keys=(KEY,), tokens=OWN, allow_client_tokens=False).admit(CLIENT)
    assert CLIENT not in caught.value.message


@given(st.text())
def test_no_key_opens_the_server_s_accounts_but_its_own(key: str) -> None:
    """Whatever is tried."""
    admission = Admission(api_keys=(KEY,), tokens=OWN, allow_client_tokens=True)
    try:
        tokens = {credential.token for credential in admission.admit(key)}
    except GatewayError:
        return
    assert not tokens & set(OWN)


@pytest.mark.parametrize(
    ("authorization", "others", "key"),
    [
        ("Bearer a", (None, None), "a"),
        ("bearer a", (None, None), "a"),
        ("BEARER a", ("b", "c"), "a"),
        (None, ("b", "c"), "b"),
        (None, (None, "c"), "c"),
        ("Bearer a, b", (), "a, b"),
        ("Bearer ", ("b",), ""),
    ],
)
def test_the_first_header_counts(authorization: str | None, others: tuple[str | None, ...], key: str) -> None:
    """Authorization, then the vendors' own."""
    assert presented(authorization, *others) == key


@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "a", "Bearer", "Bearera"])
def test_another_scheme_is_refused(authorization: str) -> None:
    """Also where another header has a key: the client means one of the two."""
    with pytest.raises(InvalidApiKey):
        presented(authorization, "b")


def test_nothing_presented_is_told_apart_from_something_wrong() -> None:
    """The message says where to put a key."""
    with pytest.raises(MissingApiKey, match="Authorization: Bearer"):
        presented(None, None)
