"""LangChain, pydantic-ai and instructor at the real gateway: two tools, three steps.

They run as programs, in an environment of their own (requirements-clients.txt).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.support import Door

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
PROGRAMS = ROOT / "tests" / "clients"

FIND = {"name": "find_city", "arguments": {"person": "Ann"}}
WEATHER = {"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}
CALLS = [["find_city", {"person": "Ann"}], ["weather", {"city": "Home of Ann", "days": 2}]]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """The frameworks are where `make test` puts them."""
    assert PYTHON.exists(), "run `make test`, which installs the client frameworks"


def run(program: str, door: Door, *arguments: str) -> dict[str, Any]:
    """What a program prints that works with the gateway."""
    command = [str(PYTHON), str(PROGRAMS / program), f"{door.gateway.server.url}/v1", door.token, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def acting(*acts: Mapping[str, object]) -> list[dict[str, object]]:
    """These steps, as plans of the emulator."""
    return [{"act": act} for act in acts]


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_langchain_binds_tools(door: Door, how: str) -> None:
    """The calls of `bind_tools` are run, and their results reach the model."""
    door.guest.plan(
        *acting({"say": "I look.", "calls": [FIND]}, {"calls": [WEATHER]}, {"say": "So: {{result:weather}}"})
    )
    assert run("langchain_agent.py", door, how) == {"answer": "So: Rain in Home of Ann for 2 days", "calls": CALLS}


@pytest.mark.parametrize("how", ["whole", "stream"])
def test_pydantic_ai_runs_an_agent(door: Door, how: str) -> None:
    """The typed result is a tool as well, which the model has to call in the end."""
    final = {"name": "final_result", "arguments": {"city": "{{result:find_city}}", "rain": True}}
    door.guest.plan(*acting({"calls": [FIND]}, {"calls": [WEATHER]}, {"calls": [final]}))
    result = run("pydantic_ai_agent.py", door, how)
    assert result["calls"] == CALLS
    assert result["answer"]["rain"] is True


@pytest.mark.parametrize("mode", ["tools", "json", "schema"])
def test_instructor_gets_its_types(door: Door, mode: str) -> None:
    """By a tool that has to be called, as any JSON, and as JSON that fits a schema."""
    steps: list[dict[str, object]] = [
        {"action": "find_city", "argument": "Ann"},
        {"action": "weather", "argument": "Home of Ann", "days": 2},
        {"action": "answer", "argument": "Rain."},
    ]
    if mode == "tools":
        door.guest.plan(*acting(*({"calls": [{"name": "Step", "arguments": step}]} for step in steps)))
    else:
        door.guest.plan(*({"text": f"```json\n{json.dumps(step)}\n```"} for step in steps))
    calls = [["find_city", "Ann"], ["weather", "Home of Ann"]]
    assert run("instructor_steps.py", door, mode) == {"answer": "Rain.", "calls": calls}
