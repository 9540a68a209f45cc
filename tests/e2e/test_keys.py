"""A gateway with accounts of its own: clients come with its keys, and their own tokens are not taken."""

from collections.abc import Iterator

import pytest

from emulator.client import EmulatorControl
from tests.e2e.conftest import NewGuest, running
from tests.e2e.support import Gateway, Guest

pytestmark = pytest.mark.e2e

KEY = "our-own-key-1"


@pytest.fixture(scope="module")
def owner(kimi: EmulatorControl) -> Guest:
    """Make the account whose token the operator has set."""
    return Guest(kimi, kimi.account("owner"))


@pytest.fixture(scope="module")
def keyed_gateway(kimi: EmulatorControl, owner: Guest) -> Iterator[Gateway]:
    """Run a gateway with two keys and one account."""
    with running(kimi.base_url, API_KEYS=f"{KEY},another-key", KIMI_TOKENS=owner.legacy_token) as gateway:
        yield gateway


@pytest.mark.parametrize("key", [KEY, "another-key"])
def test_a_key_opens_the_operators_account(keyed_gateway: Gateway, owner: Guest, key: str) -> None:
    """A request with a key of the gateway's is served by the operator's account."""
    before = len(owner.completions())
    owner.plan({"text": "Yours."})
    assert keyed_gateway.chat(key).json()["choices"][0]["message"]["content"] == "Yours."
    assert len(owner.completions()) == before + 1


@pytest.mark.parametrize("header", ["x-api-key", "x-goog-api-key"])
def test_a_key_in_a_vendors_header(keyed_gateway: Gateway, header: str) -> None:
    """Keys are read from the headers of the other vendors too."""
    assert keyed_gateway.request("GET", "/v1/models", headers={header: KEY}).status == 200


def test_tokens_of_clients_are_not_taken(keyed_gateway: Gateway, new_guest: NewGuest) -> None:
    """With keys set a good token of a client's own is an invalid key, and is not shown to Kimi."""
    guest = new_guest()
    for token in (guest.access_token, guest.legacy_token, f"{KEY},{guest.access_token}", KEY[:-1], KEY.upper()):
        reply = keyed_gateway.chat(token)
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    assert guest.calls() == []


def test_the_operators_tokens_are_out_of_reach_without_keys(kimi: EmulatorControl, new_guest: NewGuest) -> None:
    """Without API_KEYS the operator's tokens serve nobody, and clients bring their own."""
    operator, client = new_guest(), new_guest()
    with running(kimi.base_url, KIMI_TOKENS=operator.legacy_token) as gateway:
        assert gateway.request("POST", "/v1/chat/completions", body={}).status == 401
        assert gateway.chat(client.access_token).status == 200
    assert operator.calls() == []


def test_clients_may_be_let_in_beside_the_keys(kimi: EmulatorControl, owner: Guest, new_guest: NewGuest) -> None:
    """With ALLOW_CLIENT_TOKENS both are served."""
    guest = new_guest()
    tokens = owner.legacy_token
    with running(kimi.base_url, API_KEYS=KEY, KIMI_TOKENS=tokens, ALLOW_CLIENT_TOKENS="true") as gateway:
        assert gateway.request("GET", "/v1/models", token=KEY).status == 200
        assert gateway.chat(guest.access_token).status == 200
