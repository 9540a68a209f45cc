"""The answers that clients may refer to by their ids, for as long as a conversation is kept.

An answer lies in the store under a name that tells nothing, sealed: only who has the credential with which it was asked
for, and knows its id, can find and read it. It names all the answers before it, so that a conversation is read at once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.accounts.credentials import Credential
from app.accounts.seal import Seal
from app.errors import InvalidRequest, NotFound
from app.offload import Offload
from app.state.store import StateUnavailable, Store

_log = logging.getLogger(__name__)

MAX_KEPT = 8 * 1024 * 1024
"""Bytes of an answer and of what it answers; more is not kept."""

MAX_CHAIN = 500
"""Answers of one conversation."""

MAX_CHAIN_BYTES = 32 * 1024 * 1024
"""Bytes of one conversation, as many as a request may have by default."""

_MAX_NAMED = 100  # characters of an id that are repeated in an error
_COMPRESSED_FROM = 1024
_LEVEL = 1  # half the size in a fifth of the time that the usual level takes


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer: `inputs` is what it answers and `response` what it is, both JSON in the words of its dialect.

    `before` are the ids of the answers before it in its conversation, the oldest first.
    """

    response_id: str
    before: tuple[str, ...] = ()
    inputs: bytes = field(default=b"", repr=False)
    response: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return len(self.inputs) + len(self.response)


class Answers:
    """Kept in `store` for `ttl` seconds after their last use."""

    def __init__(self, store: Store, *, ttl: float) -> None:
        self._store = store
        self._ttl = ttl

    def keep(self, credentials: Sequence[Credential], kept: Kept, offload: Offload) -> bool:
        """Keep an answer for who asked with these credentials; tell whether it is kept. Never raises."""
        if kept.size > MAX_KEPT or len(kept.before) >= MAX_CHAIN:
            return False
        credential = credentials[0]
        box = offload.run(lambda: _closed(credential, kept), size=kept.size)
        try:
            self._store.put({_key(credential, kept.response_id): box}, self._ttl)
        except StateUnavailable:
            _log.warning("an answer cannot be kept: its client cannot refer to it")
            return False
        return True

    def find(self, credentials: Sequence[Credential], response_id: str, offload: Offload) -> Kept:
        """The answer of that id. Raises NotFound, also for what another account asked for."""
        found = self.known(credentials, [response_id], offload).get(response_id)
        if found is None:
            raise _unknown(response_id)
        return found

    def known(self, credentials: Sequence[Credential], ids: Sequence[str], offload: Offload) -> dict[str, Kept]:
        """Those of these answers that are known; each is kept for its full time again.

        Raises InvalidRequest where they are too large together.
        """
        boxes = self._boxes(credentials, ids)
        if not boxes:
            return {}
        found = offload.run(lambda: _opened(boxes), size=sum(len(box) for *_, box in boxes))
        try:
            self._store.put({_key(credential, name): box for credential, name, box in boxes}, self._ttl)
        except StateUnavailable:
            _log.warning("an answer is forgotten early")
        return found

    def chain(self, credentials: Sequence[Credential], response_id: str, offload: Offload) -> tuple[Kept, ...]:
        """The answers of a conversation up to that one, the oldest first; each is kept for its full time again.

        Raises NotFound where one is not known any longer, InvalidRequest where they are too large together.
        """
        last = self.known(credentials, [response_id], offload).get(response_id)
        before = {} if last is None else self.known(credentials, last.before, offload)
        if last is None or len(before) < len(last.before):
            name = response_id[:_MAX_NAMED]
            raise NotFound(f"Previous response with id '{name}' not found.", param="previous_response_id")
        return (*(before[name] for name in last.before), last)

    def remove(self, credentials: Sequence[Credential], response_id: str) -> None:
        """Forget an answer. Raises NotFound."""
        boxes = self._boxes(credentials, [response_id])
        if not boxes:
            raise _unknown(response_id)
        for credential, name, box in boxes:
            self._store.swap(_key(credential, name), box, None, self._ttl)

    def _boxes(self, credentials: Sequence[Credential], ids: Sequence[str]) -> list[tuple[Credential, str, bytes]]:
        """The sealed answers of these ids, each with its id and a credential of the account that it is kept for."""
        accounts = {credential.account: credential for credential in credentials}.values()
        wanted = [(credential, name) for name in dict.fromkeys(ids) for credential in accounts]
        boxes = self._store.get([_key(*each) for each in wanted]) if wanted else []
        return [(*each, box) for each, box in zip(wanted, boxes, strict=True) if box is not None]


def _unknown(response_id: str) -> NotFound:
    return NotFound(f"Response with id '{response_id[:_MAX_NAMED]}' not found.")


def _key(credential: Credential, response_id: str) -> str:
    """Where an answer lies: the name tells neither its account nor its id."""
    name = hmac.digest(credential.secret, f"answer {response_id}".encode(errors="surrogatepass"), hashlib.sha256)
    return f"answer:{name.hex()}"


def _seal(credential: Credential, response_id: str) -> Seal:
    return Seal(credential.secret, purpose="answer", place=_key(credential, response_id))


def _closed(credential: Credential, kept: Kept) -> bytes:
    head = json.dumps({"before": kept.before, "inputs": len(kept.inputs)}).encode()
    value = b"\n".join([head, kept.inputs + kept.response])
    packed = b"z" + zlib.compress(value, _LEVEL) if len(value) >= _COMPRESSED_FROM else b"-" + value
    return _seal(credential, kept.response_id).close(packed)


def _opened(boxes: Sequence[tuple[Credential, str, bytes]]) -> dict[str, Kept]:
    """The answers in these boxes; one that another version wrote in another way is passed over."""
    found: dict[str, Kept] = {}
    size = 0
    for credential, name, box in boxes:
        packed = _seal(credential, name).open(box)
        kept = None if packed is None else _read(name, packed)
        if kept is not None:
            found[name] = kept
            size += kept.size
        if size > MAX_CHAIN_BYTES:
            raise InvalidRequest(
                "The answers before this one are too large together: begin anew with what is needed of them.",
                param="previous_response_id",
            )
    return found


def _read(name: str, packed: bytes) -> Kept | None:
    try:
        value = zlib.decompress(packed[1:]) if packed[:1] == b"z" else packed[1:]
        head, _, rest = value.partition(b"\n")
        fields: Mapping[str, object] = json.loads(head)
        before, end = fields["before"], fields["inputs"]
    except (zlib.error, ValueError, KeyError, TypeError):
        return None
    if not isinstance(before, list) or not isinstance(end, int):
        return None
    return Kept(name, tuple(map(str, before)), rest[:end], rest[end:])
