"""Access tokens: exchanged, kept, renewed, refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.tokens import EXPIRY_MARGIN, FAILURE_LIFE, REFUSAL_LIFE, UNDATED_LIFE, AccessTokens
from app.accounts.vault import MemoryVault
from app.errors import (
    AccountRestricted,
    GatewayError,
    InvalidApiKey,
    RateLimitExceeded,
    TokenExpired,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.kimi.refresh import TokenPair
from tests.fakes import FakeClock, jwt


def credential(token: str) -> Credential:
    """What is recognised in a token."""
    return parse_credentials(token)[0]


def refreshable(**claims: object) -> Credential:
    """A refresh token."""
    return credential(jwt(**{"typ": "refresh", **claims}))


class House:
    """AccessTokens with a fake auth host: `grants` are its outcomes in their order, the last one for good."""

    def __init__(self, *grants: TokenPair | GatewayError) -> None:
        self.clock = FakeClock()
        self.vault = MemoryVault()
        self.refreshed: list[str] = []
        self.grants: Sequence[TokenPair | GatewayError] = grants or (TokenPair("access", None),)
        self.tokens = AccessTokens(refresh=self.refresh, vault=self.vault, secret=b"secret", clock=self.clock)

    def refresh(self, _credential: Credential, token: str) -> TokenPair:
        self.refreshed.append(token)
        outcome = self.grants[min(len(self.refreshed), len(self.grants)) - 1]
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome

    def get(self, whose: Credential) -> str:
        """The access token's text."""
        return self.tokens.get(whose).value


def dated(clock: FakeClock, life: float) -> TokenPair:
    """A pair whose access token says that it lives so long from now."""
    return TokenPair(jwt(iat=clock(), exp=clock() + life), None)


def test_an_access_token_is_used_as_it_is() -> None:
    """Until its `exp`."""
    house = House()
    token = jwt(exp=house.clock() + 1, aud="kimi.ai")
    given = house.tokens.get(credential(token))
    assert [given.value, given.overseas, house.refreshed] == [token, True, []]


@pytest.mark.parametrize("typ", ["access", "refresh"])
def test_an_expired_token_is_refused_without_a_call(typ: str) -> None:
    """Kimi need not be asked."""
    house = House()
    with pytest.raises(TokenExpired):
        house.tokens.get(credential(jwt(typ=typ, exp=house.clock())))
    assert house.refreshed == []


def test_an_official_key_is_not_served() -> None:
    """Its message says so."""
    with pytest.raises(InvalidApiKey, match="official"):
        House().tokens.get(credential("sk-" + "a" * 20))


def test_fifty_threads_share_one_refresh() -> None:
    """Kimi revokes the family of a token that is used twice."""
    house, everyone = House(), threading.Barrier(50)
    whose = refreshable()

    def get(_: int) -> str:
        everyone.wait(10)
        return house.get(whose)

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(get, range(50))) == {"access"}
    assert len(house.refreshed) == 1


def test_two_tokens_that_begin_alike_are_two_accounts() -> None:
    """JWTs of one issuer share their first hundred characters."""
    house = House(TokenPair("first", None), TokenPair("second", None))
    token = jwt(typ="refresh", sub="ann")
    others = (credential(token), credential(token + "2"))
    assert [house.get(whose) for whose in others] == ["first", "second"]
    assert len({house.tokens.key(whose) for whose in others}) == 2


def test_a_key_reveals_no_token() -> None:
    """It is an HMAC under the secret of the process."""
    whose = refreshable()
    key = House().tokens.key(whose)
    other = AccessTokens(refresh=House().refresh, vault=MemoryVault(), secret=b"other", clock=FakeClock())
    assert len(key) == 32
    assert key != other.key(whose)


@pytest.mark.parametrize(("life", "margin"), [(900.0, EXPIRY_MARGIN), (300.0, 60.0), (100.0, 20.0), (10.0, 2.0)])
def test_an_access_token_is_renewed_before_it_expires(life: float, margin: float) -> None:
    """A minute before, or a fifth of a short life."""
    house = House()
    house.grants = (dated(house.clock, life), TokenPair("renewed", None))
    whose = refreshable()
    first = house.get(whose)
    house.clock.advance(life - margin - 0.5)
    assert house.get(whose) == first
    house.clock.advance(1)
    assert house.get(whose) == "renewed"


def test_a_clock_that_is_wrong_does_not_matter() -> None:
    """A token's life is what its own two dates say."""
    house = House(TokenPair(jwt(iat=100, exp=1000), None))
    whose = refreshable()
    house.get(whose)
    house.clock.advance(830)
    house.get(whose)
    assert len(house.refreshed) == 1


def test_an_undated_access_token_lives_five_minutes() -> None:
    """As those of the legacy site do."""
    house, whose = House(), refreshable()
    house.get(whose)
    house.clock.advance(UNDATED_LIFE - EXPIRY_MARGIN - 1)
    house.get(whose)
    assert len(house.refreshed) == 1
    house.clock.advance(2)
    house.get(whose)
    assert len(house.refreshed) == 2


def test_a_rotated_refresh_token_is_used_next() -> None:
    """It is in the vault before its access token is given out."""
    house = House(TokenPair("a", "rotated-1"), TokenPair("b", "rotated-2"), TokenPair("c", None))
    whose = refreshable()
    for _ in range(4):
        house.tokens.reject(whose, house.tokens.get(whose))
    assert house.refreshed == [whose.token, "rotated-1", "rotated-2", "rotated-2"]


def test_a_rotated_token_outlives_the_one_presented() -> None:
    """The person need not log in again as long as the newest token is good."""
    house = House()
    house.grants = (TokenPair("a", jwt(typ="refresh", exp=house.clock() + 9000)), TokenPair("b", None))
    whose = refreshable(exp=house.clock() + 1000)
    house.get(whose)
    house.clock.advance(2000)
    assert house.get(whose) == "b"


def test_a_rotated_token_that_has_expired_is_refused_without_a_call() -> None:
    """As the one presented would be."""
    house = House()
    house.grants = (TokenPair("a", jwt(typ="refresh", exp=house.clock() + 1000)),)
    whose = refreshable()
    house.get(whose)
    house.clock.advance(2000)
    with pytest.raises(TokenExpired):
        house.get(whose)
    assert len(house.refreshed) == 1


@pytest.mark.parametrize(
    ("error", "life"),
    [
        (TokenExpired("no"), REFUSAL_LIFE),
        (AccountRestricted("no"), REFUSAL_LIFE),
        (UpstreamUnavailable("no"), FAILURE_LIFE),
        (UpstreamTimeout("no"), FAILURE_LIFE),
        (RateLimitExceeded("no"), FAILURE_LIFE),
    ],
)
def test_a_failure_is_remembered_for_a_while(error: GatewayError, life: float) -> None:
    """A dead token does not hammer Kimi: 15 s after a refusal, 2 s after anything else."""
    house, whose = House(error), refreshable()
    for seconds, refreshes in ((0, 1), (life - 0.5, 1), (1, 2)):
        house.clock.advance(seconds)
        with pytest.raises(type(error)):
            house.get(whose)
        assert len(house.refreshed) == refreshes
    assert [REFUSAL_LIFE, FAILURE_LIFE] == [15.0, 2.0]


def test_a_remembered_failure_is_a_fresh_error_each_time() -> None:
    """An exception raised twice would grow its traceback at every raise."""
    house, whose = House(RateLimitExceeded("no", retry_after=7.0, retryable=True)), refreshable()
    raised: list[GatewayError] = []
    for _ in range(3):
        with pytest.raises(RateLimitExceeded) as caught:
            house.get(whose)
        raised.append(caught.value)
    assert len({id(error) for error in raised}) == 3
    assert {(error.message, error.retry_after, error.retryable) for error in raised} == {("no", 7.0, True)}


def test_a_defect_is_not_remembered() -> None:
    """Nor does it leave anybody waiting."""
    house, whose = House(), refreshable()
    grants, house.grants = house.grants, ()
    with pytest.raises(IndexError):
        house.get(whose)
    house.grants = grants
    assert house.get(whose) == "access"


def test_a_rejected_token_is_renewed() -> None:
    """Kimi's refusal counts more than the token's dates."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None)), refreshable()
    assert house.tokens.reject(whose, house.tokens.get(whose))
    assert house.get(whose) == "b"


def test_a_token_rejected_twice_is_renewed_once() -> None:
    """Another thread may have renewed it in the meantime."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None)), refreshable()
    old = house.tokens.get(whose)
    assert [house.tokens.reject(whose, old), house.get(whose)] == [True, "b"]
    assert [house.tokens.reject(whose, old), house.get(whose)] == [True, "b"]
    assert len(house.refreshed) == 2


def test_a_remembered_refusal_is_not_rejected_away() -> None:
    """A late refusal of the old token does not open the door to another refresh."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None)), refreshable()
    old = house.tokens.get(whose)
    house.grants = (TokenExpired("no"),)
    house.tokens.reject(whose, old)
    for _ in range(2):
        with pytest.raises(TokenExpired):
            house.get(whose)
        house.tokens.reject(whose, old)
    assert len(house.refreshed) == 2


def test_an_access_token_of_the_client_s_own_cannot_be_renewed() -> None:
    """There is nothing to renew it with."""
    house, whose = House(), credential(jwt())
    assert not house.tokens.reject(whose, house.tokens.get(whose))


@pytest.mark.parametrize(
    ("presented", "granted", "overseas"),
    [
        ({}, {}, False),
        ({"region": "overseas"}, {}, True),
        ({}, {"aud": "kimi.ai"}, True),
    ],
)
def test_either_token_may_tell_the_region(
    presented: dict[str, object], granted: dict[str, object], *, overseas: bool
) -> None:
    """Each of them names it sometimes."""
    house = House(TokenPair(jwt(**granted), None))
    assert house.tokens.get(refreshable(**presented)).overseas is overseas


def test_an_access_token_shows_no_token() -> None:
    """Its repr may end up in a log."""
    assert "access" not in repr(House().tokens.get(refreshable())).replace("AccessToken", "")
