"""Two machines behind one balancer, with nothing in common but a Redis: they act as one (issue 3).

Here both are gunicorns of two workers on loopback, each with a DATABASE_PATH of its own, behind nginx.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from emulator.client import EmulatorControl, LogEntry
from tests.e2e.conftest import QUICK, NewGuest, running
from tests.e2e.nginx_server import nginx, requires_nginx
from tests.e2e.redis_server import RedisServer, redis_server, requires_redis
from tests.e2e.storm import REQUESTS, ROUNDS, SETTINGS, Ending, Storm, attempt, crowd, state_of
from tests.e2e.support import Gateway, Guest, until

pytestmark = [pytest.mark.e2e, requires_redis, requires_nginx]

LIMIT = 2
"""Streams that an account may have, over both machines, where that is the point."""


AWAY = 5.5
"""Seconds after which a Redis that is back is asked again."""


@dataclass(frozen=True)
class Machines:
    """Two gateways, their Redis, the address of nginx before them, and a way to start one more, of so many workers."""

    first: Gateway
    second: Gateway
    front: Gateway
    redis: RedisServer
    another: Callable[[int], Gateway]


@contextmanager
def machines(kimi: EmulatorControl, folder: Path, **settings: str) -> Iterator[Machines]:
    """Run Redis, two gateways and nginx."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder))
        started: list[Gateway] = []

        def another(workers: int) -> Gateway:
            path = str(folder / f"{len(started)}.sqlite3")
            shared = {"REDIS_URL": redis.url, "DATABASE_PATH": path, **settings}
            started.append(stack.enter_context(running(kimi.base_url, workers=workers, **shared)))
            return started[-1]

        first, second = another(2), another(2)
        front = stack.enter_context(nginx([first.server.url, second.server.url], folder))
        yield Machines(first, second, Gateway(replace(first.server, url=front)), redis, another)


@pytest.fixture(scope="module")
def crowded(kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Machines on which an account may have many streams, and every conversation is thrown away."""
    with machines(kimi, tmp_path_factory.mktemp("crowded"), **SETTINGS) as started:
        yield started


@pytest.fixture(scope="module")
def frugal(kimi: EmulatorControl, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Machines on which an account may have few streams, and conversations are continued."""
    with machines(kimi, tmp_path_factory.mktemp("frugal"), MAX_STREAMS_PER_ACCOUNT=str(LIMIT)) as started:
        yield started


@pytest.mark.parametrize("ending", ["refused", "expired"])
def test_of_many_requests_to_two_machines_one_refreshes(
    kimi: EmulatorControl, crowded: Machines, new_guest: NewGuest, ending: Ending
) -> None:
    """50 at once through nginx, all answered: one refresh reaches Kimi each time, and no family is revoked."""
    figures = Storm(kimi, crowded.front, new_guest, ending).run()
    print(f"\nstorm on two machines, {ending}: {figures}")  # noqa: T201 # the figures of a long run
    assert figures.failures == []
    assert (figures.answers, figures.refreshes, figures.revoked) == (ROUNDS * REQUESTS, ROUNDS, 0)


def test_a_conversation_goes_on_from_machine_to_machine(frugal: Machines, guest: Guest) -> None:
    """Ten turns by the whole history, each through nginx to the other machine: one conversation, ten short turns."""
    before = [_served(machine) for machine in (frugal.first, frugal.second)]
    messages: list[dict[str, str]] = []
    for number in range(10):
        messages.append({"role": "user", "content": f"question {number}"})
        reply = frugal.front.chat(guest.refresh_token, messages=messages)
        assert reply.status == 200
        messages.append({"role": "assistant", "content": reply.json()["choices"][0]["message"]["content"]})
    (chat,) = guest.chats()
    turns = [(message["role"], message["text"]) for message in chat["messages"] if message["role"] != "system"]
    assert turns == [turn for number in range(10) for turn in (("user", f"question {number}"), ("assistant", QUICK))]
    served = [count + 5 for count in before]
    assert until(lambda: [_served(machine) for machine in (frugal.first, frugal.second)] == served)


def test_the_limit_of_an_account_holds_over_both_machines(frugal: Machines, guest: Guest) -> None:
    """Eight streams at once are answered two at a time, and no third one begins meanwhile."""
    guest.plan({"text": "01234567", "piece": 1, "delay": 0.04}, repeat=True)
    assert attempt(frugal.front, guest.refresh_token, stream=False) is None  # whoever is first needs a token
    with crowd(8) as clients:
        asked = clients.map(lambda _: attempt(frugal.front, guest.refresh_token, stream=True), range(8))
        assert list(asked) == [None] * 8
    assert most_at_once(guest.completions()) == LIMIT


def test_a_machine_cleans_up_after_one_that_died(kimi: EmulatorControl, frugal: Machines, guest: Guest) -> None:
    """What a machine opened and could not delete, because it was killed, another one deletes for the same account."""
    by_hand = kimi.open_chat(guest.name)["id"]
    doomed = frugal.another(2)
    guest.plan({"text": "0123456789", "piece": 1, "delay": 0.2}, {"text": QUICK})
    with doomed.chat_stream(guest.refresh_token) as stream:
        next(stream.pieces())
        doomed.server.kill_all()
    orphan = guest.chats()[-1]["id"]
    assert not _is_deleted(guest, orphan)
    began = time.monotonic()
    assert attempt(frugal.second, guest.refresh_token, stream=False) is None
    # At once where the machines share their process ids, as here; else when the dead one's lease has run out.
    assert until(lambda: _is_deleted(guest, orphan), timeout=20)
    print(f"\na conversation of a dead machine was deleted after {time.monotonic() - began:.2f} s")  # noqa: T201
    assert [chat["deleted"] for chat in guest.chats()] == [False, True, False]  # the last is kept, to be continued
    assert not _is_deleted(guest, by_hand)


def test_a_redis_that_is_back_knows_the_newest_pairs(
    kimi: EmulatorControl, frugal: Machines, new_guest: NewGuest
) -> None:
    """A pair that one machine got before Redis forgot it, or while Redis was away: the other does not use the old one.

    The emulator revokes the whole family at the second use of a refresh token.
    """
    before, during = guests = [new_guest(reuse_window=0) for _ in range(2)]
    for guest in guests:
        assert attempt(frugal.second, guest.refresh_token, stream=False) is None
        assert attempt(frugal.first, guest.refresh_token, stream=False) is None
    before.change(expire_access=True)
    assert attempt(frugal.first, before.refresh_token, stream=False) is None
    frugal.redis.kill()
    try:
        during.change(expire_access=True)
        assert attempt(frugal.first, during.refresh_token, stream=False) is None
    finally:
        frugal.redis.restart()
    time.sleep(AWAY + 1.5)  # the first machine sees that Redis is back, and has a moment to tell it
    for guest in guests:
        guest.change(expire_access=True)
        assert attempt(frugal.second, guest.refresh_token, stream=False) is None
        assert attempt(frugal.first, guest.refresh_token, stream=False) is None
        assert len(guest.calls("RefreshToken")) == 3
    assert [state_of(kimi, guest.name) for guest in guests] == ["ok", "ok"]


def test_a_machine_that_slept_through_a_refresh(frugal: Machines, new_guest: NewGuest) -> None:
    """It holds a token of long ago, the vault one that Kimi refuses as well: a new one is got all the same."""
    guest, sleeper = new_guest(reuse_window=0), frugal.another(1)
    assert attempt(sleeper, guest.refresh_token, stream=False) is None
    for _ in range(2):
        guest.change(expire_access=True)
        assert attempt(frugal.first, guest.refresh_token, stream=False) is None
    guest.change(expire_access=True)
    assert attempt(sleeper, guest.refresh_token, stream=False) is None
    assert len(guest.calls("RefreshToken")) == 4


def test_an_answer_keeps_its_conversation_when_redis_comes_back_empty(frugal: Machines, guest: Guest) -> None:
    """Redis has forgotten who is alive: the other machine does not clean up after one that still answers."""
    for machine in (frugal.first, frugal.second):
        assert attempt(machine, guest.refresh_token, stream=False) is None
    frugal.redis.restart()
    # Each machine sees at its first call that the connection is gone, and leaves Redis alone for a while.
    for wait in (0.0, AWAY):
        time.sleep(wait)
        for machine in (frugal.first, frugal.second) * 3:
            assert machine.request("POST", "/token/check", body={"token": guest.refresh_token}).status == 200
    guest.plan({"text": "0123456789", "piece": 1, "delay": 0.2}, {"text": QUICK})
    with frugal.first.chat_stream(guest.refresh_token, messages=[{"role": "user", "content": "long"}]) as stream:
        pieces = stream.pieces()
        next(pieces)
        assert attempt(frugal.second, guest.refresh_token, stream=False) is None
        assert [piece.line for piece in pieces][-1] == "data: [DONE]"
    assert [chat["deleted"] for chat in guest.chats()] == [False] * 4  # all are kept, to be continued


def most_at_once(entries: list[LogEntry]) -> int:
    """How many of these calls ran at the same time."""
    ends = [(entry["at"] + entry["seconds"], -1) for entry in entries]
    begins = [(entry["at"], 1) for entry in entries]
    running_now = most = 0
    for _, change in sorted(ends + begins):
        running_now += change
        most = max(most, running_now)
    return most


def _served(machine: Gateway) -> int:
    """How many answers a machine has given, by its log."""
    return machine.server.log.count('"route": "/v1/chat/completions"')


def _is_deleted(guest: Guest, identity: str) -> bool:
    return next(chat["deleted"] for chat in guest.chats() if chat["id"] == identity)
