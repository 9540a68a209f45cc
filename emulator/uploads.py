"""How uploads fare: what a test has ordered for them, and how many run side by side."""

from dataclasses import dataclass

from emulator.values import Json, Malformed, as_texts, integer, number, refuse_unknown, text

_KNOWN = frozenset(
    {"polls", "fail", "refuse_types", "status", "delay", "max_prompt", "times", "parsing_lines"},
)
_FIRST_ERROR, _LAST_ERROR = 400, 599


@dataclass(frozen=True)
class UploadOrder:
    """One order of POST /emulator/uploads; see the README for each field. `delay` is in seconds."""

    polls: int = 1
    fail: str | None = None
    refuse_types: tuple[str, ...] = ()
    status: int | None = None
    delay: float = 0.0
    max_prompt: int | None = None
    times: int = 0
    parsing_lines: int = 0

    def refuses(self, name: str, content_type: str) -> bool:
        """Tell whether a file is of a type that the site is ordered not to take."""
        media_type = content_type.partition(";")[0].strip().lower()
        return any(
            name.lower().endswith(refused) if refused.startswith(".") else media_type == refused
            for refused in self.refuse_types
        )

    def too_long(self, prompt: str) -> bool:
        """Tell whether a prompt has more characters than the site is ordered to take."""
        return self.max_prompt is not None and len(prompt) > self.max_prompt


class Uploads:
    """The order in force, and a count of the uploads in progress."""

    def __init__(self) -> None:
        self.order = UploadOrder()
        self.most_at_once = 0
        self._running = 0
        self._left: int | None = None

    def set(self, order: UploadOrder) -> None:
        """Replace the order."""
        self.order = order
        self._left = order.times or None

    def strike_status(self) -> int | None:
        """Give the status with which this upload fails, None when it may go on."""
        return self.order.status if self.order.status is not None and self._struck() else None

    def strike_failure(self) -> str | None:
        """Give the reason for which the parsing of this file will fail, None when it will not."""
        return self.order.fail if self.order.fail is not None and self._struck() else None

    def begin(self) -> None:
        """Count an upload whose first byte is awaited."""
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)

    def end(self) -> None:
        """Count an upload that has been answered, or was broken off."""
        self._running -= 1

    def clear(self) -> None:
        """Let everything work again; uploads in progress still count."""
        self.set(UploadOrder())
        self.most_at_once = self._running

    def _struck(self) -> bool:
        if self._left is None:
            return True
        self._left -= 1
        return self._left >= 0


def read_upload_order(source: Json) -> UploadOrder:
    """Read the body of POST /emulator/uploads; raises `Malformed`."""
    refuse_unknown(source, _KNOWN, "uploads")
    fail, status, max_prompt = (source.get(key) for key in ("fail", "status", "max_prompt"))
    order = UploadOrder(
        polls=integer(source, "polls", 1),
        fail=None if fail is None else text(source, "fail"),
        refuse_types=tuple(item.lower() for item in as_texts(source.get("refuse_types") or [], "refuse_types")),
        status=None if status is None else integer(source, "status"),
        delay=number(source, "delay"),
        max_prompt=None if max_prompt is None else integer(source, "max_prompt"),
        times=integer(source, "times"),
        parsing_lines=integer(source, "parsing_lines"),
    )
    for key in ("polls", "delay", "times", "parsing_lines"):
        if number(source, key) < 0:
            raise Malformed(f"{key} must not be negative")
    if order.status is not None and not _FIRST_ERROR <= order.status <= _LAST_ERROR:
        raise Malformed("status must be from 400 to 599")
    if order.status is not None and order.fail is not None:
        raise Malformed("status and fail exclude each other")
    if order.times and order.status is None and order.fail is None:
        raise Malformed("times belongs to status or fail")
    if order.max_prompt is not None and order.max_prompt < 1:
        raise Malformed("max_prompt must be at least 1")
    return order
