"""How a defect of ours is logged: what it was and where it happened, never in its own words.

The text of a foreign exception quotes what it stumbled over, which may be a message of the client's.
"""

from __future__ import annotations

import logging
import traceback


def log_defect(log: logging.Logger, message: str, error: BaseException) -> None:
    """Log an exception that nobody expected, with the chain of those that led to it, the last one first."""
    chain: list[dict[str, object]] = []
    current: BaseException | None = error
    while current is not None and len(chain) < _MAX_CHAIN:
        chain.append({"type": type(current).__qualname__, "frames": _frames(current)})
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    log.error(message, extra={"fields": {"defect": chain}})


_MAX_CHAIN = 8


def _frames(error: BaseException) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
