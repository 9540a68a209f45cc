"""The power goes off, as `kill -9` of master and workers: nothing is left behind, and no account is lost (issue 3).

By hand, for the long run: `KILLS=20 pytest -s tests/e2e/test_kill.py`, which is 20 of each kind.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest

from emulator.client import EmulatorControl
from tests.e2e.conftest import QUICK, NewGuest, running
from tests.e2e.storm import attempt, crowd, state_of
from tests.e2e.support import Gateway, Guest, until

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("KILLS", "5"))
"""Kills of each of the four kinds, each in the middle of several streams."""

STREAMS = 4
"""Streams of an account at the moment of a kill, begun at random moments before it."""

PIECES, PACE = 10, 0.05
"""An answer, and the seconds between two pieces of it."""

Restart = Callable[[], Gateway]


@pytest.fixture
def restart(kimi: EmulatorControl, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Restart]:
    """Start a gateway on the same file again and again; settings are the test's parameter."""
    settings = {
        "DATABASE_PATH": str(tmp_path / "state.sqlite3"),
        "MAX_STREAMS_PER_ACCOUNT": "20",
        "FIRST_BYTE_TIMEOUT": "20",
        **getattr(request, "param", {}),
    }
    with ExitStack() as stack:
        yield lambda: stack.enter_context(running(kimi.base_url, workers=2, **settings))


KINDS = [
    {"CONTINUITY": continuity, "KIMI_PROTOCOL": protocol}
    for continuity in ("off", "on")
    for protocol in ("connect", "rest")
]


@pytest.mark.parametrize("restart", KINDS, indirect=True, ids=lambda kind: "-".join(kind.values()))
def test_nothing_is_left_behind(
    kimi: EmulatorControl, restart: Restart, new_guest: NewGuest, request: pytest.FixtureRequest
) -> None:
    """Killed in the middle of streams: with the account's next request all that they had opened is deleted.

    What its owner began by hand is there, and with CONTINUITY=on the conversation of the last request. By hand, 80
    kills left 311 conversations open, all of them deleted but 5 of which no event had been passed on.
    """
    kind = request.node.callspec.id
    moments = random.Random(kind)  # noqa: S311 # the same moments in every run
    keeps = kind.startswith("on")
    orphans = untold = 0
    pieces: list[int] = []
    gateway = restart()
    for _ in range(KILLS):
        guest = new_guest()
        by_hand = [kimi.open_chat(guest.name)["id"] for _ in range(2)]
        assert attempt(gateway, guest.refresh_token, stream=False) is None  # a worker's first answer is slow
        assert until(lambda: len(_left(guest)) == len(by_hand) + keeps)  # noqa: B023 # it is over within this turn
        before = _left(guest)
        watched = _kill_in_the_middle(gateway, guest, moments)
        pieces += [one.pieces for one in watched]
        orphans += len(_left(guest)) - len(before)
        gateway = restart()
        guest.plan({"text": QUICK})
        assert attempt(gateway, guest.refresh_token, stream=False) is None
        last = [guest.chats()[-1]["id"]] if keeps else []
        # A conversation whose answer was whole is idle; one that no event told of is not known to be there.
        idle = _chats_of(guest, [one for one in watched if keeps and one.pieces == PIECES])
        unknown = _chats_of(guest, [one for one in watched if one.pieces == 0])
        allowed = {*before, *last, *idle, *unknown}
        until(lambda: set(_left(guest)) <= allowed)  # noqa: B023 # it is over within this turn of the loop
        left = set(_left(guest))
        assert {*before, *last} <= left <= allowed
        untold += len(left & unknown)
    print(  # noqa: T201 # the figures
        f"\n{kind}: {KILLS} kills left {orphans} conversations open, {untold} of them unknown to it and there to stay; "
        f"pieces of each stream: {pieces}"
    )
    assert orphans >= KILLS  # or the kills came too late to show anything


def test_a_refresh_in_flight_is_no_loss(kimi: EmulatorControl, restart: Restart, new_guest: NewGuest) -> None:
    """Killed at every step of a refresh: after the restart each token works, and no family is revoked.

    The refresh has not begun, or it is under way (Kimi has rotated the token, and the answer is lost), or it has just
    been answered, or its pair is stored. Kimi takes the old token once more for a short while; the lease of the dead
    worker ends before that, after at most 12 s.
    """
    slow, quick = ([new_guest() for _ in range(12)] for _ in range(2))
    guests = [*slow, *quick]
    gateway = restart()
    for _ in range(4):  # a worker's first answer is slow
        assert attempt(gateway, new_guest().refresh_token, stream=False) is None
    with crowd(len(guests)) as clients:
        try:
            kimi.auth(delay=60)
            asked = [clients.submit(_ask_after, 0, gateway, guest) for guest in slow]
            assert until(lambda: _steps(kimi, slow) == {"under way": len(slow)})
            kimi.auth(delay=FLIGHT)
            asked += [clients.submit(_ask_after, number * STEP, gateway, guest) for number, guest in enumerate(quick)]
            assert until(lambda: _steps(kimi, quick)["answered"] >= len(quick) // 3)
        finally:
            gateway.server.kill_all()
            kimi.auth()
        for one in asked:
            one.result()
    steps = _steps(kimi, guests)
    gateway, began = restart(), time.monotonic()
    with crowd(len(guests)) as clients:
        again = clients.map(lambda guest: attempt(gateway, guest.refresh_token, stream=False), guests)
        assert list(again) == [None] * len(guests)
    twice = sum(len(guest.calls("RefreshToken")) == 2 for guest in guests)
    print(  # noqa: T201 # the figures
        f"\nkilled during {len(guests)} refreshes: {dict(steps)}; {twice} tokens were used twice, "
        f"all worked within {time.monotonic() - began:.1f} s"
    )
    assert twice >= steps["under way"]
    for guest in guests:  # the pair that counts is the last one
        guest.change(expire_access=True, reuse_window=0)
        assert attempt(gateway, guest.refresh_token, stream=False) is None
    assert {state_of(kimi, guest.name) for guest in guests} == {"ok"}


FLIGHT, STEP = 0.3, 0.03
"""Seconds that a refresh takes, and between the refreshes of two guests."""


@dataclass
class Watched:
    """A stream as its client saw it: its question, and how many pieces of the answer came."""

    question: str
    pieces: int = 0


def _kill_in_the_middle(gateway: Gateway, guest: Guest, moments: random.Random) -> list[Watched]:
    """Kill the server while streams of an account are at random moments of their lives."""
    guest.plan({"text": "x" * PIECES, "piece": 1, "delay": PACE}, repeat=True)
    watched = [Watched(f"question {number}") for number in range(STREAMS)]
    delays = [moments.uniform(0, PIECES * PACE) for _ in watched]
    with crowd(STREAMS) as clients:
        asked = [clients.submit(_watch, one, delay, gateway, guest) for one, delay in zip(watched, delays, strict=True)]
        time.sleep(PIECES * PACE)
        gateway.server.kill_all()
        for one in asked:
            one.result()
    return watched


def _watch(one: Watched, delay: float, gateway: Gateway, guest: Guest) -> None:
    """Read a stream until it breaks off."""
    time.sleep(delay)
    messages = [{"role": "user", "content": one.question}]
    with suppress(OSError, HTTPException), gateway.chat_stream(guest.refresh_token, messages=messages) as stream:
        for piece in stream.pieces():
            one.pieces += len(piece.content)


def _ask_after(delay: float, gateway: Gateway, guest: Guest) -> str | None:
    time.sleep(delay)
    return attempt(gateway, guest.refresh_token, stream=False)


def _steps(kimi: EmulatorControl, guests: list[Guest]) -> Counter[str]:
    """How far the first refreshes of these guests have come."""
    found = dict.fromkeys((guest.refresh_token for guest in guests), "not begun")
    for call in kimi.calls("RefreshToken"):
        request = call["request"]
        assert isinstance(request, dict)
        if request["refresh_token"] in found:
            found[request["refresh_token"]] = "answered" if call["finished"] else "under way"
    return Counter(found.values())


def _left(guest: Guest) -> list[str]:
    return [chat["id"] for chat in guest.chats() if not chat["deleted"]]


def _chats_of(guest: Guest, watched: list[Watched]) -> set[str]:
    """The conversations in which these questions were asked, or in which nothing was asked yet."""
    questions = {one.question for one in watched}
    return {
        chat["id"]
        for chat in guest.chats()
        if any(message["text"].strip() in questions for message in chat["messages"] if message["role"] == "user")
        or (watched and not any(message["role"] == "user" for message in chat["messages"]))
    }
