"""The coding agents: how each is set up, started, and what it said when it ended.

The set-ups are read from the page that people read, so that what it says is what was run. An agent runs in a folder of
its own with an empty home and no more of the environment than a shell needs.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "clients.md"
"""Where the set-ups stand: a heading of the third order for each agent; below it the files, each fenced and with its
path in backticks above it, and one fence of shell whose last line starts the agent."""

BASE, KEY = "http://127.0.0.1:8000", "YOUR_KIMI_TOKEN"
"""What stands on the page for the gateway's address and the person's token."""

NODE_FOLDER = Path(__file__).with_name("node")
AIDER_FOLDER = ROOT / ".venv" / "aider"
PROGRAMS = {
    "Claude Code": NODE_FOLDER / "node_modules" / ".bin" / "claude",
    "Codex": NODE_FOLDER / "node_modules" / ".bin" / "codex",
    "gemini-cli": NODE_FOLDER / "node_modules" / ".bin" / "gemini",
    "aider": AIDER_FOLDER / "bin" / "aider",
}
AIDER_RUNS_HERE = sys.version_info < (3, 13)

TIME_LIMIT = 60.0
"""Seconds of one run; a task of four steps takes five to fifteen."""

NOBODY = {"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
"""Agents report home, and aider fetches prices: nothing beyond this machine is reached."""

UNWATCHED = {"gemini-cli": {"GEMINI_CLI_TRUST_WORKSPACE": "true"}}
"""What agents ask a person about, answered beforehand."""

_FILE = re.compile(r"^`~/([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Setup:
    """What a person does to use an agent: files below the home by their paths, and the lines for the shell."""

    files: Mapping[str, str]
    script: str


@dataclass(frozen=True)
class Ran:
    """How a run ended; `code` is None where it had to be killed."""

    code: int | None
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects that were printed, one a line."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def object(self) -> dict[str, Any]:
        """The one JSON object that was printed, over one line or several."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@dataclass
class Desk:
    """A folder with a project in it, where one agent works for one account; `home` is the agent's own."""

    agent: str
    base: str
    token: str
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for folder in (self.home, self.project, self.folder / "tmp"):
            folder.mkdir(parents=True)
        self._setup = setup_of(self.agent, base=self.base, token=self.token)
        for name, text in self._setup.files.items():
            file = self.home / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    @property
    def home(self) -> Path:
        """The agent's home."""
        return self.folder / "home"

    @property
    def project(self) -> Path:
        """The folder that the agent works in."""
        return self.folder / "project"

    def run(self, *arguments: str, limit: float = TIME_LIMIT) -> Ran:
        """Start the agent as the page says, with more arguments, and wait for its end."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            process = subprocess.Popen(
                ["sh", "-ec", f'{self._setup.script} "$@"', self.agent, *arguments],
                cwd=self.project,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(limit)
        _end_group(process.pid)  # the agent itself, or what it left running
        process.wait()
        return Ran(code, self._printed("out"), self._printed("err"))

    def _printed(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8", errors="replace")

    def _environment(self) -> dict[str, str]:
        node = shutil.which("node")
        folders = [str(program.parent) for program in PROGRAMS.values()]
        folders += [str(Path(node).parent)] if node else []
        return {
            "PATH": ":".join([*dict.fromkeys(folders), os.defpath.removeprefix(":"), "/usr/local/bin"]),
            "HOME": str(self.home),
            "TERM": "dumb",
            "TMPDIR": str(self.folder / "tmp"),
            **NOBODY,
            **UNWATCHED.get(self.agent, {}),
            **self.environment,
        }


def asking(agent: str, prompt: str, *, as_json: bool = False, again: bool = False) -> list[str]:
    """The arguments for one prompt without a person to ask; `again` goes on with the talk of the last run."""
    match agent:
        case "Claude Code":
            form = ["--output-format", "stream-json", "--verbose"] if as_json else []
            return [*(["--continue"] if again else []), "-p", prompt, "--allowedTools", "Read,Edit,Bash", *form]
        case "Codex":
            freely = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
            form = ["--json"] if as_json else []
            return ["exec", *(["resume", "--last"] if again else []), *freely, *form, prompt]
        case "gemini-cli":
            form = ["-o", "json"] if as_json else []
            return [*(["--resume", "latest"] if again else []), "--yolo", "-p", prompt, *form]
        case _:
            quietly = ["--no-check-update", "--analytics-disable", "--yes-always", "--no-git"]
            return [*quietly, "--message", prompt]


def setup_of(agent: str, *, base: str, token: str) -> Setup:
    """An agent's set-up as the page has it, for one gateway and one token."""
    page = PAGE.read_text(encoding="utf-8").replace(BASE, base).replace(KEY, token)
    section = next(part for part in re.split(r"^##+ ", page, flags=re.MULTILINE) if part.startswith(f"{agent}\n"))
    files = {found[1]: found[2] for found in _FILE.finditer(section)}
    (script,) = _SHELL.findall(section)
    return Setup(files, script.rstrip("\n"))


def _end_group(pid: int) -> None:
    """End a process that began a session of its own, and all that it started in it."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
