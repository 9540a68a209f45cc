"""The task that every agent is given: read a script, change what it prints, run it, and tell what it printed.

The emulated model calls the agent's own tools by the names and arguments that the agent has told it of.
"""

from collections.abc import Mapping
from pathlib import Path

from tests.agents.agents import Desk
from tests.e2e.support import Gateway, Guest

Plan = Mapping[str, object]

CALLERS = ["Claude Code", "Codex", "gemini-cli"]
"""The agents whose tools the model calls."""

PROMPT = "Make answer.sh print the answer, run it, and tell me what it prints. My word for it is gobbledygook."
SECRET = "gobbledygook"
"""A word of the prompt that must not be found in a log."""

OLD, NEW = 'echo "answer: unknown"', 'echo "answer: $((6 * 7))"'
PRINTED = "answer: 42"
"""What the changed script prints. It stands in no plan: only who runs the script can know it."""

_PATCH = f"apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: answer.sh\n@@\n-{OLD}\n+{NEW}\n*** End Patch\nEOF"


def lay_out(desk: Desk) -> Path:
    """Put the script on the desk."""
    file = desk.project / "answer.sh"
    file.write_text(f"{OLD}\n", encoding="utf-8")
    return file


def calling(*calls: tuple[str, Plan], say: str = "") -> Plan:
    """An answer with calls of tools, and words before them."""
    listed = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return {"act": {"say": say, "calls": listed} if say else {"calls": listed}}


def reading(desk: Desk, name: str = "answer.sh") -> tuple[str, Plan]:
    """How a file is read with the agent's tools."""
    path = str(desk.project / name)
    match desk.agent:
        case "Claude Code":
            return "Read", {"file_path": path}
        case "gemini-cli":
            return "read_file", {"file_path": path}
        case _:
            return "exec_command", {"cmd": f"cat {name}"}


def changing(desk: Desk) -> tuple[str, Plan]:
    """How the script is changed."""
    path = str(desk.project / "answer.sh")
    match desk.agent:
        case "Claude Code":
            return "Edit", {"file_path": path, "old_string": OLD, "new_string": NEW}
        case "gemini-cli":
            why = "Let it print the answer."
            return "replace", {"file_path": path, "instruction": why, "old_string": OLD, "new_string": NEW}
        case _:
            return "exec_command", {"cmd": _PATCH}


def running(desk: Desk, command: str = "sh answer.sh") -> tuple[str, Plan]:
    """How a command is run."""
    match desk.agent:
        case "Claude Code":
            return "Bash", {"command": command, "description": "Run it"}
        case "gemini-cli":
            return "run_shell_command", {"command": command, "description": "Run it"}
        case _:
            return "exec_command", {"cmd": command}


def steps(desk: Desk) -> list[Plan]:
    """All that the model says for the task."""
    return [
        calling(reading(desk), say="I read it first."),
        calling(changing(desk)),
        calling(running(desk), say="\n\nNow I run it. \u00dcn\u00efcode \u4f60\u597d\n\n"),
        {"act": {"say": "Done. It prints: {{result}}"}},
    ]


def is_discreet(gateway: Gateway, guest: Guest) -> bool:
    """Whether the log has neither what was said nor by whom."""
    return not any(word in gateway.server.log for word in (SECRET, PRINTED, guest.refresh_token, guest.access_token))
