"""Uploads that are remembered: once for each key, in whichever worker, and only as long as they are good."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.attachments.uploads import LIFE, LOOK_EVERY, REFUSAL_LIFE, Upload, Uploads
from app.chat.cancellation import Cancellation
from app.errors import AttachmentRefused, ClientGone, GatewayError, UpstreamUnavailable
from app.state import leases
from app.state.leases import Leases
from app.state.sqlite import SqliteStore
from app.state.store import Store
from tests.fakes import FakeClock
from tests.state.stores import PATIENCE, FakeStore

NEW = Upload("kimi-1", remembered=False)
KNOWN = Upload("kimi-1", remembered=True)


class Kimi:
    """Takes uploads and counts them; `outcomes` are what the first of them end with (None: they go well).

    `begun` counts those that began. They wait for `go_on`, which is set unless a test clears it.
    """

    def __init__(self, *outcomes: GatewayError | None) -> None:
        self.uploads = 0
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self._outcomes = iter(outcomes)
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.uploads += 1
            number, outcome = self.uploads, next(self._outcomes, None)
        self.begun.release()
        assert self.go_on.wait(PATIENCE)
        if outcome is not None:
            raise outcome
        return f"kimi-{number}"


class Looks:
    """A short wait in place of the real one; `made` counts them, `asked` are the seconds that were wished for."""

    def __init__(self) -> None:
        self.made = threading.Semaphore(0)
        self.asked: set[float] = set()

    def __call__(self, cancellation: Cancellation, seconds: float) -> None:
        self.asked.add(seconds)
        self.made.release()
        cancellation.wait(0.005)


class Worker:
    """The uploads of one worker over a store that it may share."""

    def __init__(self, store: Store, wait: Callable[[Cancellation, float], None] | None = None) -> None:
        self.looks = Looks()
        self.uploads = Uploads(store=store, leases=Leases(store), wait=wait or self.looks)

    def once(self, kimi: Callable[[], str], key: str = "key", cancellation: Cancellation | None = None) -> Upload:
        """The upload of a key."""
        return self.uploads.once(key, kimi, cancellation or Cancellation())


def workers(tmp_path: Path, number: int) -> list[Worker]:
    """Workers of one machine: each with the same file, opened by itself."""
    return [Worker(SqliteStore(str(tmp_path / "state.sqlite3"))) for _ in range(number)]


def test_an_upload_is_remembered() -> None:
    """By its key."""
    worker, kimi = Worker(FakeStore()), Kimi()
    assert [worker.once(kimi), worker.once(kimi), worker.once(kimi)] == [NEW, KNOWN, KNOWN]
    assert kimi.uploads == 1


def test_other_keys_are_other_uploads() -> None:
    """Those of another account, or of other bytes."""
    worker, kimi = Worker(FakeStore()), Kimi()
    assert [worker.once(kimi, key).file_id for key in ("a", "b", "a:plain", "a")] == [
        "kimi-1",
        "kimi-2",
        "kimi-3",
        "kimi-1",
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_twenty_at_once_upload_once(tmp_path: Path, number: int) -> None:
    """In one worker or in several; the others wait for it, and get what it got."""
    kimi = Kimi()
    kimi.go_on.clear()
    group = workers(tmp_path, number)
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(group[index % number].once, kimi) for index in range(20)]
        assert kimi.begun.acquire(timeout=PATIENCE)
        for _ in range(40):
            assert any(worker.looks.made.acquire(timeout=PATIENCE / number) for worker in group)
        kimi.go_on.set()
        found = [each.result(PATIENCE) for each in asked]
    assert kimi.uploads == 1
    assert sorted(found, key=lambda upload: upload.remembered) == [NEW] + [KNOWN] * 19


def test_who_waits_looks_now_and_then() -> None:
    """Soon after the end it is seen, and until then the store is left in peace."""
    store, kimi = FakeStore(), Kimi()
    first, second = Worker(store), Worker(store)
    kimi.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(first.once, kimi)
        assert kimi.begun.acquire(timeout=PATIENCE)
        follower = threads.submit(second.once, kimi)
        assert second.looks.made.acquire(timeout=PATIENCE)
        kimi.go_on.set()
        assert [leader.result(PATIENCE), follower.result(PATIENCE)] == [NEW, KNOWN]
    assert second.looks.asked == {LOOK_EVERY}


def test_what_was_stored_between_two_looks_is_not_uploaded_again() -> None:
    """The lease was free because the one who held it was done."""
    store, kimi = FakeStore(), Kimi()
    first, second = Worker(store), Worker(store)

    def overtake() -> None:
        first.once(Kimi())

    store.before.append(overtake)  # just as the second one takes the lease
    assert second.once(kimi) == KNOWN
    assert kimi.uploads == 0


def test_different_uploads_run_side_by_side() -> None:
    """One that takes long holds up nobody else."""
    worker, slow, fast = Worker(FakeStore()), Kimi(), Kimi()
    slow.go_on.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(worker.once, slow, "slow")
        assert slow.begun.acquire(timeout=PATIENCE)
        assert worker.once(fast, "fast") == NEW
        slow.go_on.set()
        assert first.result(PATIENCE) == NEW


@pytest.mark.parametrize("error", [UpstreamUnavailable("away"), ClientGone("left")])
def test_after_a_failure_the_next_one_tries(error: GatewayError) -> None:
    """Who failed is told; who waited is not made to fail for it."""
    store, kimi = FakeStore(), Kimi(error)
    first, second = Worker(store), Worker(store)
    kimi.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(first.once, kimi)
        assert kimi.begun.acquire(timeout=PATIENCE)
        follower = threads.submit(second.once, kimi)
        assert second.looks.made.acquire(timeout=PATIENCE)
        kimi.go_on.set()
        with pytest.raises(type(error)):
            leader.result(PATIENCE)
        assert follower.result(PATIENCE) == Upload("kimi-2", remembered=False)


def test_a_failure_is_not_remembered() -> None:
    """Kimi may be back."""
    worker, kimi = Worker(FakeStore()), Kimi(UpstreamUnavailable("away"), UpstreamUnavailable("away"))
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            worker.once(kimi)
    assert worker.once(kimi) == Upload("kimi-3", remembered=False)


def refusal(worker: Worker, kimi: Kimi) -> str:
    """Why Kimi does not take it."""
    with pytest.raises(AttachmentRefused) as refused:
        worker.once(kimi)
    return refused.value.message


def test_a_refusal_is_remembered_for_a_while() -> None:
    """In its words, by all workers; then it is tried again, for Kimi learns."""
    clock = FakeClock()
    store, kimi = FakeStore(clock), Kimi(AttachmentRefused("Kimi refused the file: 不支持"))
    first, second = Worker(store), Worker(store)
    assert [refusal(first, kimi), refusal(first, kimi), refusal(second, kimi)] == ["Kimi refused the file: 不支持"] * 3
    clock.advance(REFUSAL_LIFE - 1)
    assert refusal(second, kimi) == "Kimi refused the file: 不支持"
    assert kimi.uploads == 1
    clock.advance(2)
    assert second.once(kimi) == Upload("kimi-2", remembered=False)


def test_who_waits_for_an_upload_that_is_refused_is_refused() -> None:
    """Without an attempt of its own: the bytes are the same."""
    store, kimi = FakeStore(), Kimi(AttachmentRefused("no"))
    first, second = Worker(store), Worker(store)
    kimi.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(worker.once, kimi) for worker in (first, second)]
        assert kimi.begun.acquire(timeout=PATIENCE)
        kimi.go_on.set()
        errors = [each.exception(PATIENCE) for each in asked]
    assert [type(error) for error in errors] == [AttachmentRefused] * 2
    assert kimi.uploads == 1


def test_an_upload_is_remembered_for_a_day() -> None:
    """Kimi may have dropped it after that."""
    clock, kimi = FakeClock(), Kimi()
    worker = Worker(FakeStore(clock))
    worker.once(kimi)
    clock.advance(LIFE - 1)
    assert worker.once(kimi) == KNOWN
    clock.advance(2)
    assert worker.once(kimi) == Upload("kimi-2", remembered=False)


def test_what_is_forgotten_is_uploaded_again() -> None:
    """Kimi does not know it any more."""
    worker, kimi = Worker(FakeStore()), Kimi()
    worker.once(kimi)
    worker.uploads.forget("key", "kimi-1")
    assert [worker.once(kimi), worker.once(kimi)] == [
        Upload("kimi-2", remembered=False),
        Upload("kimi-2", remembered=True),
    ]


def test_only_the_same_upload_is_forgotten() -> None:
    """Another request may have replaced it meanwhile; what nobody knows can be forgotten as well."""
    worker, kimi = Worker(FakeStore()), Kimi()
    worker.uploads.forget("key", "kimi-1")
    worker.once(kimi)
    worker.uploads.forget("key", "kimi-0")
    worker.uploads.forget("other", "kimi-1")
    assert worker.once(kimi) == KNOWN


def test_what_cannot_be_read_is_refused_for_a_while() -> None:
    """Instead of being uploaded once more."""
    clock, kimi = FakeClock(), Kimi()
    worker = Worker(FakeStore(clock))
    worker.once(kimi)
    worker.uploads.refuse("key", "kimi-1", AttachmentRefused("Kimi cannot read it."))
    assert refusal(worker, kimi) == "Kimi cannot read it."
    clock.advance(REFUSAL_LIFE + 1)
    assert worker.once(kimi) == Upload("kimi-2", remembered=False)


def test_only_the_same_upload_is_refused() -> None:
    """A later one may have been read."""
    worker, kimi, error = Worker(FakeStore()), Kimi(), AttachmentRefused("no")
    worker.uploads.refuse("key", "kimi-1", error)
    worker.once(kimi)
    worker.uploads.refuse("key", "kimi-0", error)
    worker.uploads.refuse("other", "kimi-1", error)
    assert worker.once(kimi) == KNOWN
    worker.uploads.forget("key", "kimi-1")
    worker.uploads.refuse("key", "kimi-1", error)
    assert worker.once(kimi) == Upload("kimi-2", remembered=False)


def test_who_waits_may_leave() -> None:
    """At once, and without harm to the upload."""
    store, kimi, other = FakeStore(), Kimi(), Kimi()
    first, second = Worker(store), Worker(store, wait=Cancellation.wait)
    cancellation = Cancellation()
    kimi.go_on.clear()
    with ThreadPoolExecutor(2) as threads:
        leader = threads.submit(first.once, kimi)
        assert kimi.begun.acquire(timeout=PATIENCE)
        follower = threads.submit(second.once, other, "key", cancellation)
        cancellation.cancel()
        assert isinstance(follower.exception(PATIENCE), ClientGone)
        kimi.go_on.set()
        assert leader.result(PATIENCE) == NEW
    assert other.uploads == 0


def test_a_worker_that_died_is_waited_for_only_as_long_as_its_lease_lives() -> None:
    """Also one of another machine, of which nobody knows whether it runs."""
    clock = FakeClock()
    store, kimi = FakeStore(clock), Kimi()
    store.swap("uploading:key", None, b"a process of another machine", leases.LIFE)
    waits: list[float] = []

    def wait(_cancellation: Cancellation, seconds: float) -> None:
        waits.append(seconds)
        clock.advance(1)

    assert Worker(store, wait).once(kimi) == NEW
    assert len(waits) == leases.LIFE
