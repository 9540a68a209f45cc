"""Continuity: finding the conversation of Kimi's that a history continues.

A conversation that has just been answered is idle at its tip. It is kept under the digests of the history as the
client will send it next, and is claimed by one request at a time: the claim takes the record away, and only a whole
answer puts it back, at the new tip. So of two requests that branch from the same history one goes on natively and the
other one is merged into a conversation of its own; an answer that was cut leaves no record behind.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from app.chat.request import ChatRequest, Continuation
from app.conversations.history import Digests, known
from app.state.store import Store

OWNER_LIFE = 90 * 86_400.0
"""Seconds for which it is remembered whose a conversation is; forgotten, it is looked for on every account."""


@dataclass(frozen=True, slots=True)
class Holder:
    """An account by its name, the key that keeps digests of what it said from being guessed, and what serves it."""

    account: str
    secret: bytes = field(repr=False)
    protocol: str


@dataclass(frozen=True, slots=True)
class Idle:
    """A conversation at its tip, and the names of the history that leads there."""

    conversation_id: str
    parent_id: str | None
    names: tuple[str, ...]

    @property
    def continuation(self) -> Continuation:
        """Where the next turn goes."""
        return Continuation(self.conversation_id, self.parent_id)


@dataclass(frozen=True, slots=True)
class Found:
    """An idle conversation that a request continues, and who holds it."""

    holder: Holder
    idle: Idle
    record: bytes = field(repr=False)


class Continuity:
    """Remembers conversations for `ttl` seconds of idleness."""

    def __init__(self, store: Store, *, ttl: float) -> None:
        self._store = store
        self._ttl = ttl

    def find(self, request: ChatRequest, kind: str, holders: Sequence[Holder]) -> Found | None:
        """The conversation that a request continues, on one of these accounts; it is not claimed yet.

        One that the client's own name leads to comes before one that only the history leads to.
        """
        digests = known(request, kind)
        if digests is None:
            return None
        wanted = [
            (holder, name)
            for names in zip(*(_names(holder, digests) for holder in holders), strict=True)
            for holder, name in zip(holders, names, strict=True)
        ]
        ids = self._store.get([_name_key(holder.account, name) for holder, name in wanted])
        hits = [(holder, name, value.decode()) for (holder, name), value in zip(wanted, ids, strict=True) if value]
        if not hits:
            return None
        records = self._store.get([_idle_key(holder.account, identity) for holder, _, identity in hits])
        for (holder, name, _), record in zip(hits, records, strict=True):
            idle = None if record is None else _idle(record)
            if record is not None and idle is not None and name in idle.names:
                return Found(holder, idle, record)
        return None

    def claim(self, found: Found) -> bool:
        """Take a conversation for one request; False if another one was faster."""
        return self._store.swap(
            _idle_key(found.holder.account, found.idle.conversation_id), found.record, None, self._ttl
        )

    def give_back(self, found: Found) -> None:
        """Put back a conversation that was claimed and not used."""
        self._store.put({_idle_key(found.holder.account, found.idle.conversation_id): found.record}, self._ttl)

    def forget(self, account: str, conversation_id: str) -> bool:
        """Let no request go on with a conversation any more; False if none could have, or one is doing so."""
        key = _idle_key(account, conversation_id)
        record = self._store.get([key])[0]
        return record is not None and self._store.swap(key, record, None, self._ttl)

    def remember(self, holder: Holder, digests: Digests, at: Continuation) -> None:
        """Write down where a whole answer leaves its conversation idle.

        `digests` are those of the history with the answer, `at` names the conversation and its new tip.
        """
        idle = Idle(at.conversation_id, at.parent_id, _names(holder, digests))
        items = {_name_key(holder.account, name): at.conversation_id.encode() for name in idle.names}
        items[_idle_key(holder.account, at.conversation_id)] = json.dumps(asdict(idle)).encode()
        self._store.put(items, self._ttl)

    def own(self, account: str, conversation_id: str) -> None:
        """Write down which account holds a conversation that its client will name."""
        self._store.put({_owner_key(account, conversation_id): b"1"}, OWNER_LIFE)

    def owner(self, conversation_id: str, accounts: Sequence[str]) -> str | None:
        """Which of these accounts holds a conversation; None if that is not known."""
        if len(accounts) == 1:
            return accounts[0]
        held = self._store.get([_owner_key(account, conversation_id) for account in accounts])
        return next((account for account, value in zip(accounts, held, strict=True) if value is not None), None)


def _names(holder: Holder, digests: Digests) -> tuple[str, ...]:
    """The names of a history for an account and protocol, the client's own conversation first."""
    found = [digest for digest in (digests.lenient, digests.strict) if digest is not None]
    protocol = holder.protocol.encode()
    return tuple(hmac.digest(holder.secret, protocol + digest, hashlib.sha256).hex() for digest in found)


def _idle(record: bytes) -> Idle | None:
    """A conversation as it was written down; None for one that another version wrote in another way."""
    try:
        values = json.loads(record)
        return Idle(**{**values, "names": tuple(values["names"])})
    except (ValueError, TypeError, KeyError):
        return None


def _name_key(account: str, name: str) -> str:
    return f"history:{account}:{name}"


def _owner_key(account: str, conversation_id: str) -> str:
    return f"owner:{account}:{conversation_id}"


def _idle_key(account: str, conversation_id: str) -> str:
    return f"idle:{account}:{conversation_id}"
