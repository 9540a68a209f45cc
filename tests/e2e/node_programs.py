"""The programs of tests/clients/node: which cases they know, what Kimi says in each, and how one program is run.

A program does all cases of its SDK one after the other, each with an account of its own, and prints what it was told.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.client import AccountTokens, EmulatorControl
from tests.e2e.faults import Plan, trailer
from tests.e2e.support import Gateway, Guest

FOLDER = Path(__file__).resolve().parents[1] / "clients" / "node"
COMPLETIONS = ("ChatService/Chat", "/completion/stream")
TIME_LIMIT = 120.0  # seconds; a program takes two to five on an idle machine

TEXT = "The sky is blue because light is scattered."
THOUGHT = "Light is scattered."
SOURCE = {"title": "Water", "url": "https://example.com/one", "siteName": "example.com", "snippet": "Wet."}
CITING: Plan = {"text": "Water is wet{{cite:0}}.", "search": [SOURCE]}
OBJECT = {"city": "Home of Ann", "rain": True}

FIND: Plan = {"name": "find_city", "arguments": {"person": "Ann"}}
WEATHER: Plan = {"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}
CALLS = [["find_city", {"person": "Ann"}], ["weather", {"city": "Home of Ann", "days": 2}]]
ANSWER = "So: Rain in Home of Ann for 2 days"
STEPS: list[Plan] = [
    {"say": "I look.", "calls": [FIND]},
    {"calls": [WEATHER]},
    {"say": "So: {{result:weather}}"},
]
LOOP: list[Plan] = [{"act": step, "thinking": THOUGHT} for step in STEPS]
FENCED: Plan = {"text": f"```json\n{json.dumps(OBJECT)}\n```"}
BY_TOOL: Plan = {"calls": [{"name": "json", "arguments": OBJECT}]}
TALK: list[Plan] = [{"text": "I am Kimi."}, {"text": "You are Ann."}]

PLANS: dict[str, list[Plan]] = {
    "text": [{"text": TEXT}],
    "streamed": [{"text": TEXT}],
    "talk": TALK,
    "stored": TALK,
    "tools": LOOP,
    "streamed_tools": LOOP,
    "forced": [{"act": {"say": "I would rather talk."}}, {"act": {"calls": [FIND]}}],
    "image": [{"text": TEXT}],
    "document": [{"text": TEXT}],
    "limit": [{"text": TEXT}],
    "thinking": [{"text": TEXT, "thinking": THOUGHT}],
    "streamed_thinking": [{"text": TEXT, "thinking": THOUGHT}],
    "search": [CITING],
    "streamed_search": [CITING],
    "object": [FENCED],
    "streamed_object": [FENCED],
    "object_by_tool": [{"act": BY_TOOL}],
    "models": [],
    "count": [],
    "bases": [{"text": TEXT}] * 4,
    "bad_token": [],
    "empty": [],
    "no_path": [],
    "invalid": [trailer("invalid_argument")] * 3,
    "missing": [trailer("not_found")] * 3,
    "quota": [trailer("resource_exhausted")] * 3,
    "retried": [trailer("unavailable")] * 3,
    "down": [trailer("unavailable")] * 3,
    "truncated": [{"text": TEXT, "faults": {"cut_after": 12}}] * 3,
    "broken": [{"text": TEXT, "faults": {"error_frame": {"code": "unavailable", "reason": "", "after_text": 8}}}] * 3,
    "cut": [{"text": TEXT, "faults": {"cut_after": 12}}] * 3,
}
"""What Kimi says in each case. Where a client might ask again, the same awaits it."""

COMMON = frozenset(PLANS) - {"stored", "streamed_object", "object_by_tool", "models", "count", "retried", "empty"}
"""The cases that every program knows."""


@dataclass(frozen=True)
class Program:
    """An SDK at a dialect: the file and the argument of its program, and the cases that only some programs know."""

    name: str
    file: str
    argument: str
    own: frozenset[str]

    @property
    def cases(self) -> list[str]:
        """The cases that it is to do, in order."""
        return [case for case in PLANS if case in COMMON | self.own]


def _program(name: str, *own: str) -> Program:
    stem, _, argument = name.partition("-")
    return Program(name, f"{stem}.mjs", argument, frozenset(own))


PROGRAMS = (
    _program("openai_chat", "models", "empty"),
    _program("openai_responses", "stored", "empty"),
    _program("anthropic", "models", "count", "empty"),
    _program("google", "models", "count", "empty"),
    _program("ai-compatible", "streamed_object", "retried"),
    _program("ai-chat", "streamed_object"),
    _program("ai-responses", "streamed_object"),
    _program("ai-anthropic", "streamed_object", "object_by_tool"),
    _program("ai-google", "streamed_object"),
)


@dataclass(frozen=True)
class Ran:
    """What a program told of each case, the guest of each, what Kimi was asked, and the names of all headers sent."""

    program: Program
    told: dict[str, dict[str, Any]]
    guests: Mapping[str, Guest]
    asked: Mapping[str, list[Any]]
    headers: list[str]

    def knows(self, *cases: str) -> list[str]:
        """Those of these cases that the program did."""
        return [case for case in cases if case in self.told]

    def well(self, case: str) -> dict[str, Any]:
        """What was told of a case in which nothing was raised."""
        told = self.told[case]
        assert "raised" not in told, told["raised"]
        return told

    def raised(self, case: str) -> dict[str, Any]:
        """The error that was raised in a case."""
        assert "raised" in self.told[case], self.told[case]
        error: dict[str, Any] = self.told[case]["raised"]
        return error


def run(program: Program, gateway: Gateway, kimi: EmulatorControl, issued: list[AccountTokens]) -> Ran:
    """Run a program to its end. Its environment names no service and no proxy, and it can reach this machine only."""
    accounts = {case: kimi.account(f"{program.name} {case}") for case in program.cases}
    issued += accounts.values()
    guests = {case: Guest(kimi, account) for case, account in accounts.items()}
    for case, guest in guests.items():
        guest.plan(*PLANS[case])
    tokens = {case: account.refresh_token for case, account in accounts.items()}
    arguments = [program.argument] if program.argument else []
    done = subprocess.run(
        ["node", "--import", "./loopback.mjs", program.file, *arguments],
        cwd=FOLDER,
        env={"PATH": os.environ["PATH"]},
        input=json.dumps({"base": gateway.server.url, "tokens": tokens}),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = json.loads(done.stdout.splitlines()[-1])
    asked: dict[str, list[Any]] = {case: [] for case in guests}
    cases = {guest.name: case for case, guest in guests.items()}
    for entry in kimi.log():
        if entry["account"] in cases and entry["path"].endswith(COMPLETIONS):
            asked[cases[entry["account"]]].append(entry["request"])
    return Ran(program, printed["told"], guests, asked, printed["headers"])
