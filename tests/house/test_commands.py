"""The commands, the locks and the tree that a fresh clone relies on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Dots are escaped, so this module is not a finding of its own.
REGISTRY_HOST = r"pypi\.org|pythonhosted\.org|npmjs\.org|yarnpkg\.com|crates\.io|deb\.debian\.org"
MACHINE_FOLDER = r"root|opt/wheels|opt/pypi|work/main|work/shared|home/[\w-]+|Users/[\w-]+"
FINDING = re.compile(rf"{REGISTRY_HOST}|(?<![\w./])/(?:{MACHINE_FOLDER})(?![\w-])")
NOT_OURS = {".git", ".venv", "instance", "node_modules", "__pycache__", ".hypothesis"}
NOT_OURS |= {".mypy_cache", ".pytest_cache", ".ruff_cache"}

Lock = dict[str, tuple[str, frozenset[str]]]


def read_lock(name: str) -> Lock:
    """Project name → version and hashes, refusing any line that is not a pinned requirement."""
    text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    lock: Lock = {}
    for line in lines:
        pin = re.match(r"([a-z0-9-]+)==([\w.]+) (?:; [^-]+? )?((?:--hash=sha256:[0-9a-f]{64} ?)+)$", line)
        assert pin, f"{name}: not a pinned, hashed requirement: {line[:80]}"
        lock[pin[1]] = (pin[2], frozenset(pin[3].split()))
    return lock


def wanted(name: str) -> list[str]:
    """List the projects that a `.in` file asks for."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return [re.sub(r"\[.*", "", line).lower() for line in lines if line and line[0] != "-"]


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command at the root, without what an outer make hands down."""
    kept = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}}
    return subprocess.run(command, cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False)


def tree() -> list[Path]:
    """List the files that are or may become part of a commit."""
    if not (ROOT / ".git").exists():  # an unpacked archive
        files = (p for p in ROOT.rglob("*") if not NOT_OURS.intersection(p.relative_to(ROOT).parts))
        return [path for path in files if path.is_file()]
    listed = run("git", "-c", "safe.directory=*", "ls-files", "-coz", "--exclude-standard")
    assert listed.returncode == 0, listed.stderr
    return [path for n in listed.stdout.split("\0") if n and (path := ROOT / n).is_file()]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_lock_is_pinned_and_hashed(name: str) -> None:
    """Every line of a lock is one project at one version with its hashes, and nothing else."""
    assert read_lock(name)


@pytest.mark.parametrize(
    "name", ["requirements", "requirements-dev", "requirements-clients", "requirements-instructor"]
)
def test_lock_holds_what_is_wanted(name: str) -> None:
    """Every project named in a `.in` file is in its lock."""
    assert set(wanted(f"{name}.in")) <= read_lock(f"{name}.txt").keys()


def test_locks_agree() -> None:
    """A project in both locks has the same version and hashes, so both install together."""
    runtime, dev = read_lock("requirements.txt"), read_lock("requirements-dev.txt")
    shared = runtime.keys() & dev.keys()
    assert {name: runtime[name] for name in shared} == {name: dev[name] for name in shared}


def test_architecture_tells_why_each_dependency_is_here() -> None:
    """Every runtime dependency is mentioned in docs/architecture.md."""
    text = (ROOT / "docs" / "architecture.md").read_text().lower()
    assert [name for name in wanted("requirements.in") if name not in text] == []


def test_tree_names_no_registry_and_no_machine() -> None:
    """No file of the tree names a package registry's host or a path of somebody's machine."""
    found = {}
    for path in tree():
        data = path.read_bytes()
        if b"\0" not in data and (match := FINDING.search(data.decode(errors="replace"))):
            found[str(path.relative_to(ROOT))] = match[0]
    assert found == {}


@pytest.mark.parametrize(
    ("target", "ends"),
    [
        ("demo", ".venv/bin/python scripts/demo.py"),
        ("test", ".venv/bin/python -m pytest -m alone -o testpaths=tests/e2e  || test $? = 5"),
        ("run", "exec .venv/bin/gunicorn -c gunicorn.conf.py wsgi:app"),
        ("check", '.venv/bin/python -m pytest -n auto -m "not e2e" -q'),
        ("test-clients", ".venv/bin/python -m pytest tests/agents"),
        ("bench", ".venv/bin/python -m benchmarks.toolcalls"),
    ],
)
def test_make_knows_its_commands(target: str, ends: str) -> None:
    """A dry run of the command succeeds and ends with the program that it is for."""
    dry = run("make", "-n", target)
    assert (dry.returncode, dry.stderr) == (0, "")
    assert dry.stdout.splitlines()[-1].strip() == ends


def test_make_alone_lists_the_commands() -> None:
    """`make` without a target lists every command for people with one line each."""
    listed = [line.split(maxsplit=2)[1] for line in run("make").stdout.splitlines()]
    assert listed == [
        *("help", "demo", "run", "test", "test-clients", "check", "lint", "format", "lock", "fuzz", "bench", "clean")
    ]


def test_server_starts_alike_everywhere() -> None:
    """Procfile and Dockerfile start the program that `make run` starts."""
    assert (ROOT / "Procfile").read_text() == "web: gunicorn -c gunicorn.conf.py wsgi:app\n"
    assert (ROOT / "Dockerfile").read_text().endswith('CMD ["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]\n')


def script(path: Path, body: str) -> None:
    """Write an executable shell script."""
    path.write_text(f"#!{shutil.which('sh')}\n{body}\n")
    path.chmod(0o755)


def test_bootstrap_passes_over_a_python_that_does_not_run(tmp_path: Path) -> None:
    """A shim that exists and fails is passed over, in a folder with spaces and with no HOME."""
    folder = tmp_path / "two words"
    folder.mkdir()
    script(folder / "python3.13", "echo 'command not found' >&2; exit 127")
    script(folder / "python3", f'exec "{sys.executable}" "$@"')
    sh = shutil.which("sh") or ""
    found = run(sh, "scripts/bootstrap", "find", PATH=str(folder), HOME="", PYTHON="")
    assert (found.stdout, found.stderr) == (f"{folder / 'python3'}\n", "")


def test_bootstrap_tells_how_to_get_a_python(tmp_path: Path) -> None:
    """Where no Python 3.11 runs, the error names the version and the command that brings one."""
    sh = shutil.which("sh") or ""
    found = run(sh, "scripts/bootstrap", "find", PATH=str(tmp_path), HOME="", PYENV_ROOT="", PYTHON="")
    assert found.returncode == 4
    assert "Python 3.11 or newer" in found.stderr
    assert "apt-get install" in found.stderr


def test_bootstrap_names_the_package_with_the_venv_module(tmp_path: Path) -> None:
    """On a Debian without python3-venv the error is the one line to run."""
    script(
        tmp_path / "python3",
        f'case "$*" in *ensurepip*) exit 1 ;; esac; exec "{sys.executable}" "$@"',
    )
    sh = shutil.which("sh") or ""
    found = run(sh, "scripts/bootstrap", "find", PATH=str(tmp_path), HOME="", PYENV_ROOT="", PYTHON="")
    assert found.returncode == 3
    assert f"apt-get install -y python3.{sys.version_info.minor}-venv" in found.stderr
