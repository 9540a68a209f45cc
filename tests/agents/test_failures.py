"""What the agents make of failures, and how many completions of Kimi's each failure costs.

Agents repeat what failed whatever they are told (`x-should-retry`), up to 30 times in 25 seconds. Kimi is to hear of it
once, or, from an agent that waits for longer than REPEAT_SECONDS, once for each time that it has waited.
"""

from __future__ import annotations

import pytest

from tests.agents.agents import Ran, asking
from tests.agents.conftest import NewDesk
from tests.agents.failures import FAILURES, ONCE, TWICE, Case
from tests.agents.work import PROMPT, is_discreet, lay_out, steps
from tests.e2e.support import Gateway, Guest, until

pytestmark = pytest.mark.e2e

CASES = [
    Case("Claude Code", "bad token", 0),
    Case("Claude Code", "quota", 1),
    Case("Claude Code", "overload", 1, ONCE["Claude Code"]),  # else it repeats a 529 for minutes, and tells nothing
    Case("Claude Code", "protocol", 1),
    Case("Claude Code", "down", 1),
    Case("Claude Code", "cut", 1, turns=1),
    Case("Codex", "bad token", 0),  # six requests
    Case("Codex", "quota", 1, ONCE["Codex"]),  # else it waits for as long as Retry-After tells, five times
    Case("Codex", "overload", 1, ONCE["Codex"]),
    Case("Codex", "protocol", 1, ONCE["Codex"]),
    Case("Codex", "down", 1),  # 30 requests
    Case("Codex", "cut", 1, turns=1),  # 26 requests
    Case("gemini-cli", "bad token", 0),
    Case("gemini-cli", "quota", 1, ONCE["gemini-cli"]),  # else it waits for as long as it is told
    Case("gemini-cli", "overload", 1, ONCE["gemini-cli"]),
    Case("gemini-cli", "protocol", 1, ONCE["gemini-cli"]),
    Case("gemini-cli", "down", 2, TWICE),  # the second comes 3.5 to 6.5 seconds after the first
    Case("gemini-cli", "cut", 1),
    Case("gemini-cli", "cut", 1, turns=1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_failure(case: Case, gateway: Gateway, guest: Guest, new_desk: NewDesk) -> None:
    """The agent ends and says why, Kimi is not asked again and again, and no conversation is left."""
    failure = FAILURES[case.failure]
    desk = new_desk(case.agent, token=failure.token(guest), **case.knobs.environment)
    lay_out(desk)
    failure.await_at(guest, *steps(desk)[: case.turns])
    case.knobs.turn(desk)
    ran = desk.run(*asking(case.agent, PROMPT), *case.knobs.arguments)
    _ended_badly(case, ran)
    assert min(case.most, 1) <= len(guest.completions()) - case.turns <= case.most
    assert until(lambda: guest.left() == [])
    assert is_discreet(gateway, guest)


def _ended_badly(case: Case, ran: Ran) -> None:
    """The error that Kimi's failure became is told, as far as the agent tells any."""
    code, told = 1, FAILURES[case.failure].told
    match (case.agent, case.failure, case.turns):
        case ("gemini-cli", "cut", _):  # it passes over the error, but not over a connection that breaks off
            told = "An unexpected critical error occurred"
        case ("Codex", "quota" | "overload", _):  # it shows no words beside a 429
            told = "last status: 429 Too Many Requests"
    assert ran.code == code, ran
    assert told in ran.out + ran.err
