"""Storms: many requests at once with one refresh token whose access token has just ended.

The emulator forgives nobody a second use of a refresh token here: it revokes the whole family at once.
"""

import json
import os
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from threading import Barrier
from typing import Literal

from emulator.client import EmulatorControl
from tests.e2e.conftest import NewGuest
from tests.e2e.support import Gateway, Guest, until

ROUNDS = int(os.environ.get("STORM_ROUNDS", "5"))
REQUESTS = int(os.environ.get("STORM_REQUESTS", "50"))
"""Set them to run longer storms by hand."""

BATCH = 24
"""Rounds between two sweeps of the emulator: each look at its log reads the whole of it."""

LIFE = 4.0
"""Seconds that an access token lives where it ends by its own `exp`; the gateway uses it for four fifths of them."""

SETTINGS = {
    "MAX_STREAMS_PER_ACCOUNT": "100",
    "FIRST_BYTE_TIMEOUT": "20",
    "IDLE_TIMEOUT": "20",
    "CONTINUITY": "off",  # so that deletions, which need a token as well, are in the middle of it
}

Ending = Literal["refused", "expired"]
"""How the access token ends: Kimi refuses it although its `exp` is far, or the `exp` has passed."""


@dataclass
class Figures:
    """What a storm came to."""

    rounds: int = 0
    answers: int = 0
    refreshes: int = 0
    revoked: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.answers} answers, {self.refreshes} refreshes, {self.revoked} revoked, "
            f"{len(self.failures)} failures, slowest round {self.slowest:.2f} s, {self.seconds:.0f} s in all"
        )


@contextmanager
def crowd(size: int) -> Iterator[ThreadPoolExecutor]:
    """So many clients, ready to go at once."""
    with ThreadPoolExecutor(size) as pool:
        barrier = Barrier(size)
        list(pool.map(lambda _: barrier.wait(10), range(size)))  # begins all of the threads
        yield pool


def attempt(gateway: Gateway, token: str, *, stream: bool) -> str | None:
    """Ask once; give what was wrong with the answer, None for a good one."""
    try:
        reply = gateway.chat(token, stream=stream)
    except (OSError, HTTPException) as error:  # a worker that is killed may have sent a part of its answer
        return repr(error)
    ended = reply.body.rstrip().endswith(b"[DONE]") if stream else b'"stop"' in reply.body
    return None if reply.status == 200 and ended else f"{reply.status}: {reply.body[-300:]!r}"


def state_of(kimi: EmulatorControl, account: str) -> str:
    """What the emulator holds of an account: ok, or revoked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{kimi.base_url}/emulator/accounts/{account}", timeout=10) as response:
        (shown,) = json.load(response)["accounts"]
        return str(shown["state"])


class Storm:
    """One storm against one address; `crew` makes the accounts."""

    def __init__(self, kimi: EmulatorControl, gateway: Gateway, crew: NewGuest, ending: Ending) -> None:
        self._kimi = kimi
        self._gateway = gateway
        self._crew = crew
        self._ending = ending
        self._figures = Figures()

    def run(self) -> Figures:
        """Run all rounds."""
        figures, began = self._figures, time.monotonic()
        with crowd(REQUESTS) as clients:
            while figures.rounds < ROUNDS:
                self._kimi.reset()
                self._batch(min(BATCH, ROUNDS - figures.rounds), clients)
        figures.seconds = time.monotonic() - began
        return figures

    def _batch(self, rounds: int, clients: ThreadPoolExecutor) -> None:
        """Some rounds, by accounts of their own. One that waits for its token to expire lets others go before."""
        figures, refused = self._figures, self._ending == "refused"
        count = 1 if refused else max(1, min(12, rounds * 3 // 5))
        guests = [self._crew(reuse_window=0, access_seconds=900 if refused else LIFE) for _ in range(count)]
        ended = [0.0] * count
        for number in range(rounds):
            guest = guests[number % count]
            if refused:
                guest.change(expire_access=True)
            else:
                time.sleep(max(0.0, ended[number % count] + LIFE - time.monotonic()))
            self._round(guest, clients)
            ended[number % count] = time.monotonic()
        figures.revoked += sum(state_of(self._kimi, guest.name) != "ok" for guest in guests)
        figures.refreshes += len(self._kimi.calls("RefreshToken"))
        if not until(lambda: all(chat["deleted"] for chat in self._kimi.chats())):
            figures.failures.append("conversations were left behind")

    def _round(self, guest: Guest, clients: ThreadPoolExecutor) -> None:
        """All at once: they begin when the last one is ready."""
        figures, barrier = self._figures, Barrier(REQUESTS)

        def ask(number: int) -> str | None:
            barrier.wait(10)
            return attempt(self._gateway, guest.refresh_token, stream=number % 2 == 0)

        began = time.monotonic()
        results = list(clients.map(ask, range(REQUESTS)))
        figures.slowest = max(figures.slowest, time.monotonic() - began)
        figures.rounds += 1
        figures.answers += results.count(None)
        figures.failures += [result for result in results if result is not None]
