"""The programs of tests/clients: what Kimi says in each case, and how a program is run.

A program does all cases of its framework one after the other, over one dialect after the other, each with an account of
its own: to import a framework takes longer than all that is done with it.
"""

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.client import AccountTokens, EmulatorControl, FileView, LogEntry
from tests.e2e.faults import Plan
from tests.e2e.support import Gateway, Guest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tests" / "clients"
TIME_LIMIT = 240.0  # seconds; a program takes five to fifteen on an idle machine

TEXT = "The sky is blue because light is scattered."
TALK = ["I am Kimi.", "You are Ann."]
OBJECT = {"city": "Home of Ann", "rain": True}
IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
"""A PNG of one red pixel: some frameworks look into what they send."""
IMAGE_SHA256 = hashlib.sha256(IMAGE).hexdigest()

FIND = {"name": "find_city", "arguments": {"person": "Ann"}}
WEATHER = {"name": "weather", "arguments": {"city": "{{result:find_city}}", "days": 2}}
LOOP: list[Plan] = [
    {"act": {"say": "I look.", "calls": [FIND]}},
    {"act": {"calls": [WEATHER]}},
    {"act": {"say": "So: {{result:weather}}"}},
]
FENCED: Plan = {"text": f"```json\n{json.dumps(OBJECT)}\n```"}

NEVER_ISSUED = "0123456789abcdef" * 2
"""The key of the fault `bad-token`: well formed, and unknown to Kimi."""

PLANS: dict[str, list[Plan]] = {
    "text": [{"text": TEXT}],
    "streamed": [{"text": TEXT}],
    "talk": [{"text": text} for text in TALK],
    "tools": LOOP,
    "streamed_tools": LOOP,
    "image": [{"text": TEXT}],
    "typed": [FENCED],
    "text-bad-token": [],
    "text-quota": [{"status": 429, "body": "slow down"}] * 9,
    "text-down": [{"status": 500, "body": "oops"}] * 9,
    "streamed-cut": [{"text": TEXT, "delay": 0.05, "faults": {"cut_after": 10}}] * 9,
}
"""What Kimi says in each case. Where a client may ask again, the same awaits it."""

VENDORS = {"chat": "OpenAI", "responses": "OpenAI", "anthropic": "Anthropic", "gemini": "Google"}

QUIET = {
    "ANONYMIZED_TELEMETRY": "false",
    "DO_NOT_TRACK": "1",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
}
"""Frameworks report home unless told not to; litellm also fetches its table of prices."""


def calling(name: str, arguments: Mapping[str, object] = OBJECT) -> Plan:
    """The model calls one tool."""
    return {"act": {"calls": [{"name": name, "arguments": arguments}]}}


@dataclass(frozen=True)
class Program:
    """A framework: the file of its program, its dialects, and how its cases differ from the usual ones.

    A case is "DIALECT FUNCTION" or "DIALECT FUNCTION-FAULT". `plans` are of more cases, or of usual ones that go
    another way. `without` are cases that the framework does not know. `errors` are the classes that it raises for each
    fault, with {} where the vendor's name goes. What is of one dialect alone begins with its name and a space.
    """

    name: str
    file: str
    dialects: Sequence[str]
    errors: Mapping[str, str]
    plans: Mapping[str, Sequence[Plan]] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    environment: str = "clients"
    gateway: str = "connect_gateway"

    @property
    def cases(self) -> dict[str, Sequence[Plan]]:
        """All cases in order, with the plans of each."""
        every = {**PLANS, **self.plans}
        known = {}
        for dialect in self.dialects:
            names = dict.fromkeys(name.removeprefix(f"{dialect} ") for name in every)
            for name in names:
                if " " not in name and name not in self.without:
                    known[f"{dialect} {name}"] = every.get(f"{dialect} {name}", every.get(name, ()))
        return known

    def error(self, case: str) -> str:
        """The class that is raised in a case."""
        dialect, _, name = case.partition(" ")
        fault = name.partition("-")[2]
        return self.errors.get(f"{dialect} {fault}", self.errors[fault]).format(VENDORS[dialect])

    @property
    def binaries(self) -> Path:
        """Where Python and the commands of its environment are."""
        return ROOT / ".venv" / self.environment / "bin"


class Seen(EmulatorControl):
    """What the emulator has seen up to now, which is much: read once, and looked at by many tests."""

    def __init__(self, kimi: EmulatorControl) -> None:
        super().__init__(kimi.base_url)
        self._log, self._files = kimi.log(), kimi.files()

    def log(self) -> list[LogEntry]:
        """Every request, as it was remembered."""
        return self._log

    def files(self) -> list[FileView]:
        """Every file, as it was remembered."""
        return self._files


@dataclass(frozen=True)
class Ran:
    """What a program told of each case, the guest of each, and the hosts beyond this machine that it tried to reach."""

    told: dict[str, Any]
    guests: Mapping[str, Guest]
    attempts: list[str]

    def well(self, case: str) -> dict[str, Any]:
        """What was told of a case in which nothing was raised."""
        told: dict[str, Any] = self.told[case]
        assert "raised" not in told, told["raised"]["trace"]
        return told

    def raised(self, case: str) -> dict[str, str]:
        """The error that was raised in a case: its `class` and its `text`."""
        assert "raised" in self.told[case], self.told[case]
        error: dict[str, str] = self.told[case]["raised"]
        return error


def environment(program: Program, home: Path) -> dict[str, str]:
    """What a program finds: an empty home, no service, no proxy, and nothing but this machine to reach."""
    return {
        **QUIET,
        "ATTEMPTS": str(home / "attempts"),
        "HOME": str(home),
        "PATH": f"{program.binaries}:{os.environ['PATH']}",
        "PYTHONPATH": str(FOLDER / "loopback"),
    }


def attempts(home: Path) -> list[str]:
    """The hosts beyond this machine that were tried to reach."""
    notes = home / "attempts"
    return notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []


def run(program: Program, gateway: Gateway, kimi: EmulatorControl, issued: list[AccountTokens], home: Path) -> Ran:
    """Run a program to its end."""
    accounts, tokens = {}, {}
    for case, plans in program.cases.items():
        account = accounts[case] = kimi.account(f"{program.name} {case}")
        issued.append(account)
        kimi.plan(*plans, account=account.name)
        tokens[case] = NEVER_ISSUED if case.endswith("-bad-token") else account.refresh_token
    order = {"base": gateway.server.url, "tokens": tokens, "image": base64.b64encode(IMAGE).decode()}
    done = subprocess.run(
        [str(program.binaries / "python"), str(FOLDER / program.file)],
        cwd=home,
        env=environment(program, home),
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = Seen(kimi)
    guests = {case: Guest(seen, account) for case, account in accounts.items()}
    return Ran(json.loads(done.stdout.splitlines()[-1]), guests, attempts(home))
