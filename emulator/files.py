"""The files that the site holds, of both protocols. It keeps what they are, not their bytes."""

import time
from dataclasses import asdict, dataclass, field
from typing import Literal

from emulator.values import Json

Kind = Literal["file", "image"]
Protocol = Literal["connect", "legacy"]
State = Literal["initialized", "parsing", "parsed", "failed"]

MOST_BYTES = 100 * 1024 * 1024
"""The largest file that the site takes (A7, B12: 100 MB)."""

_CONNECT_STATES = {"parsed": "PROCESS_STATUS_SUCCESS", "failed": "PROCESS_STATUS_FAILED"}


@dataclass
class StoredFile:
    """One file. `text` is what a small file says, None when it is large or no UTF-8.

    `polls` is how many more questions about its parsing are answered with "not yet"; `fail` is why
    the parsing then fails, None when it does not. `used` counts the chat turns that named the file.
    """

    id: str
    account: str
    name: str
    content_type: str
    size: int
    sha256: str
    kind: Kind
    protocol: Protocol
    text: str | None = None
    status: State = "initialized"
    used: int = 0
    polls: int = 0
    fail: str | None = None
    address: str = ""
    created: float = field(default_factory=time.time)

    @property
    def ext(self) -> str:
        """What stands behind the last dot of the name, or nothing."""
        return self.name.rpartition(".")[2] if "." in self.name else ""

    @property
    def settled(self) -> bool:
        """Whether the parsing has come to an end, a good or a bad one."""
        return self.status in {"parsed", "failed"}

    @property
    def connect_status(self) -> str:
        """The status in the words of GetFileParseProgress (B12)."""
        return _CONNECT_STATES.get(self.status, "PROCESS_STATUS_PROCESSING")

    def poll(self) -> State:
        """Take one question about the parsing, which brings it on, and give the state."""
        if not self.settled:
            self.status = "parsing"
            if self.polls == 0:
                self.status = "parsed" if self.fail is None else "failed"
            self.polls = max(0, self.polls - 1)
        return self.status

    def as_control(self) -> Json:
        """Give the file as the control plane shows it."""
        answer: Json = asdict(self)
        for inner in ("polls", "fail", "address", "created"):
            del answer[inner]
        return answer


class FileShelf:
    """All stored files by id, oldest first."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}

    def keep(self, file: StoredFile) -> None:
        """Store a file."""
        self._files[file.id] = file

    def find(self, file_id: str, account: str) -> StoredFile | None:
        """Find a file of this account; nobody is told of another one's."""
        file = self._files.get(file_id)
        return file if file is not None and file.account == account else None

    def forget(self, file_id: str) -> bool:
        """Drop a file as if it had expired, and tell whether it was there."""
        return self._files.pop(file_id, None) is not None

    def everything(self) -> list[StoredFile]:
        """List every file, oldest first."""
        return list(self._files.values())

    def clear(self) -> None:
        """Forget every file."""
        self._files.clear()
