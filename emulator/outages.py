"""Unary calls that a test wants to fail."""

from dataclasses import dataclass


@dataclass
class Outage:
    """A failure with this HTTP status; `left` is how many are still to come, None for no end."""

    status: int
    left: int | None


class Outages:
    """The failures ordered so far, by the name of the call."""

    def __init__(self) -> None:
        self._ordered: dict[str, Outage] = {}

    def order(self, call: str, status: int, times: int) -> None:
        """Let a call fail so many times, 0 for ever; replaces what was ordered for it."""
        self._ordered[call] = Outage(status, times or None)

    def strike(self, call: str) -> int | None:
        """Use up one failure of a call, and give its status; None when the call is to work."""
        outage = self._ordered.get(call)
        if outage is None:
            return None
        if outage.left is not None:
            outage.left -= 1
            if not outage.left:
                del self._ordered[call]
        return outage.status

    def clear(self) -> None:
        """Let every call work again."""
        self._ordered.clear()
