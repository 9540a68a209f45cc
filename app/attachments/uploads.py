"""Uploads that are remembered: the same bytes go to an account once, however often and in how many turns they come.

What is known stands in the shared store under a key that its owner makes of the account and the digest. Of several
requests with the same new bytes one uploads them, in whichever worker it is; the others wait for it. That Kimi refused
some bytes is remembered as well, for a shorter time: they would only fill its storage once more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.chat.cancellation import Cancellation
from app.errors import AttachmentRefused
from app.state.leases import Leases
from app.state.store import Store

LIFE = 86_400.0
"""Seconds for which an upload is remembered."""

REFUSAL_LIFE = 600.0
"""Seconds for which it is remembered that Kimi refused something."""

LOOK_EVERY = 0.1
"""Seconds between two looks whether another request's upload is done."""

_REFUSED = "!"
"""What the record of a refusal begins with; no id of Kimi's does."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file on Kimi's side; `remembered` says that it was uploaded for an earlier request."""

    file_id: str
    remembered: bool


class Uploads:
    """The uploads of all accounts."""

    def __init__(
        self,
        *,
        store: Store,
        leases: Leases,
        wait: Callable[[Cancellation, float], None] = Cancellation.wait,
    ) -> None:
        self._store = store
        self._leases = leases
        self._wait = wait

    def once(self, key: str, upload: Callable[[], str], cancellation: Cancellation) -> Upload:
        """The upload under this key, made by `upload` if there is none; raises what that raises, then or before."""
        while True:
            if known := self._known(key):
                return known
            lease = self._leases.take(f"uploading:{key}")
            if lease is None:
                self._wait(cancellation, LOOK_EVERY)
                continue
            with lease:
                # The one that held the lease before may just have stored it.
                return self._known(key) or Upload(self._made(key, upload), remembered=False)

    def forget(self, key: str, file_id: str) -> None:
        """Remember an upload no longer, if it still is this one: Kimi does not know the file any more."""
        self._store.swap(_name(key), file_id.encode(), None, LIFE)

    def refuse(self, key: str, file_id: str, error: AttachmentRefused) -> None:
        """Remember that Kimi cannot read what was uploaded."""
        self._store.swap(_name(key), file_id.encode(), (_REFUSED + error.message).encode(), REFUSAL_LIFE)

    def _known(self, key: str) -> Upload | None:
        value = self._store.get([_name(key)])[0]
        if value is None:
            return None
        text = value.decode()
        if text.startswith(_REFUSED):
            raise AttachmentRefused(text.removeprefix(_REFUSED))
        return Upload(text, remembered=True)

    def _made(self, key: str, upload: Callable[[], str]) -> str:
        try:
            file_id = upload()
        except AttachmentRefused as error:
            self._store.put({_name(key): (_REFUSED + error.message).encode()}, REFUSAL_LIFE)
            raise
        self._store.put({_name(key): file_id.encode()}, LIFE)
        return file_id


def _name(key: str) -> str:
    return f"upload:{key}"
