"""What an answer is made of: bytes, silences and cuts, in the order in which they happen.

The wires compose steps without knowing a socket, the faults rewrite them, and `delivery` carries
them out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to write at once, as one HTTP chunk. `frames` is how many frames or events end here."""

    data: bytes
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing any more, until the client leaves."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection ends here: `fin` closes the sending side, `rst` resets."""

    how: Literal["fin", "rst"]


Step = Send | Pause | Silence | Cut
Steps = Iterator[Step]


def pause(seconds: float) -> Iterable[Step]:
    """Give a pause, or nothing at all for zero seconds."""
    return (Pause(seconds),) if seconds > 0 else ()
