"""Clean-up: everything of ours goes, nothing else does, and no answer waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from app.accounts.credentials import Credential
from app.conversations.ledger import Entry, Ledger
from app.errors import AccountRestricted, GatewayError, RateLimitExceeded, TokenExpired, UpstreamUnavailable
from app.gateway.cleanup import BATCH, LOOK_EVERY, MAX_IDLE, PAUSES, CleanUp
from app.state.leases import LIFE
from app.state.presence import DOUBT, Presence
from app.state.sqlite import MEMORY, SqliteStore
from tests.fakes import FakeClock
from tests.gateway.houses import ANN, BOB, StillCleanUp, StillLeases, access

DOWN = UpstreamUnavailable("no")
PATIENCE = 10.0
"""Seconds that a test waits for what must come at once."""


class Bench:
    """A clean-up whose deletions are written down; `outcomes` are those of the first ones."""

    def __init__(self, *outcomes: Exception | None, lasting: bool = True) -> None:
        self.clock = FakeClock()
        self.store = SqliteStore(MEMORY, clock=self.clock)
        self.presence = self.process()
        self.ledger = Ledger([self.store], clock=self.clock)
        self.work: list[Callable[[], None]] = []
        self.calls: list[tuple[str, str, tuple[str, ...]]] = []
        self.during: list[Callable[[], None]] = []
        self.claimed: set[str] = set()
        self._outcomes = iter(outcomes)
        self.cleanup = StillCleanUp(
            ledger=self.ledger,
            delete=self.delete,
            retire=lambda _account, identity: identity not in self.claimed,
            presence=self.presence,
            run=self.work.append,
            clock=self.clock,
            lasting=lasting,
        )

    def process(self) -> Presence:
        """Another process of this machine, which lives."""
        return Presence(self.store, StillLeases(self.store), timer=self.clock)

    @property
    def dead(self) -> str:
        """The name of a process of this machine that has ended."""
        machine, pid, _started, token = self.presence.name.rsplit(":", 3)
        return f"{machine}:{pid}:1:{token}"

    def delete(self, credential: Credential, protocol: str, conversation_ids: Sequence[str]) -> None:
        self.calls.append((credential.token, protocol, tuple(conversation_ids)))
        for step in self.during:
            step()
        outcome = next(self._outcomes, None)
        if outcome is not None:
            raise outcome

    def settle(self) -> None:
        """Do what waits in the background."""
        while self.work:
            self.work.pop(0)()

    def look(self, credential: Credential = ANN) -> list[str]:
        """The conversations that are asked to be deleted when an account is looked at."""
        self.calls.clear()
        self.cleanup.tidy(credential)
        self.settle()
        return [identity for _, _, identities in self.calls for identity in identities]

    def write(self, identity: str, user: str | None = None, due: float = 0.0, protocol: str = "connect") -> None:
        """Put an entry of ANN's into the ledger."""
        self.ledger.write(ANN.account, Entry(identity, protocol, user, due))

    @property
    def left(self) -> list[str]:
        """What of ANN's is in the ledger."""
        return [entry.conversation_id for entry in self.ledger.entries(ANN.account)]


def running(bench: Bench, identity: str = "chat-1") -> Entry:
    """A conversation that an answer of this process has opened."""
    entry = Entry(identity, "connect", bench.presence.name, 0.0)
    bench.ledger.write(ANN.account, entry)
    return entry


# --- Deleting ----------------------------------------------------------------------------------------------


def test_what_is_discarded_is_deleted_in_the_background() -> None:
    """The answer goes on at once."""
    bench = Bench()
    bench.cleanup.discard(ANN, running(bench))
    assert [bench.calls, bench.left] == [[], ["chat-1"]]
    bench.settle()
    assert [bench.calls, bench.left] == [[(ANN.token, "connect", ("chat-1",))], []]


def test_an_entry_is_struck_only_when_kimi_has_confirmed() -> None:
    """A crash during the call loses nothing."""
    bench = Bench()
    seen: list[list[str]] = []
    bench.during.append(lambda: seen.append(bench.left))
    bench.cleanup.discard(ANN, running(bench))
    bench.settle()
    assert [seen, bench.left] == [[["chat-1"]], []]


def test_what_a_store_forgets_after_a_discard_is_deleted_all_the_same() -> None:
    """A Redis may freeze, and come back empty, between the note and the look at it; or with an older note."""
    for note in ("none", "older"):
        bench = Bench()
        older = running(bench)
        bench.cleanup.discard(ANN, older)
        bench.ledger.strike(ANN.account, ["chat-1"])
        if note == "older":
            bench.ledger.write(ANN.account, older)
        bench.settle()
        assert [bench.calls, bench.left] == [[(ANN.token, "connect", ("chat-1",))], []]
        assert bench.look() == []


def test_a_failed_deletion_is_not_forgotten_with_the_store() -> None:
    """Nor is the pause before the next attempt."""
    bench = Bench(DOWN)
    bench.cleanup.discard(ANN, running(bench))
    bench.settle()
    bench.ledger.strike(ANN.account, ["chat-1"])
    assert bench.look() == []
    bench.clock.advance(PAUSES[0])
    assert bench.look() == ["chat-1"]
    assert bench.look() == []


def test_a_conversation_that_is_kept_goes_when_it_is_due() -> None:
    """Not before."""
    bench = Bench()
    bench.cleanup.keep(ANN, running(bench), 60.0)
    assert bench.look() == []
    bench.clock.advance(59)
    assert bench.look() == []
    bench.clock.advance(1)
    assert bench.look() == ["chat-1"]
    assert bench.left == []


def test_each_protocol_deletes_its_own() -> None:
    """One site does not know the other's conversations."""
    bench = Bench()
    for identity, protocol in [("chat-1", "connect"), ("chat-2", "rest"), ("chat-3", "connect")]:
        bench.write(identity, protocol=protocol)
    bench.look()
    assert bench.calls == [(ANN.token, "connect", ("chat-1", "chat-3")), (ANN.token, "rest", ("chat-2",))]


def test_many_are_deleted_in_batches() -> None:
    """All of them, and a batch that fails does not hold up the others."""
    bench = Bench(None, DOWN, None)
    identities = [f"chat-{number:03}" for number in range(2 * BATCH + 20)]
    for identity in identities:
        bench.write(identity)
    assert bench.look() == identities
    assert [len(ids) for _, _, ids in bench.calls] == [BATCH, BATCH, 20]
    assert bench.left == identities[BATCH : 2 * BATCH]


def test_accounts_are_looked_at_by_themselves() -> None:
    """Nothing of ANN's is deleted as BOB."""
    bench = Bench()
    bench.write("chat-1")
    assert [bench.look(BOB), bench.look(ANN)] == [[], ["chat-1"]]


def test_another_token_of_the_account_does_it_too() -> None:
    """The latest that was seen, because an older one may have ended."""
    bench = Bench(DOWN)
    bench.write("chat-1")
    bench.look()
    bench.clock.advance(PAUSES[0])
    other = Credential("another-token-of-ann-0000", ANN.kind, ANN.claims)
    bench.look(other)
    assert bench.calls == [(other.token, "connect", ("chat-1",))]


# --- Failures ----------------------------------------------------------------------------------------------


def test_a_failed_deletion_is_tried_again_after_growing_pauses() -> None:
    """For as long as it takes."""
    pauses = (*PAUSES, PAUSES[-1], PAUSES[-1])
    assert list(PAUSES) == sorted(PAUSES)
    bench = Bench(*(DOWN for _ in pauses))
    bench.cleanup.discard(ANN, running(bench))
    bench.settle()
    for pause in pauses:
        bench.clock.advance(pause - 0.5)
        assert bench.look() == []
        bench.clock.advance(0.5)
        assert bench.look() == ["chat-1"]
    assert bench.left == []


@pytest.mark.parametrize("error", [DOWN, TokenExpired("no"), AccountRestricted("no"), RateLimitExceeded("no")])
def test_no_failure_makes_a_conversation_forgotten(error: GatewayError) -> None:
    """The person may log in again."""
    bench = Bench(error)
    bench.write("chat-1")
    bench.look()
    assert bench.left == ["chat-1"]


@pytest.mark.parametrize(
    ("error", "again"), [(DOWN, True), (TokenExpired("no"), False), (AccountRestricted("no"), False)]
)
def test_a_dead_token_is_not_asked_with_again_and_again(error: GatewayError, *, again: bool) -> None:
    """Its account is looked at when it appears with a good one."""
    bench = Bench(error)
    bench.write("chat-1")
    bench.look()
    assert (ANN.account in bench.cleanup._due) == again
    bench.clock.advance(PAUSES[0])
    assert bench.look() == ["chat-1"]


@pytest.mark.parametrize(("told", "pause"), [(45.0, 45.0), (0.5, PAUSES[0])])
def test_kimi_s_own_pause_is_kept_if_it_is_longer(told: float, pause: float) -> None:
    """A shorter one does not hurry."""
    bench = Bench(RateLimitExceeded("no", retry_after=told))
    bench.write("chat-1")
    bench.look()
    bench.clock.advance(pause - 0.1)
    assert bench.look() == []
    bench.clock.advance(0.1)
    assert bench.look() == ["chat-1"]


def test_a_failure_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Whose, why, how many: neither a token nor a conversation."""
    bench = Bench(DOWN)
    bench.write("chat-1")
    bench.write("chat-2")
    bench.look()
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.__dict__["fields"] == {"account": ANN.account[:12], "code": "upstream_unavailable", "count": 2}


@pytest.mark.parametrize("again", [True, False])
def test_a_defect_does_not_end_an_account_s_clean_up(*, again: bool) -> None:
    """The next look works as ever, also where one was asked for meanwhile."""
    bench = Bench(ValueError("a defect"))
    bench.write("chat-1")
    if again:
        bench.during.append(lambda: bench.cleanup.tidy(ANN))
    bench.cleanup.tidy(ANN)
    with pytest.raises(ValueError, match="a defect"):
        bench.settle()
    bench.during.clear()
    bench.settle()
    bench.look()
    assert bench.left == []


# --- Whose conversations -----------------------------------------------------------------------------------


def test_what_a_dead_process_left_behind_is_deleted_when_its_account_appears() -> None:
    """Also what it was still using."""
    bench = Bench()
    bench.write("chat-1", user=bench.dead)
    bench.cleanup.appeared(ANN)
    bench.settle()
    assert [bench.calls, bench.left] == [[(ANN.token, "connect", ("chat-1",))], []]


def test_what_a_machine_that_has_died_left_behind_is_deleted_too() -> None:
    """When its lease has been missing for a while."""
    bench = Bench()
    bench.store.swap("process:elsewhere:7:7:x", None, b"lease", LIFE)
    bench.write("chat-1", user="elsewhere:7:7:x")
    looks: list[list[str]] = []
    for seconds in (0.0, LIFE, DOUBT):
        bench.clock.advance(seconds)
        looks.append(bench.look())
    assert looks == [[], [], ["chat-1"]]


def test_what_a_living_process_uses_is_left_alone() -> None:
    """Its answer may still run."""
    bench = Bench()
    bench.write("chat-1", user=bench.process().name)
    assert [bench.look(), bench.left] == [[], ["chat-1"]]


def test_what_this_process_uses_is_left_alone() -> None:
    """However long its answer takes."""
    bench = Bench()
    running(bench)
    bench.clock.advance(LIFE + 1)
    assert [bench.look(), bench.left] == [[], ["chat-1"]]


def test_what_another_process_keeps_is_deleted_when_it_is_due() -> None:
    """A kept conversation is nobody's: whoever sees the account deletes it."""
    bench = Bench()
    bench.write("chat-1", due=bench.clock() + 60)
    assert bench.look() == []
    bench.clock.advance(60)
    assert bench.look() == ["chat-1"]


def test_an_account_has_so_many_idle_conversations_and_no_more() -> None:
    """Those that have been idle longest go before their time; one whose deletion failed keeps to its pause."""
    bench = Bench()
    for number in range(MAX_IDLE + 3):
        bench.cleanup.keep(ANN, running(bench, f"chat-{number:03}"), 1800.0)
        bench.clock.advance(1)
    bench.ledger.write(ANN.account, Entry("failed", "connect", None, bench.clock() + 5, attempts=1))
    bench.claimed.add("failed")  # nobody can go on with it, so there is nothing to take away
    assert sorted(bench.look()) == ["chat-000", "chat-001", "chat-002"]
    assert len(bench.left) == MAX_IDLE + 1


def test_one_too_many_that_is_just_being_continued_is_left_alone() -> None:
    """It would vanish in the middle of an answer; it is looked at again when its own time has come."""
    bench = Bench()
    for number in range(MAX_IDLE + 2):
        bench.cleanup.keep(ANN, running(bench, f"chat-{number:03}"), 1800.0)
        bench.clock.advance(1)
    bench.claimed.add("chat-000")
    assert bench.look() == ["chat-001"]


# --- When accounts are looked at ---------------------------------------------------------------------------


def test_an_account_that_keeps_appearing_is_looked_at_from_time_to_time() -> None:
    """Each of its answers would cost a look into the store."""
    bench = Bench()
    looks: list[int] = []
    for seconds in (0.0, LOOK_EVERY - 1, 1.0, 0.0):
        bench.clock.advance(seconds)
        bench.cleanup.appeared(ANN)
        looks.append(len(bench.work))
        bench.settle()
    assert looks == [1, 0, 1, 0]


def test_each_account_has_its_own_times() -> None:
    """One does not hold up the other."""
    bench = Bench()
    for name in ("ann", "bob", "eve"):
        bench.cleanup.appeared(access(name))
    assert len(bench.work) == 3


def test_one_look_at_a_time_and_one_more_after_it() -> None:
    """What was discarded meanwhile is not forgotten, and nothing is deleted twice."""
    bench = Bench()
    bench.write("chat-1")

    def discard() -> None:
        bench.during.clear()
        bench.cleanup.discard(ANN, running(bench, "chat-2"))
        assert bench.work == []

    bench.during.append(discard)
    assert bench.look() == ["chat-1", "chat-2"]


class Awake:
    """A clean-up by the real clock; `deleted` is what it has deleted, in order."""

    def __init__(self, *outcomes: GatewayError | None) -> None:
        store = SqliteStore(MEMORY)
        presence = Presence(store, StillLeases(store))
        self.deleted: list[str] = []
        self.condition = threading.Condition()
        self._outcomes = iter(outcomes)
        self.cleanup = CleanUp(
            ledger=Ledger([store], clock=time.time),
            delete=self.delete,
            retire=lambda _account, _identity: True,
            presence=presence,
            run=lambda work: work(),
            clock=time.time,
        )

    def delete(self, _credential: Credential, _protocol: str, conversation_ids: Sequence[str]) -> None:
        with self.condition:
            self.deleted += conversation_ids
            self.condition.notify_all()
        outcome = next(self._outcomes, None)
        if outcome is not None:
            raise outcome

    def wait(self, count: int) -> list[str]:
        """What was deleted, when it is so many."""
        with self.condition:
            assert self.condition.wait_for(lambda: len(self.deleted) >= count, PATIENCE)
            return list(self.deleted)


def test_what_is_due_goes_by_itself() -> None:
    """Nobody need appear; the earlier goes first, whenever it was kept."""
    awake = Awake()
    for identity, owner, seconds in [("late", ANN, 0.3), ("never", BOB, 600.0), ("soon", access("eve"), 0.05)]:
        awake.cleanup.keep(owner, Entry(identity, "connect", None, 0.0), seconds)
    assert awake.wait(2) == ["soon", "late"]


def test_a_failed_deletion_is_tried_again_by_itself() -> None:
    """When its pause is over."""
    awake = Awake(DOWN)
    awake.cleanup.discard(ANN, Entry("chat-1", "connect", None, 0.0))
    began = time.monotonic()
    assert awake.wait(2) == ["chat-1", "chat-1"]
    assert time.monotonic() - began >= PAUSES[0] - 0.5


def test_the_watch_begins_again_after_it_has_ended() -> None:
    """It ends when there is nothing to wait for."""
    awake = Awake()
    for number in range(1, 4):
        awake.cleanup.keep(ANN, Entry(f"chat-{number}", "connect", None, 0.0), 0.02)
        assert awake.wait(number)[-1] == f"chat-{number}"
        time.sleep(0.05)


# --- The end of the process --------------------------------------------------------------------------------


def test_a_ledger_that_ends_with_the_process_is_emptied_before() -> None:
    """What is kept goes now: nobody would know of it afterwards."""
    bench = Bench(lasting=False)
    bench.cleanup.keep(ANN, running(bench, "chat-1"), 1800.0)
    running(bench, "chat-2")
    bench.cleanup.finish()
    bench.settle()
    assert [bench.calls, bench.left] == [[(ANN.token, "connect", ("chat-1",))], ["chat-2"]]


def test_a_ledger_that_ends_with_the_process_is_emptied_of_what_failed_too() -> None:
    """Without the pause: there is no later."""
    bench = Bench(DOWN, lasting=False)
    bench.cleanup.discard(ANN, running(bench))
    bench.settle()
    bench.cleanup.finish()
    bench.settle()
    assert bench.left == []


def test_a_ledger_that_lasts_is_left_as_it_is() -> None:
    """The next process goes on with it, and with the conversations."""
    bench = Bench()
    bench.cleanup.keep(ANN, running(bench), 1800.0)
    bench.cleanup.finish()
    bench.settle()
    assert [bench.calls, bench.left] == [[], ["chat-1"]]
