"""docs/clients.md: every program and command of it does what it says.

The agents' blocks are run by tests/agents (`make test-clients`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.dialects.paths import canonical
from tests.e2e.conftest import QUICK
from tests.e2e.node_programs import FOLDER as NODE
from tests.e2e.python_programs import FOLDER, QUIET
from tests.e2e.support import Door

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
BASE, KEY = "http://127.0.0.1:8000", "YOUR_KIMI_TOKEN"
AGENTS = "Coding agents"
DOORS = {
    "OpenAI": ["/chat/completions", "/models"],
    "Anthropic": ["/v1/messages"],
    "Gemini": ["/v1beta/models/kimi:generateContent"],
}


@dataclass(frozen=True)
class Block:
    """One fenced block, with the headings that it stands under."""

    chapter: str
    client: str
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.client} {self.language}"

    def at(self, door: Door) -> str:
        """The block with the address and the key of a door."""
        return self.text.replace(BASE, door.gateway.server.url).replace(KEY, door.token)


def blocks() -> list[Block]:
    """All blocks of the page."""
    found: list[Block] = []
    chapter = client = ""
    for heading, language, text in re.findall(r"^(##+ [^\n]*)$|^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        if heading.startswith("## "):
            chapter = heading.removeprefix("## ")
        elif heading:
            client = heading.removeprefix("### ")
        else:
            found.append(Block(chapter, client, language, text))
    return found


def run(command: list[str], folder: Path, text: str, **environment: str) -> str:
    """What a program prints that is given as its input; it finds nothing but this machine."""
    kept = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(
        command, cwd=folder, env=kept, input=text, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def of(*languages: str) -> list[Block]:
    """The blocks of these languages that are not the agents'."""
    return [block for block in blocks() if block.language in languages and block.chapter != AGENTS]


@pytest.mark.parametrize("block", of("python"), ids=str)
def test_a_python_program_prints_an_answer(block: Block, connect: Door, tmp_path: Path) -> None:
    """In the environment of its framework."""
    environment = "instructor" if block.client == "instructor" else "clients"
    python = ROOT / ".venv" / environment / "bin" / "python"
    if block.client == "instructor":
        connect.guest.plan({"act": {"calls": [{"name": "City", "arguments": {"name": QUICK, "country": "France"}}]}})
    settings = {**QUIET, "HOME": str(tmp_path), "PYTHONPATH": str(FOLDER / "loopback")}
    assert QUICK in run([str(python), "-"], tmp_path, block.at(connect), ATTEMPTS=str(tmp_path / "out"), **settings)


@pytest.mark.parametrize("block", of("js"), ids=str)
def test_a_program_for_node_prints_an_answer(block: Block, connect: Door) -> None:
    """Where the packages are."""
    if not shutil.which("node") and "CI" not in os.environ:
        pytest.skip("there is no node here")
    command = ["node", "--import", "./loopback.mjs", "--input-type=module"]
    assert QUICK in run(command, NODE, block.at(connect))


def test_llm_answers_on_the_command_line(connect: Door, tmp_path: Path) -> None:
    """With the file that it is told of."""
    (models,), (commands,) = of("yaml"), of("sh")
    assert {models.client, commands.client} == {"llm"}
    (tmp_path / "extra-openai-models.yaml").write_text(models.at(connect))
    binaries = ROOT / ".venv" / "clients" / "bin"
    settings = {**QUIET, "HOME": str(tmp_path), "LLM_USER_PATH": str(tmp_path), "ATTEMPTS": str(tmp_path / "out")}
    settings |= {"PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(FOLDER / "loopback")}
    assert QUICK in run(["sh", "-e"], tmp_path, commands.at(connect), **settings)


def test_no_block_is_left_out() -> None:
    """What is of another language is run by nobody."""
    assert len(of("python", "js", "yaml", "sh")) == len([block for block in blocks() if block.chapter != AGENTS])


def test_every_address_of_the_applications_leads_to_a_door() -> None:
    """With what the application adds to it."""
    rows = re.findall(r"^\| ([\w .]+?) \| (OpenAI|Anthropic|Gemini) \| `(http[^`]*)` \|", PAGE, re.MULTILINE)
    assert len(rows) >= 8
    for name, vendor, address in rows:
        path = address.removeprefix(BASE)
        for added in DOORS[vendor]:
            assert canonical(path + added).startswith(("/v1/", "/v1beta/models/")), name
