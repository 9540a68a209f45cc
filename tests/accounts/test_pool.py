"""The pool: which account serves, how many streams it bears, who waits how long, and what a refused one is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from app.accounts.credentials import Credential
from app.accounts.pool import POLL, AccountLease, Limits, Pool
from app.chat.cancellation import Callback, Cancellation
from app.errors import (
    AccountRestricted,
    ClientGone,
    GatewayError,
    NoAccountReady,
    Overloaded,
    RateLimitExceeded,
    SecondStreamRefused,
    TokenExpired,
    UpstreamBusy,
    UpstreamTimeout,
)
from app.state.leases import LIFE, Leases
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import Store
from tests.accounts.workers import PATIENCE, Mortal, accessing
from tests.fakes import FakeClock
from tests.state.stores import FakeStore

A, B, C = (accessing(sub=f"user-{number}") for number in "abc")
A_TOO = accessing(sub="user-a", jti=2)
NEVER = 2.5 * POLL
"""Seconds after which what has not come is taken to stay away: the first in a line has looked twice."""


class Watched(Cancellation):
    """Tells when its request stands in line."""

    def __init__(self) -> None:
        super().__init__()
        self.in_line = threading.Event()

    def on_cancel(self, callback: Callback) -> Callback:
        forget = super().on_cancel(callback)
        self.in_line.set()
        return forget


class Waiting:
    """A request in a thread of its own, which stands in line when this is made."""

    def __init__(self, threads: ThreadPoolExecutor, ask: Callable[[Cancellation], AccountLease]) -> None:
        self.cancellation = Watched()
        self.future: Future[AccountLease] = threads.submit(ask, self.cancellation)
        assert self.cancellation.in_line.wait(PATIENCE)

    def lease(self) -> AccountLease:
        """What it got, or raises what it was told; it comes at once."""
        return self.future.result(PATIENCE)

    def still_waits(self) -> bool:
        """Whether it goes on waiting."""
        try:
            self.future.exception(NEVER)
        except TimeoutError:
            return True
        return False


class Over(threading.Event):
    """A sleep that ends with the test."""

    def __call__(self, seconds: float) -> None:
        self.wait(PATIENCE)


class House:
    """Several workers' pools on one store. Time stands still, so that nobody waits in vain unless it goes on."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore(MEMORY, clock=self.clock)
        self.threads = ThreadPoolExecutor(20)
        self._over = Over()
        self._leases: list[Leases] = []
        self.pool = self.worker()

    def worker(self, limits: Limits = Limits(queue=0), store: Store | None = None) -> Pool:  # noqa: B008 # frozen
        """The pool of a further process; without a queue unless told, so that no turn now is no turn."""
        store = store or self.store
        self._leases.append(Leases(store, sleep=self._over))
        return Pool(store=store, leases=self._leases[-1], limits=limits, clock=self.clock, timer=self.clock)

    def patient(self, seconds: float = 30.0, **limits: int) -> Pool:
        """The pool of a process in which requests wait in line."""
        return self.worker(Limits(queue=seconds, **limits))

    def wait(self, pool: Pool, credentials: Sequence[Credential], kind: str = "chat") -> Waiting:
        """A request that waits in this pool."""
        return Waiting(self.threads, lambda cancellation: pool.lease(credentials, kind, cancellation))

    def fail(self, credential: Credential, error: GatewayError, kind: str = "chat") -> GatewayError:
        """Have a request of an account fail; gives the error as it is told then."""
        with take(self.pool, credential, kind=kind) as lease:
            lease.failed(error)
        return error

    def close(self) -> None:
        """Let all threads end."""
        self.clock.advance(1e6)
        self.threads.shutdown()
        for leases in self._leases:
            leases._held.clear()
        self._over.set()


@pytest.fixture
def house() -> Iterator[House]:
    """Nobody has a stream, and no thread is left behind."""
    house = House()
    yield house
    house.close()


def take(pool: Pool, *credentials: Credential, kind: str = "chat", prefer: str | None = None) -> AccountLease:
    """An account for a request that nobody cancels."""
    return pool.lease(credentials, kind, Cancellation(), prefer=prefer)


def refusal(pool: Pool, *credentials: Credential, kind: str = "chat") -> GatewayError:
    """What a request is told that gets no account."""
    with pytest.raises(GatewayError) as caught:
        take(pool, *credentials, kind=kind)
    return caught.value


def streams(house: House, credential: Credential) -> int:
    """How many streams an account has."""
    return house.pool.standing(credential, "chat")[0]


# --- Which account -----------------------------------------------------------------------------------------


def test_the_least_busy_account_serves(house: House) -> None:
    """So that streams spread over all of them, from whichever worker they come."""
    pools = [house.pool, house.worker()]
    with ExitStack() as held:
        taken = [held.enter_context(take(pools[number % 2], A, B, C)).credential for number in range(6)]
    assert {credential.account for credential in taken[:3]} == {A.account, B.account, C.account}
    assert {credential.account for credential in taken[3:]} == {A.account, B.account, C.account}


def test_of_those_the_longest_unused_serves(house: House) -> None:
    """In turn, also over several workers; one never used goes first."""
    order: list[Credential] = []
    for pool in [house.pool, house.worker()] * 3:
        house.clock.advance(1)
        with take(pool, A, B, C) as lease:
            order.append(lease.credential)
    assert order == [A, B, C, A, B, C]


def test_a_busy_account_waits_behind_one_that_was_used_just_now(house: House) -> None:
    """Being busy counts more."""
    with take(house.pool, A, B) as first:
        for _ in range(3):
            house.clock.advance(1)
            with take(house.pool, A, B) as lease:
                assert lease.credential != first.credential


def test_the_preferred_account_serves_if_it_can(house: House) -> None:
    """The one that holds the conversation, also if it is the busiest and was used last."""
    with take(house.pool, A, B, C, prefer=C.name) as first, take(house.pool, A, B, C, prefer=C.name) as second:
        assert [first.credential, second.credential] == [C, C]
        with take(house.pool, A, B, C, prefer=C.name) as third:
            assert third.credential == A


def test_of_one_account_the_preferred_credential_serves(house: House) -> None:
    """The conversation is of the protocol that serves this one."""
    for credential in (A, A_TOO):
        with take(house.pool, A, A_TOO, B, prefer=credential.name) as lease:
            assert lease.credential == credential


def test_another_account_serves_while_the_preferred_one_is_paused(house: House) -> None:
    """The conversation is merged into a new one there."""
    house.fail(C, UpstreamBusy("no"))
    with take(house.pool, A, C, prefer=C.name) as lease:
        assert lease.credential == A


def test_an_account_that_is_paused_is_passed_over(house: House) -> None:
    """However idle it is."""
    house.fail(A, UpstreamBusy("no"))
    with take(house.pool, A, B) as first, take(house.pool, A, B) as second:
        assert [first.credential, second.credential] == [B, B]


# --- How many streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 5])
def test_an_account_has_so_many_streams_and_no_more(house: House, most: int) -> None:
    """Counted over all workers."""
    pools = [house.worker(Limits(queue=0, streams_per_account=most)) for _ in range(3)]
    with ExitStack() as held:
        for number in range(most):
            held.enter_context(take(pools[number % 3], A))
        assert streams(house, A) == min(most, 2)  # of the slots that a worker with the default knows
        for pool in pools:
            error = refusal(pool, A)
            assert [type(error), error.status] == [RateLimitExceeded, 429]
        held.enter_context(take(pools[0], B))
    held.enter_context(take(pools[0], A)).__exit__(None, None, None)


def test_many_workers_never_give_one_stream_too_many(tmp_path: Path) -> None:
    """Twenty threads of four processes on one file, for two accounts of two streams."""
    everyone, pools, all_leases = threading.Barrier(20), list[Pool](), list[Leases]()
    over = Over()
    for _ in range(4):
        store = SqliteStore(str(tmp_path / "state"))
        all_leases.append(Leases(store, sleep=over))
        pools.append(Pool(store=store, leases=all_leases[-1], limits=Limits(queue=0.3)))

    def ask(number: int) -> AccountLease | None:
        everyone.wait(PATIENCE)
        try:
            return take(pools[number % 4], A, B)
        except RateLimitExceeded:
            return None

    with ThreadPoolExecutor(20) as threads:
        taken = [lease for lease in threads.map(ask, range(20)) if lease is not None]
    accounts = [lease.credential.account for lease in taken]
    assert [accounts.count(A.account), accounts.count(B.account), len(accounts)] == [2, 2, 4]
    for lease in taken:
        lease.keep()()
    over.set()


def test_two_credentials_of_one_account_share_its_streams(house: House) -> None:
    """Kimi counts them together."""
    with take(house.pool, A), take(house.pool, A_TOO):
        for credentials in ((A,), (A_TOO,), (A, A_TOO)):
            assert isinstance(refusal(house.pool, *credentials), RateLimitExceeded)
    with take(house.pool, A, A_TOO), take(house.pool, A, A_TOO):
        assert isinstance(refusal(house.pool, A), RateLimitExceeded)


def test_a_stream_ends_with_its_block(house: House) -> None:
    """Also after an error, and once: the next stream's slot is not given back in its stead."""
    with pytest.raises(KeyError), take(house.pool, A) as lease:
        raise KeyError
    assert streams(house, A) == 0
    with take(house.pool, A):
        lease.keep()()
        lease.__exit__(None, None, None)
        assert streams(house, A) == 1


def test_an_account_may_be_kept_beyond_the_block(house: House) -> None:
    """Until what runs on Kimi's side is stopped."""
    pool = house.worker(Limits(queue=0, streams=1, streams_per_account=1))
    with take(pool, A) as lease:
        give_back = lease.keep()
    assert streams(house, A) == 1
    assert isinstance(refusal(pool, A), Overloaded)
    give_back()
    assert streams(house, A) == 0
    with take(pool, A):
        give_back()  # said twice, it does no harm
        assert streams(house, A) == 1


def test_an_account_may_be_given_back_before_the_end_of_the_block(house: House) -> None:
    """When the answer is whole, before its client knows: the next request may come at once."""
    with take(house.pool, A) as lease:
        lease.give_back()
        assert streams(house, A) == 0
        with take(house.pool, A):
            lease.give_back()
            assert streams(house, A) == 1


def test_a_stream_of_a_process_that_died_ends_by_itself(house: House) -> None:
    """Soon after, and not before."""
    process = Mortal(house.store)
    dying = house.worker(Limits(streams_per_account=1), process)
    pool = house.worker(Limits(queue=0, streams_per_account=1))
    with take(dying, A):
        process.dead = True
    house.clock.advance(LIFE - 1)
    assert isinstance(refusal(pool, A), RateLimitExceeded)
    house.clock.advance(2)
    take(pool, A).keep()()


# --- Waiting in line ---------------------------------------------------------------------------------------


def test_a_request_that_need_not_wait_does_not(house: House) -> None:
    """And says so."""
    with take(house.patient(), A) as lease:
        assert lease.waited == 0.0


def test_a_request_waits_for_its_turn(house: House) -> None:
    """And says how long it did."""
    pool = house.patient(streams_per_account=1)
    with take(pool, A):
        waiting = house.wait(pool, [A])
        assert waiting.still_waits()
        house.clock.advance(7)
    with waiting.lease() as lease:
        assert [lease.credential, lease.waited] == [A, 7.0]


def test_who_came_first_is_served_first(house: House) -> None:
    """One after the other."""
    pool = house.patient(streams_per_account=1)
    held = take(pool, A)
    queue = [house.wait(pool, [A]) for _ in range(5)]
    for number, waiting in enumerate(queue):
        held.keep()()
        held = waiting.lease()
        assert [other.future.done() for other in queue] == [True] * (number + 1) + [False] * (4 - number)
    held.keep()()


def test_who_comes_later_does_not_pass_the_line(house: House) -> None:
    """Also where it could be served by an account that has just become free."""
    pool = house.patient(streams_per_account=1)
    held = take(pool, A)
    first = house.wait(pool, [A])
    held.keep()()
    late = house.wait(pool, [A])
    with first.lease():
        assert late.still_waits()
    late.lease().keep()()


def test_a_line_is_of_the_accounts_whoever_presents_them(house: House) -> None:
    """In any order, by any of their tokens."""
    pool = house.patient(streams_per_account=1)
    with take(pool, A), take(pool, B) as other:
        first = house.wait(pool, [A, B])
        second = house.wait(pool, [B, A_TOO])
        assert len(pool._lines._lines) == 1
        other.keep()()
        assert first.lease().credential == B
        assert second.still_waits()
    second.lease().keep()()
    first.lease().keep()()


def test_requests_for_other_accounts_do_not_wait_in_that_line(house: House) -> None:
    """Nor do they wake it for nothing."""
    pool = house.patient(streams_per_account=1)
    with take(pool, A):
        waiting = house.wait(pool, [A])
        with take(pool, B) as lease:
            assert lease.waited == 0.0
        assert waiting.still_waits()
    waiting.lease().keep()()


@pytest.mark.parametrize("ends_within", [20.0, 3600.0])
def test_a_kind_that_is_used_up_holds_up_no_other(house: House, ends_within: float) -> None:
    """Neither does a request for research that waits stand in the way of a chat, nor the other way round."""
    pool = house.patient(streams_per_account=1)
    house.fail(A, RateLimitExceeded("research is used up", retry_after=ends_within), kind="research")
    if ends_within == 20.0:
        research = house.wait(pool, [A], "research")
        chat = house.wait(pool, [A])
        chat.lease().keep()()
        house.clock.advance(20)
        research.lease().keep()()
    else:
        with take(pool, A):
            chat = house.wait(pool, [A])
            research = house.wait(pool, [A], "research")
            with pytest.raises(RateLimitExceeded, match="used up"):
                research.lease()
        chat.lease().keep()()


def test_the_end_of_a_stream_is_seen_at_once(house: House) -> None:
    """Whoever is first in line is woken, and does not wait for its next look."""
    pool = house.patient(streams_per_account=1)
    took: list[float] = []
    for _ in range(5):
        with take(pool, A):
            waiting = house.wait(pool, [A])
            time.sleep(POLL / 5)  # it has looked, and would look again after the rest of its pause
            began = time.monotonic()
        waiting.lease().keep()()
        took.append(time.monotonic() - began)
    assert min(took) < POLL / 2


def test_the_end_of_another_worker_s_stream_is_seen(house: House) -> None:
    """By looking from time to time."""
    pool = house.patient(streams_per_account=1)
    held = take(house.worker(Limits(streams_per_account=1)), A)
    waiting = house.wait(pool, [A])
    assert waiting.still_waits()
    held.keep()()
    waiting.lease().keep()()


@pytest.mark.parametrize("leaves", [0, 1, 2])
def test_a_client_that_leaves_leaves_the_line(house: House, leaves: int) -> None:
    """At once, from wherever it stands; the others keep their order."""
    pool = house.patient(streams_per_account=1)
    held = take(pool, A)
    queue = [house.wait(pool, [A]) for _ in range(3)]
    gone = queue.pop(leaves)
    gone.cancellation.cancel()
    with pytest.raises(ClientGone):
        gone.lease()
    for waiting in queue:
        assert not waiting.future.done()
        held.keep()()
        held = waiting.lease()
    held.keep()()
    assert pool._lines._lines == {}


def test_a_client_that_has_left_gets_no_account(house: House) -> None:
    """Not even if one is free."""
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(ClientGone):
        house.pool.lease([A], "chat", cancellation)
    assert streams(house, A) == 0


def test_a_request_that_got_its_account_is_not_called_any_more(house: House) -> None:
    """Nothing of the line is left in its cancellation."""
    cancellation = Cancellation()
    with house.pool.lease([A], "chat", cancellation):
        assert cancellation._callbacks == []


def test_a_request_waits_no_longer_than_it_may(house: House) -> None:
    """Then it is told 429, and when to come back; whoever stands behind it waits on."""
    pool = house.patient(6.0, streams_per_account=1)
    with take(pool, A):
        first = house.wait(pool, [A])
        house.clock.advance(4)
        second = house.wait(pool, [A])
        house.clock.advance(2)
        with pytest.raises(RateLimitExceeded, match="6 s") as caught:
            first.lease()
        assert [caught.value.status, caught.value.retry_after] == [429, 5.0]
        assert second.still_waits()
        house.clock.advance(4)
        with pytest.raises(RateLimitExceeded):
            second.lease()
    assert pool._lines._lines == {}


def test_without_a_queue_a_request_is_told_at_once(house: House) -> None:
    """Nothing becomes free within 0 s."""
    with take(house.pool, A), take(house.pool, A):
        assert "0 s" in refusal(house.pool, A).message


def test_a_full_worker_is_overloaded(house: House) -> None:
    """503: another account would not help, another worker may."""
    pool = house.worker(Limits(queue=0, streams=2))
    with take(pool, A), take(pool, B):
        error = refusal(pool, C)
        assert [type(error), error.status, error.code, error.retry_after] == [Overloaded, 503, "overloaded", 5.0]
        take(house.pool, C).keep()()
    take(pool, C).keep()()


def test_a_full_worker_serves_whoever_waits_when_a_stream_ends(house: House) -> None:
    """Of whichever account that was."""
    pool = house.patient(streams=1)
    with take(pool, A):
        waiting = house.wait(pool, [B])
        assert waiting.still_waits()
    waiting.lease().keep()()


def test_a_worker_never_has_one_stream_too_many(house: House) -> None:
    """Requests for other accounts stand in other lines, and look at the same time."""
    credentials = [accessing(sub=f"user-{number}") for number in range(12)]
    everyone = threading.Barrier(12)

    def together() -> None:
        if threading.current_thread() is not threading.main_thread():
            everyone.wait(PATIENCE)

    pool = house.worker(Limits(queue=0, streams=4), Slow(house.store, together))

    def ask(credential: Credential) -> AccountLease | None:
        try:
            return take(pool, credential)
        except Overloaded:
            return None

    taken = [lease for lease in house.threads.map(ask, credentials) if lease is not None]
    assert len(taken) == 4
    for lease in taken:
        lease.keep()()


def test_a_slot_that_another_worker_was_quicker_to_take_is_no_stream_of_ours(house: House) -> None:
    """The worker's room is not used up by it."""
    store = FakeStore(house.clock)
    other = house.worker(Limits(streams_per_account=1), store)
    pool = house.worker(Limits(queue=0, streams=1, streams_per_account=1), store)
    theirs: list[AccountLease] = []
    store.before = [lambda: theirs.append(take(other, A))]
    assert isinstance(refusal(pool, A), RateLimitExceeded)
    theirs[0].keep()()
    take(pool, A).keep()()


class Slow(Mortal):
    """A store at whose first answer to each thread the others arrive as well."""

    def __init__(self, store: Store, arrive: Callable[[], None]) -> None:
        super().__init__(store)
        self._arrive = arrive
        self._seen = threading.local()

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        found = super().get(keys)
        if not hasattr(self._seen, "once"):
            self._seen.once = True
            self._arrive()
        return found


# --- Pauses ------------------------------------------------------------------------------------------------


def test_a_refused_account_is_not_asked_again_at_once(house: House) -> None:
    """Its requests are told why, and truthfully for how long; another kind of request is served."""
    told = house.fail(A, UpstreamBusy("overloaded"))
    assert [told.retry_after, told.retryable] == [30.0, False]
    house.clock.advance(12)
    error = refusal(house.worker(), A)
    assert [type(error), error.message, error.retry_after] == [UpstreamBusy, "overloaded", 18.0]
    take(house.pool, A, kind="research").keep()()
    house.clock.advance(18)
    take(house.pool, A).keep()()


@pytest.mark.parametrize(
    ("retry_after", "resets_in", "pause"), [(100.0, None, 100.0), (None, 7200.0, 7200.0), (None, None, 30.0)]
)
def test_the_pause_that_is_told_is_the_one_that_is_kept(
    house: House, retry_after: float | None, resets_in: float | None, pause: float
) -> None:
    """From Kimi's Retry-After, or from the time at which the quota is full again."""
    error = RateLimitExceeded("spent", retry_after=retry_after)
    error.resets_at = None if resets_in is None else house.clock() + resets_in
    assert house.fail(A, error).retry_after == pause
    assert refusal(house.pool, A).retry_after == pause
    house.clock.advance(pause)
    take(house.pool, A).keep()()


def test_pauses_grow_until_a_success(house: House) -> None:
    """A success ends what had been noted."""
    pauses: list[float | None] = []
    for _ in range(3):
        pauses.append(house.fail(A, UpstreamBusy("no")).retry_after)
        house.clock.advance(pauses[-1] or 0)
    assert pauses == [30.0, 60.0, 120.0]
    with take(house.pool, A) as lease:
        lease.succeeded()
    assert house.fail(A, UpstreamBusy("no")).retry_after == 30.0


def test_a_success_ends_only_what_concerns_it(house: House) -> None:
    """The pauses of its kind, and what set its token aside; those of another kind and of other accounts stay."""
    for credential, kind in ((A, "chat"), (A, "research"), (B, "chat")):
        house.fail(credential, UpstreamBusy("no"), kind)
    house.clock.advance(30)
    house.fail(A, TokenExpired("no"))
    house.clock.advance(15)
    with take(house.pool, A) as lease:
        lease.succeeded()
    house.fail(A, TokenExpired("no"))
    _, aside = house.pool.standing(A, "chat")
    assert aside is not None
    assert aside.pause == 15.0
    house.clock.advance(15)
    assert house.fail(A, UpstreamBusy("no")).retry_after == 30.0
    assert house.fail(A, UpstreamBusy("no"), "research").retry_after == 60.0
    assert house.fail(B, UpstreamBusy("no")).retry_after == 60.0


def test_a_success_that_began_before_a_refusal_does_not_end_its_pause(house: House) -> None:
    """A long answer says nothing of what Kimi refused while it ran, also if an older pause was noted."""
    house.fail(A, UpstreamBusy("before"))
    house.clock.advance(30)
    with take(house.pool, A) as long:
        house.fail(A, RateLimitExceeded("spent", retry_after=3600.0))
        long.succeeded()
    assert refusal(house.pool, A).message == "spent"


def test_a_success_without_a_note_asks_the_store_nothing(house: House) -> None:
    """As nearly all are."""
    process = Mortal(house.store)
    with take(house.worker(store=process), A) as lease:
        calls: list[None] = []
        process._step = lambda: calls.append(None)
        lease.succeeded()
        assert calls == []


def test_a_request_waits_for_a_pause_that_ends_in_time(house: House) -> None:
    """Rather than be refused."""
    pool = house.patient(30.0)
    house.fail(A, UpstreamBusy("no", retry_after=20.0))
    waiting = house.wait(pool, [A])
    assert waiting.still_waits()
    house.clock.advance(20)
    with waiting.lease() as lease:
        assert lease.waited == 20.0


def test_a_pause_that_ends_too_late_is_told_at_once(house: House) -> None:
    """Waiting would be in vain."""
    pool = house.patient(30.0)
    house.fail(A, UpstreamBusy("no", retry_after=31.0))
    error = refusal(pool, A)
    assert [type(error), error.retry_after] == [UpstreamBusy, 31.0]


def test_a_pause_that_begins_while_a_request_waits_is_told(house: House) -> None:
    """As soon as the first in line sees that it would wait in vain; the next in line is told as well."""
    pool = house.patient(30.0, streams_per_account=1)
    with take(pool, A) as lease:
        queue = [house.wait(pool, [A]) for _ in range(3)]
        lease.failed(RateLimitExceeded("spent", retry_after=600.0))
    for waiting in queue:
        with pytest.raises(RateLimitExceeded, match="spent") as caught:
            waiting.lease()
        assert caught.value.retry_after == 600.0


def test_a_request_waits_for_a_busy_account_beside_a_paused_one(house: House) -> None:
    """As long as one of them may become free, nothing stands against all."""
    pool = house.patient(30.0, streams_per_account=1)
    house.fail(A, UpstreamBusy("no", retry_after=600.0))
    with take(pool, B):
        waiting = house.wait(pool, [A, B])
        assert waiting.still_waits()
    with waiting.lease() as lease:
        assert lease.credential == B


def test_a_failure_that_is_not_the_account_s_leaves_it_ready(house: House) -> None:
    """And the error as it was."""
    error = house.fail(A, UpstreamTimeout("no"))
    assert [error.retry_after, error.retryable] == [None, False]
    take(house.pool, A).keep()()


# --- Set aside ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [TokenExpired("log in again"), AccountRestricted("banned")])
def test_an_account_is_set_aside_with_its_reason(house: House, error: GatewayError) -> None:
    """For every kind of request; nobody waits for it, because waiting does not mend it."""
    assert house.fail(A, error).retry_after is None
    for kind in ("chat", "research"):
        told = refusal(house.patient(30.0), A, kind=kind)
        assert [type(told), told.message, told.retry_after] == [type(error), error.message, None]
    with take(house.pool, A, B) as lease:
        assert lease.credential == B


def test_an_account_that_was_set_aside_is_tried_again(house: House) -> None:
    """After 15 s, and after twice as long each time; a success ends it."""
    for pause in (15, 30, 60):
        house.fail(A, TokenExpired("no"))
        house.clock.advance(pause - 1)
        assert isinstance(refusal(house.pool, A), TokenExpired)
        house.clock.advance(1)
    with take(house.pool, A) as lease:
        lease.succeeded()
    house.fail(A, TokenExpired("no"))
    house.clock.advance(15)
    take(house.pool, A).keep()()


@pytest.mark.parametrize("error", [TokenExpired("no"), AccountRestricted("no")])
def test_a_forged_token_does_not_set_its_victim_aside(house: House, error: GatewayError) -> None:
    """Anybody can write a token with another's user id in it; Kimi refuses it, and only it."""
    forged = accessing(sub="user-a", jti="forged")
    house.fail(forged, error)
    assert isinstance(refusal(house.pool, forged), type(error))
    with take(house.pool, forged, A) as lease:
        assert lease.credential == A


def test_one_account_in_two_credentials_is_served_by_the_good_one(house: House) -> None:
    """An old login beside a new one."""
    house.fail(A, TokenExpired("old"))
    with take(house.pool, A, A_TOO) as lease:
        assert lease.credential == A_TOO


# --- All of them -------------------------------------------------------------------------------------------


def test_accounts_refused_for_one_reason_are_told_it(house: House) -> None:
    """With the time at which the first of them is ready again."""
    for credential, pause in ((A, 500.0), (B, 100.0), (C, 300.0)):
        house.fail(credential, RateLimitExceeded("spent", retry_after=pause))
    error = refusal(house.pool, A, B, C)
    assert [type(error), error.message, error.retry_after] == [RateLimitExceeded, "spent", 100.0]
    assert refusal(house.pool, A, C).retry_after == 300.0


def test_accounts_refused_for_different_reasons_are_counted(house: House) -> None:
    """503, with the time at which the first is ready again that waiting mends."""
    house.fail(A, TokenExpired("no"))
    house.fail(B, RateLimitExceeded("no", retry_after=200.0))
    house.fail(C, RateLimitExceeded("no", retry_after=100.0))
    house.clock.advance(5)
    error = refusal(house.pool, A, B, C)
    assert [type(error), error.status, error.code] == [NoAccountReady, 503, "no_account_ready"]
    assert error.message == "None of the 3 accounts can serve now: 2 rate_limit_exceeded, 1 token_expired."
    assert error.retry_after == 95.0


def test_accounts_that_waiting_does_not_mend_have_no_time(house: House) -> None:
    """The person has to do something."""
    house.fail(A, TokenExpired("no"))
    house.fail(B, AccountRestricted("no"))
    error = refusal(house.patient(30.0), A, B)
    assert [type(error), error.retry_after] == [NoAccountReady, None]
    assert "1 account_restricted, 1 token_expired" in error.message


def test_a_request_waits_for_the_first_pause_that_ends_in_time(house: House) -> None:
    """Also where the other accounts are set aside."""
    house.fail(A, TokenExpired("no"))
    house.fail(B, UpstreamBusy("no", retry_after=10.0))
    waiting = house.wait(house.patient(30.0), [A, B])
    assert waiting.still_waits()
    house.clock.advance(10)
    with waiting.lease() as lease:
        assert lease.credential == B


def test_what_stands_against_accounts_can_be_asked(house: House) -> None:
    """Without taking one; a busy account is not refused."""
    house.fail(A, UpstreamBusy("no"))
    with take(house.pool, B), take(house.pool, B):
        assert house.pool.refusal([A, B], "chat") is None
        assert type(house.pool.refusal([A], "chat")) is UpstreamBusy
    assert house.pool.refusal([A], "research") is None


def test_how_an_account_stands_can_be_asked(house: House) -> None:
    """For the diagnosis: its streams and its pause."""
    assert house.pool.standing(A, "chat") == (0, None)
    house.fail(A, UpstreamBusy("busy"), kind="research")
    with take(house.pool, A):
        assert house.pool.standing(A, "chat") == (1, None)
        busy, cooldown = house.worker().standing(A, "research")
    assert busy == 1
    assert cooldown is not None
    assert [cooldown.code, cooldown.message, cooldown.until] == ["upstream_busy", "busy", house.clock() + 30]


# --- One stream at a time ----------------------------------------------------------------------------------


def crowd(house: House, error: GatewayError) -> GatewayError:
    """A second stream that fails beside a first; gives the error as it is told then."""
    with take(house.pool, A), take(house.pool, A) as second:
        second.failed(error)
    return error


@pytest.mark.parametrize("error", [SecondStreamRefused("one at a time", retry_after=9.0), RateLimitExceeded("limit")])
def test_a_refused_second_stream_is_told_to_come_again(house: House, error: GatewayError) -> None:
    """At once: then it waits for its turn. The account is not paused, and counts as one from there on."""
    told = crowd(house, error)
    assert [told.retryable, told.retry_after] == [True, 1.0]
    for pool in (house.pool, house.worker(), house.worker(Limits(queue=0, streams_per_account=5))):
        with take(pool, A):
            assert isinstance(refusal(house.worker(), A), RateLimitExceeded)


def test_an_account_that_counts_as_one_serves_one_after_the_other(house: House) -> None:
    """Also over several workers, whichever slot is held."""
    first, second = take(house.pool, A), take(house.pool, A)
    second.failed(SecondStreamRefused("no"))
    first.keep()()
    assert isinstance(refusal(house.pool, A), RateLimitExceeded)
    second.keep()()
    pools = [house.patient(), house.patient()]
    queue = [house.wait(pools[number % 2], [A]) for number in range(6)]
    done: set[int] = set()
    while len(done) < len(queue):
        busy = [number for number, waiting in enumerate(queue) if number not in done and waiting.future.done()]
        assert len(busy) <= 1
        for number in busy:
            queue[number].lease().keep()()
            done.add(number)


def test_an_account_counts_as_one_for_a_day(house: House) -> None:
    """Plans change."""
    crowd(house, SecondStreamRefused("no"))
    house.clock.advance(86_399)
    with take(house.pool, A):
        assert isinstance(refusal(house.pool, A), RateLimitExceeded)
    house.clock.advance(2)
    with take(house.pool, A), take(house.pool, A):
        assert streams(house, A) == 2


def test_a_second_stream_refused_beside_none_is_a_pause(house: House) -> None:
    """The other stream is not ours: the person's browser has it. It counts as one all the same."""
    error = house.fail(A, SecondStreamRefused("no", retry_after=9.0))
    assert [error.retryable, error.retry_after] == [False, 9.0]
    assert refusal(house.pool, A).retry_after == 9.0
    house.clock.advance(9)
    with take(house.pool, A):
        assert isinstance(refusal(house.pool, A), RateLimitExceeded)


@pytest.mark.parametrize(
    "error",
    [
        RateLimitExceeded("spent", retry_after=600.0),
        UpstreamBusy("overloaded"),
        TokenExpired("log in"),
    ],
)
def test_a_refusal_that_is_no_second_stream_s_pauses(house: House, error: GatewayError) -> None:
    """Although another stream runs."""
    assert not crowd(house, error).retryable
    assert type(refusal(house.pool, A)) is type(error)
    house.clock.advance(600)
    with take(house.pool, A), take(house.pool, A):
        assert streams(house, A) == 2


def test_a_quota_with_its_reset_time_is_no_second_stream_s(house: House) -> None:
    """Kimi has told when it is full again, in another way than by Retry-After."""
    error = RateLimitExceeded("spent")
    error.resets_at = house.clock() + 7200
    assert [crowd(house, error).retryable, error.retry_after] == [False, 7200.0]
    assert refusal(house.pool, A).message == "spent"


def test_a_limit_beside_no_other_stream_is_a_quota(house: House) -> None:
    """It does not make the account one of one stream."""
    house.fail(A, RateLimitExceeded("spent"))
    house.clock.advance(30)
    with take(house.pool, A), take(house.pool, A):
        assert streams(house, A) == 2


def test_the_default_limits_are_those_of_the_contract() -> None:
    """5000 streams, 2 of each account, half a minute in line."""
    assert Limits() == replace(Limits(), streams=5000, streams_per_account=2, queue=30.0)
