"""Access tokens: exchanged, stored before they are used, shared by all workers, renewed, refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.accounts.credentials import Credential
from app.accounts.refusal import FAILURE_LIFE, MAX_FAILURE_LIFE, REFUSAL_LIFE
from app.accounts.tokens import (
    EXPIRY_MARGIN,
    FLIGHT_LIMIT,
    POSTPONED,
    UNDATED_LIFE,
    AccessToken,
    AccessTokens,
)
from app.accounts.vault import DOUBT, Vault
from app.errors import (
    AccountRestricted,
    GatewayError,
    InvalidApiKey,
    RateLimitExceeded,
    TokenExpired,
    UpstreamBlocked,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.kimi.refresh import TokenPair
from app.state.leases import LIFE
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import Store
from tests.accounts.workers import PATIENCE, AuthHost, Died, Worker, credential, leave_no_threads, refreshable
from tests.fakes import FakeClock, jwt
from tests.state.stores import FakeStore

Grant = TokenPair | GatewayError | Callable[[], TokenPair]


@pytest.fixture(autouse=True, scope="module")
def _threads() -> Iterator[None]:
    """Whoever counts threads later finds none of ours."""
    yield
    leave_no_threads()


class House:
    """Two workers with a fake auth host: `grants` are its outcomes in their order, the last one for good."""

    def __init__(self, *grants: Grant) -> None:
        self.clock = FakeClock()
        self.store: Store = SqliteStore(MEMORY, clock=self.clock)
        self.refreshed: list[str] = []
        self.grants: Sequence[Grant] = grants or (TokenPair("access", None),)
        self.tokens, self.others = self.worker(), self.worker()

    def worker(self) -> AccessTokens:
        """A further process."""
        return AccessTokens(
            refresh=self.refresh,
            vault=Vault([self.store]),
            store=self.store,
            clock=self.clock,
            sleep=self.clock.advance,
        )

    def refresh(self, _credential: Credential, token: str) -> TokenPair:
        self.refreshed.append(token)
        outcome = self.grants[min(len(self.refreshed), len(self.grants)) - 1]
        if isinstance(outcome, GatewayError):
            raise outcome
        return outcome if isinstance(outcome, TokenPair) else outcome()

    def get(self, whose: Credential) -> str:
        """The access token's text."""
        return self.tokens.get(whose).value


def served(*refused: str) -> Callable[[AccessToken], str]:
    """A step that Kimi refuses with these tokens."""

    def step(token: AccessToken) -> str:
        if token.value in refused:
            raise TokenExpired(f"refused {token.value}")
        return token.value

    return step


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
        everyone.wait(PATIENCE)
        return house.get(whose)

    with ThreadPoolExecutor(50) as threads:
        assert set(threads.map(get, range(50))) == {"access"}
    assert len(house.refreshed) == 1


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


# --- Workers that share a store ----------------------------------------------------------------------------


def test_fifty_threads_of_five_workers_share_one_refresh(tmp_path: Path) -> None:
    """They read the pair in the file that they share, round after round."""
    clock, whose = FakeClock(), refreshable()
    host = AuthHost(clock, whose.token)
    everyone = threading.Barrier(50)

    def slowly(asked: Credential, token: str) -> TokenPair:
        time.sleep(0.1)  # so that all others come meanwhile
        return host(asked, token)

    def worker() -> AccessTokens:
        store = SqliteStore(str(tmp_path / "state"), clock=clock)
        return AccessTokens(refresh=slowly, vault=Vault([store]), store=store, clock=clock)

    workers = [worker() for _ in range(5)]

    def use(number: int) -> str:
        everyone.wait(PATIENCE)
        return workers[number % 5].using(whose, host.serve)

    for rounds in range(1, 6):
        with ThreadPoolExecutor(50) as threads:
            assert len(set(threads.map(use, range(50)))) == 1
        assert len(host.refreshed) == rounds
        host.end_access()
    assert not host.revoked


def test_a_worker_that_comes_later_reads_the_pair() -> None:
    """As one that was started anew does."""
    house, whose = House(), refreshable()
    assert [house.get(whose), house.others.get(whose).value, house.worker().get(whose).value] == ["access"] * 3
    assert len(house.refreshed) == 1


def test_a_rotated_token_is_everybody_s() -> None:
    """Whichever worker refreshes next goes on with the newest one."""
    house = House(TokenPair("a", "rotated-1"), TokenPair("b", "rotated-2"), TokenPair("c", None))
    whose = refreshable()
    assert house.tokens.using(whose, served()) == "a"
    assert house.others.using(whose, served("a")) == "b"
    assert house.worker().using(whose, served("a", "b")) == "c"
    assert house.refreshed == [whose.token, "rotated-1", "rotated-2"]


def test_a_pair_is_kept_before_it_is_used() -> None:
    """When the token is given out, a fresh process finds it in the vault; while it was fetched, nobody did."""
    house, whose, found = House(), refreshable(), list[object]()

    def grant() -> TokenPair:
        found.append(Vault([house.store]).read(whose).pair)
        return TokenPair("access", "rotated")

    house.grants = (grant,)
    house.get(whose)
    pair = Vault([house.store]).read(whose).pair
    assert found == [None]
    assert pair is not None
    assert [pair.access, pair.refresh, pair.serial, pair.at] == ["access", "rotated", 1, house.clock()]


def test_two_credentials_are_refreshed_at_the_same_time() -> None:
    """One account's slow host holds up nobody else."""
    house, slow, quick = House(), refreshable(jti=1), refreshable(jti=2)
    house.grants = (lambda: TokenPair(house.get(quick) + " after", None), TokenPair("quick", None))
    assert house.get(slow) == "quick after"


@pytest.mark.parametrize("error", [TokenExpired("no"), AccountRestricted("no"), UpstreamUnavailable("no")])
def test_a_failure_is_every_worker_s(error: GatewayError) -> None:
    """The others do not try what one of them has just tried in vain."""
    house, whose = House(error, TokenPair("a", None)), refreshable()
    for tokens in (house.tokens, house.others, house.worker()):
        with pytest.raises(type(error), match="no"):
            tokens.get(whose)
    assert len(house.refreshed) == 1
    house.clock.advance(REFUSAL_LIFE)
    assert {tokens.get(whose).value for tokens in (house.others, house.tokens)} == {"a"}


def test_a_failure_of_one_credential_is_not_another_s() -> None:
    """Two tokens of one user are refused each by itself: anybody can write a token with that user's id in it."""
    house = House(TokenExpired("forged"), TokenPair("mine", None))
    with pytest.raises(TokenExpired):
        house.get(refreshable(sub="user-1", jti="forged"))
    assert house.get(refreshable(sub="user-1")) == "mine"


def test_failures_double() -> None:
    """Every attempt with a token that may be spent may cost the account; also if each is another worker's."""
    house, whose = House(UpstreamUnavailable("no")), refreshable()
    expected = [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    for count, life in enumerate(expected, 1):
        for seconds in (0.0, life - 0.1):
            house.clock.advance(seconds)
            with pytest.raises(UpstreamUnavailable):
                house.worker().get(whose)
            assert len(house.refreshed) == count
        house.clock.advance(0.1)
    assert [FAILURE_LIFE, MAX_FAILURE_LIFE] == [2.0, 60.0]


@pytest.mark.parametrize("before", [UpstreamUnavailable("no"), TokenExpired("no")])
def test_a_success_ends_the_doubling(before: GatewayError) -> None:
    """The next failure is a first one."""
    house, whose = House(before, TokenPair("a", None), UpstreamUnavailable("no"), TokenPair("b", None)), refreshable()
    with pytest.raises(type(before)):
        house.get(whose)
    house.clock.advance(REFUSAL_LIFE)
    house.tokens.reject(whose, house.tokens.get(whose))
    with pytest.raises(UpstreamUnavailable):
        house.get(whose)
    house.clock.advance(FAILURE_LIFE)
    assert house.get(whose) == "b"


def test_a_refusal_does_not_lengthen_a_failure() -> None:
    """It is no sign that a token may be spent."""
    house, whose = House(TokenExpired("no"), UpstreamUnavailable("no"), TokenPair("a", None)), refreshable()
    for error, life in ((TokenExpired, REFUSAL_LIFE), (UpstreamUnavailable, FAILURE_LIFE)):
        with pytest.raises(error):
            house.get(whose)
        house.clock.advance(life)
    assert house.get(whose) == "a"


def test_pairs_are_counted() -> None:
    """So that the newest is known also where the clocks of two machines differ."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None), TokenPair("c", None)), refreshable()
    for serial in (1, 2, 3):
        house.tokens.reject(whose, house.tokens.get(whose))
        pair = Vault([house.store]).read(whose).pair
        assert pair is not None
        assert pair.serial == serial


@pytest.mark.parametrize("kind", [UpstreamBlocked, UpstreamUnreachable, UpstreamTimeout, UpstreamUnavailable])
def test_a_failure_is_what_it_was(kind: type[GatewayError]) -> None:
    """The diagnosis tells a blocked network from a changed protocol by the class; in every worker."""
    house, whose = House(kind("no")), refreshable()
    for tokens in (house.tokens, house.others):
        with pytest.raises(GatewayError) as caught:
            tokens.get(whose)
        assert type(caught.value) is kind


def test_a_refusal_keeps_its_time() -> None:
    """The pool keeps to the time at which Kimi's quota is full again."""
    error = RateLimitExceeded("no")
    error.resets_at = 2e9
    house, whose = House(error), refreshable()
    for tokens in (house.tokens, house.others):
        with pytest.raises(RateLimitExceeded) as caught:
            tokens.get(whose)
        assert caught.value.resets_at == 2e9


def test_a_good_pair_counts_more_than_a_failure() -> None:
    """A worker whose token was rejected fails to renew it; the others go on with what they have."""
    house, whose = House(TokenPair("a", None), UpstreamUnavailable("no")), refreshable()
    house.tokens.reject(whose, house.tokens.get(whose))
    with pytest.raises(UpstreamUnavailable):
        house.get(whose)
    assert house.others.get(whose).value == "a"


def test_a_rejected_token_forces_one_refresh_of_all_workers() -> None:
    """Also where the vault still holds it: the first renews it, the others read what it got."""
    house = House(TokenPair("a", None), TokenPair("b", None), TokenPair("c", None))
    whose = refreshable()
    old = [tokens.get(whose) for tokens in (house.tokens, house.others)]
    for tokens, token in zip((house.tokens, house.others), old, strict=True):
        assert tokens.reject(whose, token)
        assert tokens.get(whose).value == "b"
    assert len(house.refreshed) == 2


def test_a_worker_that_never_had_the_rejected_token_is_told_it_first() -> None:
    """It reads the pair in the vault, sees it refused, and renews it once."""
    clock, whose = FakeClock(), refreshable()
    host, store = AuthHost(clock, whose.token), SqliteStore(MEMORY, clock=clock)
    one, two = Worker(store, host, clock), Worker(store, host, clock)
    one.get(whose)
    host.end_access()
    assert two.tokens.using(whose, host.serve) == one.tokens.using(whose, host.serve)
    assert len(host.refreshed) == 2


# --- Doing something with a token --------------------------------------------------------------------------


def test_a_step_is_done_with_the_token() -> None:
    """Once, if it goes well."""
    house = House()
    assert house.tokens.using(refreshable(), served()) == "access"
    assert len(house.refreshed) == 1


def test_a_token_that_kimi_has_ended_is_renewed_for_a_step() -> None:
    """The step is done again with the new one."""
    house = House(TokenPair("a", None), TokenPair("b", None))
    assert house.tokens.using(refreshable(), served("a")) == "b"
    assert len(house.refreshed) == 2


def test_a_token_is_renewed_once_for_a_step() -> None:
    """A second refusal is the account's."""
    house = House(TokenPair("a", None), TokenPair("b", None), TokenPair("c", None))
    with pytest.raises(TokenExpired, match="refused b"):
        house.tokens.using(refreshable(), served("a", "b"))
    assert len(house.refreshed) == 2


def test_a_token_of_another_worker_s_may_be_ended_as_well() -> None:
    """A worker that was idle has the last but one: Kimi takes neither that nor the one in the vault."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None), TokenPair("c", None)), refreshable()
    old = house.others.get(whose)
    house.tokens.reject(whose, house.tokens.get(whose))
    assert [old.value, house.tokens.get(whose).value] == ["a", "b"]
    assert house.others.using(whose, served("a", "b")) == "c"
    assert len(house.refreshed) == 3


def test_a_straggler_does_not_bring_a_refused_token_back() -> None:
    """It comes with one that is older still."""
    house, whose = House(TokenPair("a", None), TokenPair("b", None), TokenPair("c", None)), refreshable()
    first = house.tokens.get(whose)
    house.tokens.reject(whose, first)
    house.tokens.reject(whose, house.tokens.get(whose))
    house.tokens.reject(whose, first)
    assert house.tokens.get(whose).value == "c"


def test_another_error_of_a_step_renews_nothing() -> None:
    """It is not the token's fault."""
    house = House()

    def step(_: AccessToken) -> None:
        raise AccountRestricted("no")

    with pytest.raises(AccountRestricted):
        house.tokens.using(refreshable(), step)
    assert len(house.refreshed) == 1


def test_the_client_s_own_access_token_is_not_renewed_for_a_step() -> None:
    """Its refusal is told."""
    house, token = House(), jwt()
    with pytest.raises(TokenExpired, match="refused"):
        house.tokens.using(credential(token), served(token))
    assert house.refreshed == []


# --- Another worker's refresh ------------------------------------------------------------------------------


def test_a_worker_waits_for_the_refresh_of_another() -> None:
    """And takes what that one got."""
    house, whose = House(), refreshable()
    lease = Vault([house.store]).lease(whose)
    assert lease is not None
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 5:
            house.get(whose)  # fails to get the lease as well, unless it was given back
        if len(looks) == 4:
            lease.close()

    waiting = AccessTokens(
        refresh=house.refresh, vault=Vault([house.store]), store=house.store, clock=house.clock, sleep=sleep
    )
    assert waiting.get(whose).value == "access"
    assert len(house.refreshed) == 1
    assert len(looks) == 4


def test_a_worker_does_not_wait_for_ever() -> None:
    """A minute; then the client may try again."""
    house, whose, waited = House(), refreshable(), list[float]()
    lease = Vault([house.store]).lease(whose)
    assert lease is not None
    waiting = AccessTokens(
        refresh=house.refresh, vault=Vault([house.store]), store=house.store, clock=house.clock, sleep=waited.append
    )
    with pytest.raises(UpstreamTimeout):
        waiting.get(whose)
    assert sum(waited) == pytest.approx(FLIGHT_LIMIT, abs=1)
    assert house.refreshed == []
    lease.close()
    house.clock.advance(FAILURE_LIFE)
    assert waiting.get(whose).value == "access"


def test_a_pair_that_came_between_the_look_and_the_lease_is_used() -> None:
    """The other worker was done just then."""
    clock, whose = FakeClock(), refreshable()
    host, store = AuthHost(clock, whose.token), FakeStore(clock)
    one, two = Worker(store, host, clock), Worker(store, host, clock)
    got: list[str] = []
    store.before = [lambda: got.append(one.get(whose))]  # the first swap of all is that of the lease
    assert two.get(whose) == one.get(whose)
    assert got == [one.get(whose)]
    assert len(host.refreshed) == 1


@pytest.mark.parametrize("moment", ["before the refresh is sent", "after it, before the pair is stored"])
def test_a_lease_that_was_lost_leads_to_reading_back(moment: str) -> None:
    """A worker that stood still longer than its lease lived uses the pair that another got meanwhile."""
    clock, whose = FakeClock(), refreshable()
    host, store = AuthHost(clock, whose.token), SqliteStore(MEMORY, clock=clock)
    slow, other = Worker(store, host, clock), Worker(store, host, clock)
    got: list[str] = []

    def meanwhile() -> None:
        clock.advance(LIFE + 1)
        got.append(other.get(whose))
        clock.advance(1)

    slow.meanwhile = meanwhile
    slow.stands_at = REFRESHES if moment.startswith("before") else REFRESHES + 1
    got.append(slow.get(whose))
    got.append(Worker(store, host, clock).get(whose))
    assert len(host.refreshed) == 2
    assert got == [got[0]] * 3
    assert not host.revoked


# --- Crashes -----------------------------------------------------------------------------------------------

REFRESHES = 6
"""The step of a first `get` at which the refresh is sent: after a look, the lease, and another look."""

STORES = REFRESHES + 2
"""The step at which the pair is stored; the one in between is the answer's arrival."""


class Accident:
    """A worker that is killed at a step, and those after it."""

    def __init__(self, *, window: float = 30.0) -> None:
        self.clock = FakeClock()
        self.whose = refreshable()
        self.host = AuthHost(self.clock, self.whose.token, window=window)
        self.store = SqliteStore(MEMORY, clock=self.clock)

    def kill(self, step: int) -> None:
        """Have a new worker die at this step of its work."""
        worker = Worker(self.store, self.host, self.clock)
        worker.dies_at = step
        with pytest.raises(Died):
            worker.get(self.whose)

    def get(self) -> str:
        """The access token that the next worker gets."""
        return Worker(self.store, self.host, self.clock).get(self.whose)


@pytest.mark.parametrize(
    ("step", "refreshed"),
    [
        (1, 0),  # while it looks
        (4, 0),  # with the lease, before the second look
        (REFRESHES, 0),
        (REFRESHES + 1, 1),
        (STORES, 1),
        (STORES + 1, 1),  # before it gives the lease back
    ],
)
def test_a_crash_is_survived_at_every_step(step: int, refreshed: int) -> None:
    """The next worker waits out the lease and uses the pair, or the old token once more within Kimi's patience."""
    accident = Accident()
    accident.kill(step)
    assert len(accident.host.refreshed) == refreshed
    token = accident.get()
    assert len(accident.host.refreshed) == (1 if step > STORES else refreshed + 1)
    assert accident.host.serve(AccessToken(token, overseas=False)) == token
    assert [accident.get(), accident.host.revoked] == [token, False]


def test_the_next_worker_comes_within_kimi_s_patience() -> None:
    """The lease of the dead one lives shorter than that."""
    accident = Accident()
    accident.kill(STORES)
    before = accident.clock()
    accident.get()
    assert LIFE - 1 <= accident.clock() - before <= LIFE + 1


def test_a_crash_of_a_later_rotation_is_survived_as_well() -> None:
    """The token that was rotated last is the one that is used again."""
    accident = Accident()
    accident.get()
    for _ in range(3):
        accident.clock.advance(900)
        accident.kill(STORES)
        token = accident.get()
        assert accident.host.refreshed[-1] == accident.host.refreshed[-2]
        assert accident.host.serve(AccessToken(token, overseas=False)) == token
    assert not accident.host.revoked


@pytest.mark.parametrize(("crashes", "pause"), [(2, 0.0), (1, 30.0)], ids=["a third use", "too late"])
def test_what_kimi_does_not_forgive_is_told_and_not_repeated(crashes: int, pause: float) -> None:
    """The family is lost: the person has to log in again, and Kimi is not asked again and again."""
    accident = Accident()
    for _ in range(crashes):
        accident.kill(STORES)
        accident.clock.advance(LIFE + 1)
    accident.clock.advance(pause)
    for _ in range(3):
        with pytest.raises(TokenExpired):
            accident.get()
    assert accident.host.revoked
    assert len(accident.host.refreshed) == crashes + 1


FAULTS = st.sampled_from(["none", "killed", "stands still"])


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(FAULTS, st.integers(0, 2), st.integers(1, 14), st.booleans(), st.floats(0, 15)),
        min_size=1,
        max_size=12,
    )
)
def test_no_interleaving_costs_the_family(rotations: list[tuple[str, int, int, bool, float]]) -> None:
    """Of three workers one is killed, or stands still while another works, at any step: once in each rotation.

    All use the same pair then, and Kimi accepts it. A worker that stands still may lose its lease.
    """
    clock, whose = FakeClock(), refreshable()
    host, store = AuthHost(clock, whose.token), SqliteStore(MEMORY, clock=clock)
    workers = [Worker(store, host, clock) for _ in range(3)]
    for fault, who, step, ended, pause in rotations:
        worker, other, third = (workers[(who + more) % 3] for more in range(3))
        got: list[str] = []
        if fault == "killed":
            worker.dies_at = worker.steps + step
        elif fault == "stands still":
            worker.stands_at = worker.steps + step

            def meanwhile(other: Worker = other, got: list[str] = got, pause: float = pause) -> None:
                clock.advance(pause)
                got.append(other.tokens.using(whose, host.serve))

            worker.meanwhile = meanwhile
        try:
            got.append(worker.tokens.using(whose, host.serve))
        except Died:
            workers[who] = Worker(store, host, clock)
        worker.dies_at = worker.stands_at = None
        got += [each.tokens.using(whose, host.serve) for each in (other, third, workers[who])]
        assert not host.revoked
        assert got == [got[0]] * len(got)
        if ended:
            host.end_access()
        else:
            clock.advance(900)


# --- A store that does not answer --------------------------------------------------------------------------


class Cut:
    """A machine whose shared store can be away; its own is always there. The access token lives 900 s."""

    def __init__(self) -> None:
        self.clock, self.whose = FakeClock(), refreshable()
        self.shared, own = FakeStore(self.clock), FakeStore(self.clock)
        self.refreshed = 0
        self.tokens = AccessTokens(
            refresh=self.refresh,
            vault=Vault([self.shared, own], sleep=lambda _: time.sleep(0.01)),
            store=own,
            clock=self.clock,
            sleep=self.clock.advance,
        )
        self.first = self.tokens.get(self.whose)

    def refresh(self, _credential: Credential, _token: str) -> TokenPair:
        self.refreshed += 1
        return dated(self.clock, 900)


def test_a_refresh_is_put_off_while_a_store_is_away_and_the_old_token_is_good() -> None:
    """Another machine may have refreshed out of sight: the margin is there to wait for its word."""
    house = Cut()
    house.shared.away = True
    house.clock.advance(900 - EXPIRY_MARGIN + 1)
    assert house.tokens.get(house.whose) == house.first
    house.clock.advance(POSTPONED / 2)
    house.shared.away = False
    assert house.tokens.get(house.whose) == house.first
    assert house.refreshed == 1
    house.clock.advance(POSTPONED)
    assert house.tokens.get(house.whose) != house.first
    assert house.refreshed == 2


def test_a_refresh_is_not_put_off_for_ever() -> None:
    """With the end of the old token the machine goes on by itself."""
    house = Cut()
    house.shared.away = True
    house.clock.advance(900 - POSTPONED)
    assert house.tokens.get(house.whose) != house.first
    assert house.refreshed == 2
    house.shared.away = False


def test_nothing_is_refreshed_while_a_restarted_store_is_told_what_it_forgot() -> None:
    """Another machine may have the newest pair, and this one an old one or none."""
    clock, whose, store = FakeClock(), refreshable(), FakeStore()
    refreshed: list[str] = []
    vault = Vault([store], timer=clock, sleep=lambda _: None)

    def refresh(_credential: Credential, token: str) -> TokenPair:
        refreshed.append(token)
        return TokenPair("a", "rotated-1")

    def sleep(seconds: float) -> None:
        clock.advance(seconds)
        if not refreshed and clock() > began + 3:
            other = AccessTokens(refresh=refresh, vault=Vault([store]), store=store, clock=clock)
            assert other.get(whose).value == "a"

    tokens = AccessTokens(refresh=refresh, vault=vault, store=store, clock=clock, sleep=sleep)
    began = clock()
    vault.tell_again()
    assert tokens.get(whose).value == "a"
    assert refreshed == [whose.token]
    assert 3 < clock() - began < 4


def test_a_refresh_waits_no_longer_than_the_doubt() -> None:
    """Nobody may have anything to tell."""
    clock, whose, store = FakeClock(), refreshable(), FakeStore()
    vault = Vault([store], timer=clock, sleep=lambda _: None)
    tokens = AccessTokens(
        refresh=lambda _credential, _token: TokenPair("a", None),
        vault=vault,
        store=store,
        clock=clock,
        sleep=clock.advance,
    )
    began = clock()
    vault.tell_again()
    assert tokens.get(whose).value == "a"
    assert DOUBT <= clock() - began < DOUBT + 1


def test_a_refused_token_is_renewed_also_while_a_store_is_away() -> None:
    """It is not good any more, whatever its date."""
    house = Cut()
    house.shared.away = True
    house.clock.advance(1)
    assert house.tokens.reject(house.whose, house.first)
    assert house.tokens.get(house.whose) != house.first
    house.shared.away = False


# --- Notes of other versions -------------------------------------------------------------------------------


@pytest.mark.parametrize("note", [b"", b"\xff", b"[]", b"{}", b'{"code": "token_expired"}', b"1"])
def test_a_note_of_another_version_is_as_none(note: bytes) -> None:
    """Machines that share a Redis are not updated all at once."""
    house, whose = House(), refreshable()
    house.store.put({f"refusal:{whose.name}": note}, 100)
    assert house.get(whose) == "access"
