"""Files that clients upload by themselves: held by Kimi at once, found again by an id.

They go to Kimi before the client is told their id, because nothing is lost then: neither a worker that restarts nor a
disk that is empty after it takes them away. There is no known call by which Kimi would give them up again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.accounts.credentials import Credential
from app.accounts.seal import Seal
from app.attachments.shelf import Record, Shelf
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import FileNotFound, GatewayError
from app.gateway.holding import Holding

Known = dict[str, tuple[Credential, Record]]

STORE_WITHIN = 15.0
"""Seconds that an upload waits for Kimi to read the file: platforms end a request after 30."""


class Files:
    """The files of all accounts; `max_bytes` is the size of the largest."""

    def __init__(self, *, holding: Holding, shelf: Shelf, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._holding = holding
        self._shelf = shelf

    def store(
        self, credentials: Sequence[Credential], content: Content, purpose: str, cancellation: Cancellation
    ) -> Record:
        """Have the first of these accounts that can hold a file. Raises GatewayError."""
        *others, last = credentials
        for credential in others:
            try:
                return self._stored(credential, content, purpose, cancellation)
            except GatewayError as error:
                if not error.another_account:
                    raise
        return self._stored(last, content, purpose, cancellation)

    def known(self, credentials: Sequence[Credential]) -> Known:
        """All files of these accounts by their ids, each with a credential of its account."""
        found: Known = {}
        for credential in {credential.account: credential for credential in credentials}.values():
            seal = _seal(credential)
            for record in self._shelf.records(credential.account):
                found[record.file_id] = (credential, _opened(seal, record))
        return found

    def records(self, credentials: Sequence[Credential]) -> list[Record]:
        """All files of these accounts, the newest first."""
        found = [record for _, record in self.known(credentials).values()]
        return sorted(found, key=lambda record: (record.created, record.file_id), reverse=True)

    def find(self, credentials: Sequence[Credential], file_id: str) -> Record:
        """The file of that id. Raises FileNotFound, also for what is another account's."""
        return self._found(credentials, file_id)[1]

    def reaches(self, credential: Credential, holder: Credential, record: Record) -> bool:
        """Whether a credential reaches a file of `holder`: by account, and by the protocol it was uploaded over."""
        same = credential.account == holder.account
        return same and self._holding.protocol(credential) == record.protocol

    def ready(self, credential: Credential, record: Record, cancellation: Cancellation) -> str:
        """Kimi's id of a file that it has, and has read. Raises FileNotFound where Kimi has dropped it."""
        try:
            self._holding.check(credential, record.kimi_id, cancellation, is_image=record.is_image)
        except FileNotFound:
            self._shelf.remove(credential.account, record.file_id)
            raise FileNotFound("Kimi no longer has this file: upload it again.") from None
        if not record.is_read:
            self._shelf.update(credential.account, _sealed(_seal(credential), replace(record, is_read=True)))
        return record.kimi_id

    def remove(self, credentials: Sequence[Credential], file_id: str) -> None:
        """Forget a file; Kimi keeps it. Raises FileNotFound."""
        credential, _ = self._found(credentials, file_id)
        self._shelf.remove(credential.account, file_id)

    def _stored(self, credential: Credential, content: Content, purpose: str, cancellation: Cancellation) -> Record:
        held = self._holding.keep(credential, content, cancellation, within=STORE_WITHIN)
        record = Record(
            file_id="",
            kimi_id=held.file_id,
            protocol=self._holding.protocol(credential),
            name=content.name,
            size=content.size,
            created=0.0,
            purpose=purpose,
            is_image=content.is_image,
            is_read=held.is_read,
        )
        seal = _seal(credential)
        return _opened(seal, self._shelf.add(credential.account, _sealed(seal, record)))

    def _found(self, credentials: Sequence[Credential], file_id: str) -> tuple[Credential, Record]:
        found = self.known(credentials).get(file_id)
        if found is None:
            raise FileNotFound("There is no file of this id.")
        return found


def _seal(credential: Credential) -> Seal:
    """What people call their files is their own affair: a store is told it in sealed form."""
    return Seal(credential.secret, purpose="file name", place=credential.account)


def _sealed(seal: Seal, record: Record) -> Record:
    return replace(record, name=seal.close(record.name.encode()).hex())


def _opened(seal: Seal, record: Record) -> Record:
    try:
        name = seal.open(bytes.fromhex(record.name))
    except ValueError:
        name = None
    return replace(record, name="file" if name is None else name.decode())
