"""Permissions to upload to the legacy site's object storage (A7)."""

import secrets
from dataclasses import dataclass, field

from emulator.files import Kind, StoredFile
from emulator.identifiers import xid
from emulator.received import Part

OBJECTS = "/prod-chat-kimi/"
"""Where the objects lie; the real storage has a host of its own."""


def _signature() -> str:
    return secrets.token_hex(32)


@dataclass
class Grant:
    """One pre-signed address. `received` is what was PUT there last, `stored` what became of it."""

    account: str
    kind: Kind
    name: str
    object_name: str = field(default_factory=lambda: f"uploads/{xid()}")
    file_id: str = field(default_factory=xid)
    signature: str = field(default_factory=_signature)
    received: Part | None = None
    stored: StoredFile | None = None

    def address(self, host: str) -> str:
        """Give the URL to PUT to."""
        return f"http://{host}{OBJECTS}{self.object_name}?X-Tos-Expires=3600&X-Tos-Signature={self.signature}"


class Grants:
    """All pre-signed addresses."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}

    def issue(self, account: str, kind: Kind, name: str) -> Grant:
        """Permit one upload."""
        grant = Grant(account, kind, name)
        self._grants[grant.object_name] = grant
        return grant

    def at(self, path: str) -> Grant | None:
        """Find the permission for the object at a path."""
        return self._grants.get(path.removeprefix(OBJECTS))

    def of(self, account: str, kind: Kind, *, object_name: str = "", file_id: str = "") -> Grant | None:
        """Find an account's permission of this kind, by either of its names."""
        for grant in self._grants.values():
            if (grant.account, grant.kind) == (account, kind) and (
                grant.object_name == object_name or grant.file_id == file_id
            ):
                return grant
        return None

    def clear(self) -> None:
        """Withdraw every permission."""
        self._grants.clear()
