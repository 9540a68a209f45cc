"""What is known of one request when its answer is over; one log line is made of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.chat.events import Event, Failed, Preamble, Served, Usage, Warned


@dataclass(slots=True)
class RequestRecord:
    """One request. Times are of `time.monotonic`; nothing here is content or secret."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    dialect: str | None = None
    model: str | None = None
    stream: bool | None = None
    account: str | None = None
    waited: float | None = None
    code: str | None = None
    first_word: float | None = None
    usage: Usage | None = None
    warnings: set[str] = field(default_factory=set)

    def saw(self, events: Sequence[Event]) -> None:
        """Note what passes on its way to the client."""
        for event in events:
            if isinstance(event, Usage):
                self.usage = event
            elif isinstance(event, Served):
                self.account, self.waited = event.account[:12], event.waited
            elif isinstance(event, Failed):
                self.code = event.error.code
            elif isinstance(event, Warned):
                self.warnings.add(event.word.partition(":")[0])  # what follows it may be the model's
            elif self.first_word is None and not isinstance(event, Preamble):
                self.first_word = time.monotonic()

    def fields(self) -> dict[str, object]:
        """The fields of the log line, without those that are not known; durations are in seconds."""
        now = time.monotonic()
        usage = self.usage
        fields = {
            "id": self.request_id,
            "dialect": self.dialect,
            "model": self.model,
            "stream": self.stream,
            "account": self.account,
            "waited": None if self.waited is None else round(self.waited, 4),
            "code": self.code,
            "first_word": None if self.first_word is None else round(self.first_word - self.started, 4),
            "duration": round(now - self.started, 4),
            "prompt_tokens": usage and usage.prompt,
            "completion_tokens": usage and usage.completion + usage.reasoning,
            "warnings": sorted(self.warnings) or None,
        }
        return {name: value for name, value in fields.items() if value is not None}
