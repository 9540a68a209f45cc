"""Deletes the conversations that the gateway opened and needs no more, in the background.

What is to be deleted stands in the ledger. An account's entries are looked at when it appears, when one of its answers
has ended, and when one of them falls due; what a process that has died left behind falls due at once. A deletion that
failed is tried again after growing pauses, for as long as it takes. What this process discarded it knows also when the
store forgets it: a Redis may freeze before the look at its entry, and come back empty.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cachetools import LRUCache

from app.accounts.credentials import Credential
from app.accounts.vault import MAX_ACCOUNTS
from app.conversations.ledger import Entry, Ledger
from app.errors import AccountRestricted, GatewayError, TokenExpired
from app.state.presence import Presence

PAUSES = (2.0, 8.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds after each failed attempt to delete; the last one goes on."""

LOOK_EVERY = 5.0
"""Seconds between two looks at the entries of an account that keeps appearing."""

BATCH = 50
"""Conversations deleted by one call."""

MAX_IDLE = 100
"""Idle conversations that an account may have; those that have been idle longest go before their time."""

_log = logging.getLogger(__name__)

Delete = Callable[[Credential, str, Sequence[str]], None]
"""Deletes conversations of an account that were opened by a protocol; raises GatewayError."""


@dataclass(slots=True)
class _Account:
    """What this process knows of an account: a credential that reaches it, and when it was last looked at.

    `discarded` are the entries, by their conversations, that it gave up and has not seen deleted.
    """

    credential: Credential
    looked: float
    tidying: bool = False
    again: bool = False
    discarded: dict[str, Entry] = field(default_factory=dict)


class CleanUp:
    """The clean-up of one process.

    `retire` takes an idle conversation (account, id) from those that may be continued, and tells whether it was one;
    `presence` tells which processes run; `run` runs work in the background; `clock` is the time of day in seconds. With
    `lasting` unset the ledger ends with this process, and so must the conversations in it.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        delete: Delete,
        retire: Callable[[str, str], bool],
        presence: Presence,
        run: Callable[[Callable[[], None]], None],
        clock: Callable[[], float],
        lasting: bool = True,
    ) -> None:
        self._ledger = ledger
        self._delete = delete
        self._retire = retire
        self._presence = presence
        self._run = run
        self._clock = clock
        self._lasting = lasting
        self._condition = threading.Condition()
        self._accounts: LRUCache[str, _Account] = LRUCache(MAX_ACCOUNTS)
        self._due: dict[str, float] = {}
        self._waiting = False

    def appeared(self, credential: Credential) -> None:
        """Kimi has taken this credential: what its account left behind can be deleted."""
        now = self._clock()
        with self._condition:
            known = self._accounts.get(credential.account)
            if known is not None and now - known.looked < LOOK_EVERY:
                return
        self.tidy(credential)

    def discard(self, credential: Credential, entry: Entry) -> None:
        """Have a conversation deleted that is not needed any more."""
        discarded = replace(entry, user=None, due=self._clock())
        self._ledger.write(credential.account, discarded)
        with self._condition:
            self._account(credential).discarded[entry.conversation_id] = discarded
        self.tidy(credential)

    def keep(self, credential: Credential, entry: Entry, seconds: float) -> None:
        """Have a conversation deleted when it has not been used for so long."""
        due = self._clock() + seconds
        self._ledger.write(credential.account, replace(entry, user=None, due=due))
        with self._condition:
            self._account(credential)
        self._wake_at(credential.account, due)

    def tidy(self, credential: Credential) -> None:
        """Look at an account's entries in the background; one look at a time."""
        with self._condition:
            account = self._account(credential)
            account.credential, account.looked = credential, self._clock()
            if account.tidying:
                account.again = True
                return
            account.tidying = True
        self._run(lambda: self._tidy(account))

    def finish(self) -> None:
        """Delete what would be forgotten with this process: nothing, if the ledger lasts."""
        if self._lasting:
            return
        with self._condition:
            accounts = list(self._accounts.values())
        for account in accounts:
            for entry in self._entries(account):
                # What is due already is being deleted: written down once more, it would be deleted twice.
                if entry.user is None and entry.due > self._clock():
                    self._change(account, replace(entry, due=0.0))
            self.tidy(account.credential)

    def _account(self, credential: Credential) -> _Account:
        return self._accounts.setdefault(credential.account, _Account(credential, looked=0.0))

    def _entries(self, account: _Account) -> list[Entry]:
        """All entries; nobody knows better than this process what became of those that it discarded."""
        found = {entry.conversation_id: entry for entry in self._ledger.entries(account.credential.account)}
        with self._condition:
            found |= account.discarded
        return list(found.values())

    def _change(self, account: _Account, entry: Entry) -> None:
        self._ledger.write(account.credential.account, entry)
        with self._condition:
            if entry.conversation_id in account.discarded:
                account.discarded[entry.conversation_id] = entry

    def _tidy(self, account: _Account) -> None:
        again = True
        while again:
            try:
                self._delete_due(account)
            except BaseException:
                with self._condition:
                    account.tidying = account.again = False
                raise
            with self._condition:
                again, account.again = account.again, False
                account.tidying = again

    def _delete_due(self, account: _Account) -> None:
        name, now = account.credential.account, self._clock()
        by_protocol: dict[str, list[Entry]] = {}
        later: list[float] = []
        entries = sorted(self._entries(account), key=lambda entry: entry.due, reverse=True)
        idle = 0
        for entry in entries:
            if entry.user == self._presence.name:
                continue  # an answer of ours: its end decides
            if entry.user is not None and self._presence.lives(entry.user):
                later.append(now + LOOK_EVERY)  # its process deletes it, or dies
                continue
            waits = entry.user is None and entry.due > now
            idle += waits
            # One too many is deleted before its time, unless a request has just claimed it.
            if waits and (idle <= MAX_IDLE or not self._retire(name, entry.conversation_id)):
                later.append(entry.due)
            else:
                by_protocol.setdefault(entry.protocol, []).append(entry)
        for protocol, entries in by_protocol.items():
            for start in range(0, len(entries), BATCH):
                later += self._delete_batch(account, protocol, entries[start : start + BATCH])
        if later:
            self._wake_at(name, min(later))

    def _delete_batch(self, account: _Account, protocol: str, entries: Sequence[Entry]) -> list[float]:
        """Delete these; give the times at which to try those again that failed."""
        credential = account.credential
        ids = [entry.conversation_id for entry in entries]
        try:
            self._delete(credential, protocol, ids)
        except GatewayError as error:
            dues: list[float] = []
            for entry in entries:
                pause = PAUSES[min(entry.attempts, len(PAUSES) - 1)]
                if error.retry_after is not None:
                    pause = max(pause, error.retry_after)
                dues.append(self._clock() + pause)
                self._change(account, replace(entry, user=None, due=dues[-1], attempts=entry.attempts + 1))
            fields = {"account": credential.account[:12], "code": error.code, "count": len(ids)}
            _log.warning("conversations could not be deleted yet", extra={"fields": fields})
            # A dead token is not asked with again and again: the account is looked at when it appears with a good one.
            return [] if isinstance(error, TokenExpired | AccountRestricted) else dues
        self._ledger.strike(credential.account, ids)
        with self._condition:
            for identity in ids:
                account.discarded.pop(identity, None)
        return []

    def _wake_at(self, account: str, due: float) -> None:
        with self._condition:
            self._due[account] = min(due, self._due.get(account, due))
            if not self._waiting:
                self._waiting = True
                threading.Thread(target=self._wait, daemon=True, name="clean-up").start()
            self._condition.notify_all()

    def _wait(self) -> None:
        """Look at each account when its time has come; ends when there is none to wait for."""
        while True:
            with self._condition:
                if not self._due:
                    self._waiting = False
                    return
                name = min(self._due, key=self._due.__getitem__)
                left = self._due[name] - self._clock()
                if left > 0:
                    self._condition.wait(left)
                    continue
                del self._due[name]
                account = self._accounts.get(name)
            if account is not None:
                self.tidy(account.credential)
