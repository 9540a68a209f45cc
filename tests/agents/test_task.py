"""Claude Code, Codex and gemini-cli do a task of four turns, each in one conversation of Kimi's.

The history that an agent sends with each turn has to be recognised as what Kimi has said and been told already, however
the agent writes it: then only what is new is sent.
"""

from __future__ import annotations

import pytest

from tests.agents.agents import Desk, Ran, asking
from tests.agents.conftest import NewDesk
from tests.agents.work import (
    CALLERS,
    NEW,
    PRINTED,
    PROMPT,
    SECRET,
    calling,
    is_discreet,
    lay_out,
    reading,
    running,
    steps,
)
from tests.e2e.support import Gateway, Guest

pytestmark = pytest.mark.e2e

MOST_NEW = 600
"""Characters of a turn after the first: results of a line or two, and a reminder of how tools are called."""

AGENTS = pytest.mark.parametrize("agent", CALLERS)


def last_text(desk: Desk, ran: Ran) -> str:
    """The final answer, from JSON output."""
    match desk.agent:
        case "Claude Code":
            result = ran.lines[-1]
            assert [result["type"], result["subtype"], result["is_error"]] == ["result", "success", False]
            return str(result["result"])
        case "Codex":
            assert ran.lines[-1]["type"] == "turn.completed"
            return texts(ran, "agent_message")[-1]
        case _:
            return str(ran.object["response"])


def texts(ran: Ran, kind: str) -> list[str]:
    """The texts of Codex's finished items of one kind."""
    items = [line["item"] for line in ran.lines if line["type"] == "item.completed"]
    return [item["text"] for item in items if item["type"] == kind]


def in_one_conversation(guest: Guest, turns: int) -> None:
    """All turns went to one conversation, which is kept, and those after the first told only what was new."""
    told = guest.asked_texts()
    assert len(told) == turns
    (chat,) = guest.chats()
    assert len([message for message in chat["messages"] if message["role"] == "user"]) == turns
    assert not chat["deleted"]
    assert SECRET in told[0]
    assert [text for text in told[1:] if SECRET in text or len(text) > MOST_NEW] == []


@pytest.mark.parametrize(
    ("agent", "protocol"),
    [("Claude Code", "connect"), ("Claude Code", "rest"), ("Codex", "connect"), ("gemini-cli", "connect")],
)
def test_a_task(agent: str, protocol: str, guest: Guest, new_desk: NewDesk, request: pytest.FixtureRequest) -> None:
    """A file is read, changed and run, and the answer tells what it printed."""
    gateway: Gateway = request.getfixturevalue(f"{protocol}_gateway")
    desk = new_desk(agent, at=gateway)
    script = lay_out(desk)
    guest.plan(*steps(desk))
    ran = desk.run(*asking(agent, PROMPT))
    assert ran.code == 0, ran
    assert script.read_text() == f"{NEW}\n"
    assert "Done. It prints: " in ran.out
    assert PRINTED in ran.out
    in_one_conversation(guest, 4)
    assert is_discreet(gateway, guest)


@AGENTS
def test_a_task_with_thinking_told_as_json(agent: str, gateway: Gateway, guest: Guest, new_desk: NewDesk) -> None:
    """Thinking goes before each step, and does not come between the agent and its history."""
    desk = new_desk(agent)
    script = lay_out(desk)
    guest.plan(*({**step, "thinking": f"This is thought {number}."} for number, step in enumerate(steps(desk))))
    ran = desk.run(*asking(agent, PROMPT, as_json=True))
    assert ran.code == 0, ran
    assert script.read_text() == f"{NEW}\n"
    text = last_text(desk, ran)
    assert text.startswith("Done. It prints: ")
    assert PRINTED in text
    in_one_conversation(guest, 4)
    assert is_discreet(gateway, guest)
    thoughts = [f"This is thought {number}." for number in range(4)]
    match agent:
        case "Claude Code":
            blocks = [
                block for line in ran.lines if line["type"] == "assistant" for block in line["message"]["content"]
            ]
            assert [block["thinking"] for block in blocks if block["type"] == "thinking"] == thoughts
        case "Codex":
            assert texts(ran, "reasoning") == thoughts
        case _:
            (used,) = ran.object["stats"]["models"].values()
            assert used["tokens"]["thoughts"] > 0  # gemini-cli prints no more of it


@AGENTS
def test_two_calls_at_a_time(agent: str, guest: Guest, new_desk: NewDesk) -> None:
    """Both are made, and their results go to the model together."""
    desk = new_desk(agent)
    lay_out(desk)
    (desk.project / "more.txt").write_text("more to read\n")
    together = calling(reading(desk, "more.txt"), running(desk, "expr 40 + 2"), say="Both at once.")
    guest.plan(together, {"act": {"say": "Done. It prints: {{result}}"}})
    ran = desk.run(*asking(agent, PROMPT))
    assert ran.code == 0, ran
    assert "42" in ran.out
    in_one_conversation(guest, 2)
    told = guest.asked_texts()[1]
    assert "more to read" in told
    assert "42" in told


@pytest.mark.parametrize("agent", ["Claude Code", "Codex", "gemini-cli"])
def test_the_next_prompt_in_a_new_process(agent: str, guest: Guest, new_desk: NewDesk) -> None:
    """The talk goes on in the same conversation, although gemini-cli repeats each result in what it takes up again."""
    desk = new_desk(agent)
    lay_out(desk)
    guest.plan(*steps(desk), {"text": "You asked for the answer."})
    assert desk.run(*asking(agent, PROMPT)).code == 0
    ran = desk.run(*asking(agent, "What did I ask?", again=True))
    assert [ran.code, ran.out.strip()] == [0, "You asked for the answer."]
    assert len(guest.completions()) == 5
    assert len(guest.chats()) == 1
