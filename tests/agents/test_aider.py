"""aider, which calls no tools: it reads the changes out of the model's words."""

from __future__ import annotations

import pytest

from tests.agents.agents import AIDER_RUNS_HERE, asking
from tests.agents.conftest import NewDesk
from tests.agents.failures import FAILURES, Case
from tests.agents.work import NEW, OLD, PROMPT, is_discreet, lay_out
from tests.e2e.support import Gateway, Guest, until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not AIDER_RUNS_HERE, reason="aider 0.86.2 needs a Python before 3.13"),
]

WHOLE = f"I change it.\n\nanswer.sh\n```\n{NEW}\n```\n"
BLOCK = f"I change it.\n\nanswer.sh\n```\n<<<<<<< SEARCH\n{OLD}\n=======\n{NEW}\n>>>>>>> REPLACE\n```\n"

AMPLE, BRIEF = 120.0, 45.0
"""Seconds: aider takes 10 to 25 to start. After a failure it goes on for a minute, too long to be waited for here."""


@pytest.mark.parametrize(("text", "form"), [(WHOLE, []), (BLOCK, ["--edit-format", "diff"])], ids=["whole", "diff"])
def test_a_file_is_changed(text: str, form: list[str], gateway: Gateway, guest: Guest, new_desk: NewDesk) -> None:
    """By the file as a whole, or by blocks of what to search and what to put in its place."""
    desk = new_desk("aider")
    script = lay_out(desk)
    guest.plan({"text": text, "thinking": "I think about it."})
    ran = desk.run(*asking("aider", PROMPT), *form, "answer.sh", limit=AMPLE)
    assert ran.code == 0, ran
    assert "Applied edit to answer.sh" in ran.out
    assert script.read_text() == f"{NEW}\n"
    assert [len(guest.completions()), len(guest.chats())] == [1, 1]
    assert is_discreet(gateway, guest)


@pytest.mark.parametrize(
    "case",
    [
        Case("aider", "bad token", 0),
        Case("aider", "quota", 2),  # the second attempt is kept waiting for the end of the pause, 30 seconds
        # 0.2, 0.5, 1, 2, 4, 8, 16, 32 seconds between; nothing tells its requests from those of OpenAI's own SDK
        Case("aider", "down", 9),
        Case("aider", "cut", 9),
    ],
    ids=str,
)
def test_a_failure(case: Case, gateway: Gateway, guest: Guest, new_desk: NewDesk) -> None:
    """The gateway's words are told; what is no matter of the token is repeated, and a bad token is called a success."""
    failure = FAILURES[case.failure]
    failure.await_at(guest)
    desk = new_desk("aider", token=failure.token(guest))
    lay_out(desk)
    ran = desk.run(*asking("aider", PROMPT), "answer.sh", limit=BRIEF if case.most else AMPLE)
    assert ran.code == (None if case.most else 0), ran
    assert failure.told in " ".join(ran.out.split())
    assert min(case.most, 1) <= len(guest.completions()) <= case.most
    assert until(lambda: guest.left() == [])
    assert is_discreet(gateway, guest)
