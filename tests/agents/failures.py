"""Failures of Kimi's, and how the agents are kept from repeating them for minutes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.agents.agents import Desk
from tests.agents.work import Plan
from tests.e2e.faults import trailer
from tests.e2e.support import Guest

NEVER_ISSUED = "0123456789abcdef" * 2
"""A token that is well formed, and unknown to Kimi."""

MANY = 40
"""More answers than any agent asks for."""


@dataclass(frozen=True)
class Failure:
    """What Kimi answers (None: the token is bad, so that nothing is asked), and what the person is told."""

    plan: Plan | None
    told: str

    def await_at(self, guest: Guest, *before: Plan) -> None:
        """Let it await the guest, however often it asks, once these answers have been given."""
        if self.plan is not None:
            guest.plan(*before, *[self.plan] * MANY)

    def token(self, guest: Guest) -> str:
        """The token that the agent is given."""
        return NEVER_ISSUED if self.plan is None else guest.refresh_token


FAILURES = {
    "bad token": Failure(None, "Kimi does not accept the token: log in again."),
    "quota": Failure(trailer("resource_exhausted"), "quota at Kimi is spent for now."),
    "overload": Failure({"faults": {"overload_trailer": True}}, "Kimi is overloaded and refuses this account for now."),
    "protocol": Failure(trailer("hologram"), "Kimi ended the answer with an error of an unknown kind."),
    "down": Failure(trailer("unavailable"), "Kimi is not available."),
    "cut": Failure(
        {"text": "The answer is long enough to be seen before it breaks. " * 4, "faults": {"cut_after": 25}},
        "Kimi's answer broke off before its end.",
    ),
}


@dataclass(frozen=True)
class Knobs:
    """How an agent is told to repeat less: arguments, environment, and for gemini-cli how often it asks at most."""

    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    attempts: int | None = None

    def turn(self, desk: Desk) -> None:
        """Write down what stands in a file of settings."""
        if self.attempts is not None:
            file = desk.home / ".gemini" / "settings.json"
            settings = json.loads(file.read_text(encoding="utf-8"))
            file.write_text(json.dumps({**settings, "general": {"maxAttempts": self.attempts}}), encoding="utf-8")


@dataclass(frozen=True)
class Case:
    """An agent that meets a failure: `most` completions of Kimi's may fail by it; `turns` of a task go before it."""

    agent: str
    failure: str
    most: int
    knobs: Knobs = Knobs()
    turns: int = 0

    def __str__(self) -> str:
        return f"{self.agent}-{self.failure}-{self.turns}"


_TABLE = "model_providers.kimi"
ONCE = {
    "Claude Code": Knobs(environment={"CLAUDE_CODE_MAX_RETRIES": "0"}),
    "Codex": Knobs(("-c", f"{_TABLE}.request_max_retries=0", "-c", f"{_TABLE}.stream_max_retries=0")),
    "gemini-cli": Knobs(attempts=1),
}
"""No repetition of a failed request."""

TWICE = Knobs(attempts=2)
"""gemini-cli asks up to ten times otherwise, with 5, 10, 20, 30, ... seconds between (a third more or less)."""
