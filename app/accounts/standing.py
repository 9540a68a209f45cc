"""How accounts stand for a request: their free slots, their use, and what speaks against them; one look for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.accounts.cooldown import Cooldown, Cooldowns
from app.accounts.credentials import Credential
from app.state.leases import has_ended
from app.state.store import Store


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands for a request.

    `free` are its slots that nobody alive holds, `busy` is how many are held, `noted` what was written down against it,
    also what is over, and `cooldown` the pause in force.
    """

    credential: Credential
    free: tuple[str, ...]
    busy: int
    used: float
    noted: dict[str, bytes]
    cooldown: Cooldown | None

    @property
    def is_ready(self) -> bool:
        """Whether it can be taken now."""
        return self.cooldown is None and bool(self.free)


class Standings:
    """Reads how accounts stand; `most` is how many streams one may have."""

    def __init__(self, store: Store, cooldowns: Cooldowns, most: int) -> None:
        self._store = store
        self._cooldowns = cooldowns
        self._most = most

    def of(self, credentials: Sequence[Credential], kind: str) -> list[Standing]:
        """How all of these accounts stand, by one look into the store."""
        most = self._most
        keys = [
            [*self._cooldowns.keys(credential, kind), single_key(credential), used_key(credential)]
            + [_slot_key(credential, number) for number in range(most)]
            for credential in credentials
        ]
        values = iter(self._store.get([key for row in keys for key in row]))
        found: list[Standing] = []
        for credential, row in zip(credentials, keys, strict=True):
            aside, cool, single, used, *slots = [next(values) for _ in row]
            free = [key for key, slot in zip(row[4:], slots, strict=True) if slot is None or has_ended(slot)]
            busy = len(slots) - len(free)
            limit = 1 if single else most
            found.append(
                Standing(
                    credential=credential,
                    # With one stream at a time all must contend for the same slot.
                    free=() if busy >= limit else tuple(free if not single else row[4:5]),
                    busy=busy,
                    used=float(used) if used else 0.0,
                    noted={key: value for key, value in zip(row, (aside, cool), strict=False) if value is not None},
                    cooldown=self._cooldowns.active((aside, cool)),
                )
            )
        return found


def _slot_key(credential: Credential, number: int) -> str:
    return f"slot:{credential.account}:{number}"


def single_key(credential: Credential) -> str:
    """Where it stands that an account takes one stream at a time."""
    return f"single:{credential.account}"


def used_key(credential: Credential) -> str:
    """Where it stands when an account was last taken."""
    return f"used:{credential.account}"
