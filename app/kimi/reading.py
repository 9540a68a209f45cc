"""How far Kimi is with reading a file, in the words of neither protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of a file: `done` once there is nothing to wait for; `refusal` is why it cannot be read.

    `refusal` is None for a file that can be, and may be empty where Kimi gives no reason. `is_there` says that the file
    has arrived, which is enough for an image (protocol.md A7).
    """

    done: bool
    refusal: str | None = None
    is_there: bool = False

    def suffices(self, *, is_image: bool) -> bool:
        """Whether the file can be asked about."""
        return self.done or (is_image and self.is_there)
