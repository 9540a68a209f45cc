"""What the READMEs say is what happens: their commands run, their tables are complete."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from config.models import load_models
from emulator.client import AccountTokens, EmulatorControl, start
from scripts.serving import ROOT, Server, serving

READMES = ("README.md", "README.zh.md")
BASE = "http://127.0.0.1:8000"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20
PHOTO = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 20


def text_of(readme: str) -> str:
    """A README, whole."""
    return Path(ROOT, readme).read_text(encoding="utf-8")


def blocks(readme: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(readme), re.DOTALL | re.MULTILINE)


def environment_names() -> set[str]:
    """The settings that .env.example lists, which a test of the settings keeps complete."""
    example = Path(ROOT, ".env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#?\s*([A-Z][A-Z_]+)=", example, re.MULTILINE))


def run_curl(command: str, account: AccountTokens, gateway: Server) -> str:
    """What a curl command of the README prints."""
    if not shutil.which("curl") and "CI" not in os.environ:
        pytest.skip("there is no curl here; .ci/run installs it")
    command = command.replace(BASE, gateway.url).replace("YOUR_KIMI_TOKEN", account.access_token)
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def digest(data: bytes) -> str:
    """What the emulator tells bytes by."""
    return hashlib.sha256(data).hexdigest()


def held(kimi: EmulatorControl, account: AccountTokens) -> list[tuple[object, str, int]]:
    """The files of an account on Kimi's side: name, digest, and in how many turns they were used."""
    return [(item["name"], item["sha256"], item["used"]) for item in kimi.files() if item["account"] == account.name]


@contextmanager
def site(content: bytes) -> Iterator[str]:
    """A web site that has one document under every path."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def kimi() -> Iterator[EmulatorControl]:
    """An emulator of Kimi."""
    with start() as control:
        yield control


@pytest.fixture(scope="module")
def gateway(kimi: EmulatorControl) -> Iterator[Server]:
    """The service on it."""
    hosts = {"KIMI_WEB_URL": kimi.base_url, "KIMI_AUTH_URL": kimi.base_url}
    with serving({**hosts, "DOWNLOAD_ALLOW_CIDRS": "127.0.0.0/8"}) as server:
        yield server


@pytest.mark.parametrize("readme", READMES)
def test_settings_table_is_complete(readme: str) -> None:
    """Every setting has a row in the README's table, and every row is a setting."""
    table = set(re.findall(r"`([A-Z][A-Z_]{3,})`", text_of(readme)))

    assert environment_names() == table


@pytest.mark.parametrize("readme", READMES)
def test_model_words_are_complete(readme: str) -> None:
    """Every word and every model of the table is explained."""
    models = load_models()

    assert [name for name in [*models.words, *models.bases] if f"`{name}`" not in text_of(readme)] == []


@pytest.mark.parametrize("readme", READMES)
def test_links_lead_to_files(readme: str) -> None:
    """Every relative link leads to a file of the project."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", text_of(readme))

    assert targets
    assert [target for target in targets if not Path(ROOT, target).exists()] == []


@pytest.mark.parametrize("readme", READMES)
def test_make_targets_exist(readme: str) -> None:
    """Every make command of the README is a target of the Makefile."""
    commands = [line.split()[:2] for block in blocks(readme, "sh") for line in block.splitlines() if "make" in line]
    targets = [command[1] for command in commands if command and command[0] == "make"]

    assert set(targets) == {"demo", "run", "test", "check"}
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_python_example_prints_an_answer(readme: str, kimi: EmulatorControl, gateway: Server) -> None:
    """The client example prints the streamed answer."""
    account = kimi.account()
    kimi.plan({"text": "A streamed answer."}, account=account.name)
    program, *_ = blocks(readme, "python")
    program = program.replace(BASE, gateway.url).replace("YOUR_KIMI_TOKEN", account.access_token)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("A streamed answer.", "")


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_curl_example_gets_an_answer(readme: str, kimi: EmulatorControl, gateway: Server) -> None:
    """The curl example gets a whole answer."""
    account = kimi.account()
    kimi.plan({"text": "A whole answer."}, account=account.name)
    command, _ = (block for block in blocks(readme, "sh") if block.startswith("curl "))

    assert '"content":"A whole answer."' in run_curl(command, account, gateway)


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_python_example_sends_a_report_and_a_photo(
    readme: str, kimi: EmulatorControl, gateway: Server, tmp_path: Path
) -> None:
    """The example uploads a PDF and a photo that lie beside it; both reach Kimi as they are."""
    account = kimi.account()
    kimi.plan({"text": "It does."}, account=account.name)
    (tmp_path / "report.pdf").write_bytes(PDF)
    (tmp_path / "photo.jpg").write_bytes(PHOTO)
    program = blocks(readme, "python")[1]
    program = program.replace(BASE, gateway.url).replace("YOUR_KIMI_TOKEN", account.access_token)

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("It does.\n", "")
    assert held(kimi, account) == [("report.pdf", digest(PDF), 1), (f"image-{digest(PHOTO)[:8]}.jpg", digest(PHOTO), 1)]


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_python_example_runs_a_tool(readme: str, kimi: EmulatorControl, gateway: Server) -> None:
    """The example runs the tool that the model calls, and prints what the model makes of its result."""
    account = kimi.account()
    call = {"name": "weather", "arguments": {"city": "Oslo"}}
    kimi.plan({"act": {"calls": [call]}}, {"act": {"say": "Yes: {{result}}."}}, account=account.name)
    program = blocks(readme, "python")[2].replace(BASE, gateway.url).replace("YOUR_KIMI_TOKEN", account.access_token)

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert done.stdout in {"Yes: Rain in Oslo.\n", "Yes: Oslo 有雨.\n"}


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_curl_example_sends_a_document_by_its_url(readme: str, kimi: EmulatorControl, gateway: Server) -> None:
    """The example has the gateway fetch a PDF from where its URL leads."""
    account = kimi.account()
    kimi.plan({"text": "In short: yes."}, account=account.name)
    _, command = (block for block in blocks(readme, "sh") if block.startswith("curl "))

    with site(PDF) as address:
        said = run_curl(command.replace("https://example.com", address), account, gateway)

    assert '"content":"In short: yes."' in said
    assert held(kimi, account) == [("report.pdf", digest(PDF), 1)]


@pytest.mark.e2e
@pytest.mark.parametrize("readme", READMES)
def test_doctor_examines_a_token(readme: str, kimi: EmulatorControl, tmp_path: Path) -> None:
    """The doctor's command finds a good token good."""
    (command,) = (block for block in blocks(readme, "sh") if "doctor" in block)
    command = command.replace("YOUR_KIMI_TOKEN", kimi.account().refresh_token)
    command = command.replace(".venv/bin/flask", f"'{sys.executable}' -m flask")
    hosts = {"KIMI_WEB_URL": kimi.base_url, "KIMI_AUTH_URL": kimi.base_url}
    environment = {**os.environ, **hosts, "DATABASE_PATH": str(tmp_path / "state.sqlite3")}

    done = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1].split()[-2:] == ["yes", "ok"]


@pytest.mark.e2e
def test_demo_shows_a_streamed_answer() -> None:
    """`make demo` ends well and shows an answer."""
    done = subprocess.run(["make", "demo"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "I am the emulator of Kimi" in done.stdout


@pytest.mark.e2e
def test_run_serves_without_configuration(tmp_path: Path) -> None:
    """`make run` serves with nothing set but the port, and ends when it is told to.

    Its state is kept elsewhere, because the one beside the program may be in use.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    state = tmp_path / "instance" / "state.sqlite3"
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin", "PORT": str(port)}
    environment["DATABASE_PATH"] = str(state)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(["make", "run"], cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        assert answer_of(f"http://127.0.0.1:{port}/ping", process) == b"pong", log.read_text()
    finally:
        process.terminate()
        process.wait(40)
    assert state.exists()


def answer_of(url: str, process: subprocess.Popen[bytes]) -> bytes:
    """Ask until something answers, for as long as the process lives and at most 30 s."""
    deadline = time.monotonic() + 30
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with opener.open(url, timeout=5) as response:
                body: bytes = response.read()
                return body
        except urllib.error.URLError:
            time.sleep(0.05)
    return b""
