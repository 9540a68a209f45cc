"""What the emulator was asked and what became of it, for tests to look at."""

import time
from dataclasses import asdict, dataclass, field

from emulator.values import Json


@dataclass
class Entry:
    """One request.

    `at` is Unix time and `seconds` the time taken so far, both in seconds. `authorization` is the
    kind of bearer (`bearer access`, `bearer refresh`, `bearer legacy`, `bearer unknown`, `none`);
    its value appears nowhere. `status` is absent (null) until the response has begun. `finished`
    means that the response was sent to its end; `client_closed`, that the client left before.
    """

    at: float
    method: str
    path: str
    account: str | None
    authorization: str
    headers: dict[str, str]
    request: object
    status: int | None = None
    finished: bool = False
    client_closed: bool = False
    frames_sent: int = 0
    ended_at: float | None = None
    seq: int = 0

    def as_json(self) -> Json:
        """Give the entry as the control plane answers it."""
        answer: Json = asdict(self)
        del answer["ended_at"]
        answer["seconds"] = round((self.ended_at or time.time()) - self.at, 4)
        return answer


@dataclass
class Log:
    """All requests since the last reset, in the order of their arrival."""

    entries: list[Entry] = field(default_factory=list)
    _seq: int = 0

    def add(self, entry: Entry) -> None:
        """Keep a request, numbered from 1; the numbers go on over a reset."""
        self._seq += 1
        entry.seq = self._seq
        self.entries.append(entry)

    def clear(self) -> None:
        """Forget the entries; those of answers in progress go on unseen."""
        self.entries.clear()
