"""The walls of the house: who may import what, who owns a library, how long and how named things are.

The floors are those of docs/architecture.md. The checks read source text only, so that they can be shown to catch
what they are for.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FLOORS = {
    "app.errors": 0,
    "app.chat": 0,
    "app.background": 0,
    "app.observability": 1,
    "app.state": 1,
    "app.offload": 1,
    "app.toolcalls": 1,
    "app.kimi": 2,
    "app.accounts": 2,
    "app.attachments": 2,
    "app.conversations": 2,
    "app.gateway": 3,
    "app.dialects": 4,
    "app.operations": 4,
    "app.doctor": 4,
    "app.services": 5,
    "app": 5,
}
"""A room may import itself and rooms of lower floors."""

DOWNWARD = {"app.chat": {"app.errors"}, "app": {"app.services"}}
"""Within a floor, what may be imported all the same."""

OUT_OF_REACH = {
    "app": {"emulator", "scripts", "tests"},
    "config": {"app", "emulator", "scripts", "tests"},
    "emulator": {"app", "config", "scripts", "tests"},
}
"""What a tree may not import at all."""

OWNERS = {
    "flask": ("app", "app.dialects.*", "app.operations", "app.observability.hooks"),
    "werkzeug": ("app.dialects.*",),
    "marshmallow": ("app.dialects.*", "config.settings"),
    "requests": ("app.kimi.transport", "app.kimi.transport_errors"),
    "urllib3": ("app.kimi.transport", "app.kimi.connect_files", "app.attachments.download"),
    "certifi": ("app.attachments.download",),
    "idna": ("app.attachments.guard",),
    "multipart": ("app.dialects.multipart",),
    "sseclient": ("app.kimi.framing",),
    "cachetools": ("app.accounts.*", "app.gateway.cleanup"),
    "click": ("app.doctor",),
    "cryptography": ("app.accounts.seal",),
    "redis": ("app.state.redis",),
    "gunicorn": ("app.dialects.errors", "gunicorn.conf"),
    "gevent": ("app.dialects.hangup", "app.offload", "gunicorn.conf"),
    "jsonschema": ("app.toolcalls.*",),
    "referencing": ("app.toolcalls.*",),
    "regex": ("app.toolcalls.*",),
    "orjson": ("app.kimi.json", "app.dialects.*"),
}
"""Which modules may import a library."""

LOADERS = ("app", "gunicorn.conf")
"""Who may read the settings from the environment, by `config.settings.load`."""

ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.putenv", "os.getenvb", "os.unsetenv"}

MAX_FILE = 300
MAX_FUNCTION = 45
FORBIDDEN = {"manager", "handler", "helper", "util", "utils", "wrapper", "processor", "common"}
"""Words that say nothing; also with a plural s."""


def sources(*folders: str) -> dict[str, str]:
    """Module name → source text of all modules below these folders or files."""
    found: dict[str, str] = {}
    for folder in folders:
        path = ROOT / folder
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = file.read_text(encoding="utf-8")
    return found


OURS = sources("app", "config", "wsgi.py", "gunicorn.conf.py")


def imported(module: str, text: str, known: Iterable[str] = ()) -> Iterator[str]:
    """The dotted names that a module imports, absolute; `from a import b` is `a.b`."""
    package = {name.rpartition(".")[0] for name in known}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if module in package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def room(name: str) -> str | None:
    """The room of the house that a dotted name lies in; None for what is not of the house."""
    if name.partition(".")[0] != "app":
        return None
    fitting = [floor for floor in FLOORS if name == floor or name.startswith(floor + ".")]
    return max(fitting, key=len)


def matches(module: str, patterns: Iterable[str]) -> bool:
    """Whether a module is one of these; `a.*` is `a` and all below it."""
    return any(
        module == pattern or (pattern.endswith(".*") and f"{module}.".startswith(pattern[:-1])) for pattern in patterns
    )


def may_enter(own: str, target: str) -> bool:
    """Whether a room may import another."""
    return own == target or FLOORS[target] < FLOORS[own] or target in DOWNWARD.get(own, set())


def stray_floors(module: str, text: str) -> list[str]:
    """Imports that climb or cross: up a floor, sideways, or out of the house."""
    own = room(module)
    found: list[str] = []
    for name in imported(module, text, OURS):
        target = room(name)
        outside = name.partition(".")[0] in OUT_OF_REACH.get(module.partition(".")[0], set())
        if outside or (own is not None and target is not None and not may_enter(own, target)):
            found.append(name)
    return found


def stray_libraries(module: str, text: str) -> list[str]:
    """Imports of libraries that another module owns, or that nobody does."""
    own = room(module)
    found: list[str] = []
    for name in imported(module, text, OURS):
        top = name.partition(".")[0]
        if top in {"app", "config", "emulator", "tests", "scripts"} or top in sys.stdlib_module_names:
            continue
        if FLOORS.get(own or "") == 0 or not matches(module, OWNERS.get(top, ())):
            found.append(name)
    return found


def stray_settings(module: str, text: str) -> list[str]:
    """Uses of the environment, or of the function that reads it, in the wrong place."""
    uses = [*imported(module, text, OURS)]
    uses += [ast.unparse(node) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)]
    reads = [name for name in uses if name in ENVIRONMENT]
    loads = [name for name in uses if name in {"config.settings.load", "settings.load"}]
    return ([] if module == "config.settings" else reads) + ([] if matches(module, LOADERS) else loads)


def words(name: str) -> set[str]:
    """The words of an identifier or module name, in lower case and in the singular."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts} | {part.lower().removesuffix("s") for part in parts}


def bound(text: str) -> Iterator[str]:
    """The names that a module gives: classes, functions, arguments, variables, attributes, import aliases."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield name
            case _:
                pass


def empty_names(module: str, text: str) -> list[str]:
    """Names that hold a forbidden word, the module's own included."""
    return [name for name in [*module.split("."), *bound(text)] if words(name) & FORBIDDEN]


def long_functions(text: str) -> list[str]:
    """Functions over the limit, with their decorators."""
    return [
        f"{node.name}: {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - min([node.lineno, *(d.lineno for d in node.decorator_list)]) + 1)
        > MAX_FUNCTION
    ]


def has_something_to_test(text: str) -> bool:
    """Whether a module does anything: one of declarations only does not."""
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(ast.parse(text)))


def test_module(name: str) -> Path:
    """Where the tests of a module of `app` are."""
    *folders, last = name.split(".")[1:]
    return ROOT.joinpath("tests", *folders, f"test_{last}.py")


test_module.__test__ = False  # type: ignore[attr-defined] # pytest takes it for a test by its name


# --- The house as it stands --------------------------------------------------------------------------------


@pytest.mark.parametrize("module", OURS)
def test_imports_go_down(module: str) -> None:
    """Only strictly lower floors, or one's own room."""
    assert stray_floors(module, OURS[module]) == []


@pytest.mark.parametrize("module", sources("emulator"))
def test_the_emulator_shares_nothing(module: str) -> None:
    """A misunderstanding of the protocol must not cancel itself out."""
    assert stray_floors(module, sources("emulator")[module]) == []


@pytest.mark.parametrize("module", OURS)
def test_each_library_has_one_owner(module: str) -> None:
    """A library can be exchanged in one place."""
    assert stray_libraries(module, OURS[module]) == []


@pytest.mark.parametrize("module", OURS)
def test_the_environment_is_read_in_one_place(module: str) -> None:
    """All else gets frozen settings."""
    assert stray_settings(module, OURS[module]) == []


def test_every_module_lies_on_a_floor() -> None:
    """A new room is put on one knowingly: only the package itself may fall through to its top."""
    assert [name for name in OURS if room(name) == "app" and name != "app"] == []


@cache
def libraries(module: str) -> frozenset[str]:
    """The top-level names that a module of ours imports."""
    return frozenset(name.partition(".")[0] for name in imported(module, OURS[module], OURS))


def test_every_row_of_the_tables_is_in_use() -> None:
    """A room or an owner that has moved away takes its row along: a left one would let somebody in."""
    idle = [floor for floor in FLOORS if not any(name == floor or name.startswith(floor + ".") for name in OURS)]
    for library, owners in OWNERS.items():
        users = [module for module in OURS if library in libraries(module)]
        idle += [f"{library}: {owner}" for owner in owners if not any(matches(user, (owner,)) for user in users)]
    assert idle == []


@pytest.mark.parametrize("module", sources("app"))
def test_files_and_functions_are_short(module: str) -> None:
    """What is longer does more than one thing."""
    assert len(OURS[module].splitlines()) <= MAX_FILE
    assert long_functions(OURS[module]) == []


@pytest.mark.parametrize("module", sources("app", "config"))
def test_names_say_something(module: str) -> None:
    """Names come from the field: frame, turn, lease, dialect, stage."""
    assert empty_names(module, OURS[module]) == []


@pytest.mark.parametrize("module", [name for name, text in sources("app").items() if has_something_to_test(text)])
def test_every_module_has_its_tests(module: str) -> None:
    """In the same place below tests/; packages and mere declarations excepted."""
    is_package = (ROOT / module.replace(".", "/") / "__init__.py").exists()
    assert is_package or test_module(module).exists()


@pytest.mark.parametrize("module", sources("app"))
def test_nothing_asks_which_conversations_there_are(module: str) -> None:
    """What a person began by hand is safe, because no code could find it (protocol.md A3, B11)."""
    assert re.findall(r"ListChats|ListFeeds|chat/list|GetChatShare", OURS[module]) == []


# --- The checks themselves ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "text", "stray"),
    [
        ("app.chat.events", "from app.kimi import rest", ["app.kimi.rest"]),
        ("app.chat.events", "from app.errors import GatewayError", []),
        ("app.errors", "from app.chat.events import Event", ["app.chat.events.Event"]),
        ("app.chat.events", "from app.observability import log", ["app.observability.log"]),
        ("app.kimi.client", "import app.accounts.tokens", ["app.accounts.tokens"]),
        ("app.accounts.tokens", "from app.kimi.client import KimiClient", ["app.kimi.client.KimiClient"]),
        ("app.accounts.tokens", "def f():\n    from app import gateway", ["app.gateway"]),
        ("app.accounts.pool", "from app.conversations.ledger import Ledger", ["app.conversations.ledger.Ledger"]),
        ("app.conversations.ledger", "from app.accounts import pool", ["app.accounts.pool"]),
        ("app.conversations.continuity", "import app.kimi.exchange", ["app.kimi.exchange"]),
        ("app.kimi.exchange", "from app.conversations.history import known", ["app.conversations.history.known"]),
        ("app.kimi.exchange", "from app.chat.request import Continuation", []),
        ("app.conversations.ledger", "from app.state.store import Store", []),
        ("app.state.store", "from app.observability import log", ["app.observability.log"]),
        ("app.state.sqlite", "from .store import Store", []),
        ("app.observability.record", "from app.state.state import State", ["app.state.state.State"]),
        ("app.gateway.gateway", "from app.dialects import sse", ["app.dialects.sse"]),
        ("app.gateway.gateway", "from app.kimi.client import KimiClient", []),
        ("app.gateway.gateway", "from .custody import Custody", []),
        ("app.doctor", "from app.gateway.diagnosis import Diagnosis", []),
        ("app.doctor", "from app.operations import blueprint", ["app.operations.blueprint"]),
        ("app.dialects.token", "from app import doctor", ["app.doctor"]),
        ("app.dialects.models", "from app.operations import blueprint", ["app.operations.blueprint"]),
        ("app.dialects.models", "from app import services", ["app.services"]),
        ("app.services", "from app import create_app", ["app.create_app"]),
        ("app", "from app import services", []),
        ("app.attachments.intake", "from app.chat.content import Content", []),
        ("app.attachments.shelf", "from app.state.book import Book", []),
        ("app.attachments.uploads", "from app.kimi.storage import Storage", ["app.kimi.storage.Storage"]),
        ("app.kimi.storage", "from app.attachments.intake import Spool", ["app.attachments.intake.Spool"]),
        (
            "app.attachments.shelf",
            "from app.accounts.credentials import Credential",
            ["app.accounts.credentials.Credential"],
        ),
        ("app.attachments.guard", "from app.dialects import body", ["app.dialects.body"]),
        ("app.dialects.files", "from app.attachments.intake import checked_name", []),
        ("app.dialects.body", "from app.offload import Offload", []),
        ("app.offload", "from app.dialects import body", ["app.dialects.body"]),
        ("app.toolcalls.parser", "from app.chat.events import Event", []),
        ("app.toolcalls.parser", "from app.kimi.turn import merge", ["app.kimi.turn.merge"]),
        ("app.toolcalls.parser", "from app.offload import Offload", ["app.offload.Offload"]),
        ("app.chat.stages", "from app.toolcalls.marks import Marks", ["app.toolcalls.marks.Marks"]),
        ("app.kimi.turn", "from app.toolcalls.prompt import Guide", []),
        ("app.state.book", "from app.offload import Offload", ["app.offload.Offload"]),
        ("app.dialects.openai_chat.routes", "from .encoder import ChatEncoder", []),
        ("app.dialects.openai_chat.routes", "from ...gateway.gateway import Gateway", []),
        ("app.kimi.client", "from ..gateway.gateway import Gateway", ["app.gateway.gateway.Gateway"]),
        ("app.kimi", "from .client import KimiClient", []),
        ("app.kimi.client", "from tests.fakes import jwt", ["tests.fakes.jwt"]),
        ("app.kimi.client", "import emulator", ["emulator"]),
        ("app.kimi.client", "from config.models import ModelTable", []),
        ("config.models", "from app.errors import GatewayError", ["app.errors.GatewayError"]),
        ("emulator.server", "from app.errors import GatewayError", ["app.errors.GatewayError"]),
        ("emulator.server", "from config import VERSION", ["config.VERSION"]),
        ("emulator.server", "from emulator.site import Site", []),
    ],
)
def test_a_stray_import_is_caught(module: str, text: str, stray: list[str]) -> None:
    """Wherever it stands, and however it is written."""
    assert stray_floors(module, text) == stray


@pytest.mark.parametrize(
    ("module", "text", "stray"),
    [
        ("app.dialects.models", "from flask import Flask", []),
        ("app.gateway.gateway", "import flask", ["flask"]),
        ("app.gateway.cleanup", "from cachetools import LRUCache", []),
        ("app.gateway.gateway", "from cachetools import LRUCache", ["cachetools.LRUCache"]),
        ("app.state.redis", "import redis", []),
        ("app.state.state", "import redis.asyncio", ["redis.asyncio"]),
        ("app.accounts.seal", "from cryptography.exceptions import InvalidTag", []),
        (
            "app.accounts.vault",
            "from cryptography.exceptions import InvalidTag",
            ["cryptography.exceptions.InvalidTag"],
        ),
        ("app.accounts.tokens", "import cryptography", ["cryptography"]),
        ("app.doctor", "import click", []),
        ("app", "import click", ["click"]),
        ("app.observability.hooks", "from flask import g", []),
        ("app.observability.log", "from flask import g", ["flask.g"]),
        ("app.kimi.client", "import requests.adapters", ["requests.adapters"]),
        ("app.kimi.transport", "import requests, urllib3", []),
        ("app.attachments.download", "import urllib3, certifi", []),
        ("app.attachments.download", "import requests", ["requests"]),
        ("app.attachments.guard", "import idna", []),
        ("app.attachments.guard", "import urllib3", ["urllib3"]),
        ("app.dialects.multipart", "from multipart import PushMultipartParser", []),
        ("app.dialects.files", "from multipart import parse_form_data", ["multipart.parse_form_data"]),
        ("app.gateway.enclosures", "from werkzeug.utils import secure_filename", ["werkzeug.utils.secure_filename"]),
        ("app.offload", "from gevent.threadpool import ThreadPool", []),
        ("app.chat.content", "from gevent.threadpool import ThreadPool", ["gevent.threadpool.ThreadPool"]),
        ("app.chat.events", "import orjson", ["orjson"]),
        ("app.toolcalls.patterns", "import regex", []),
        ("app.gateway.chain", "import jsonschema", ["jsonschema"]),
        ("app.kimi.framing", "import numpy", ["numpy"]),
        ("app.dialects.pump", "import gevent", ["gevent"]),
        ("app.dialectsx", "import flask", ["flask"]),
        ("gunicorn.conf", "from gevent import monkey", []),
        ("app.accounts.tokens", "import hmac, threading", []),
    ],
)
def test_a_stray_library_is_caught(module: str, text: str, stray: list[str]) -> None:
    """Only its owner imports it; one without an owner is nobody's."""
    assert stray_libraries(module, text) == stray


@pytest.mark.parametrize(
    ("module", "text", "stray"),
    [
        ("app.gateway.gateway", "import os\nos.environ['A']", ["os.environ"]),
        ("app.gateway.gateway", "import os\nos.getenv('A')", ["os.getenv"]),
        ("app.gateway.gateway", "from os import environ", ["os.environ"]),
        ("config.settings", "import os\nos.environ", []),
        ("app.gateway.gateway", "import os\nos.path.join('a')", []),
        ("app.services", "from config.settings import Settings, load", ["config.settings.load"]),
        ("app.services", "from config import settings\nsettings.load()", ["settings.load"]),
        ("app", "from config.settings import load", []),
        ("gunicorn.conf", "from config.settings import load", []),
    ],
)
def test_a_stray_look_at_the_environment_is_caught(module: str, text: str, stray: list[str]) -> None:
    """By any of its names."""
    assert stray_settings(module, text) == stray


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("class SessionManager: pass", ["SessionManager"]),
        ("def url_helper(): pass", ["url_helper"]),
        ("def f(handlers): pass", ["handlers"]),
        ("utils = 1", ["utils"]),
        ("self.wrapper = 1", ["wrapper"]),
        ("import a as common", ["common"]),
        ("class HTTPHandler: pass", ["HTTPHandler"]),
        ("logging.StreamHandler()", []),
        ("def init_poolmanager(): pass", []),
        ("commonly = uncommon = 1", []),
    ],
)
def test_an_empty_name_is_caught(text: str, names: list[str]) -> None:
    """Only where it is given: other people's names are theirs."""
    assert empty_names("app.x", text) == names


def test_an_empty_module_name_is_caught() -> None:
    """A file has a name too."""
    assert empty_names("app.kimi.utils", "") == ["utils"]


def test_a_long_function_is_caught() -> None:
    """Counted from its first decorator to its last line."""
    body = "    pass\n"
    assert long_functions("@d\ndef f():\n" + body * 43) == []
    assert long_functions("@d\ndef f():\n" + body * 44) == ["f: 46 lines"]


def test_a_test_module_has_the_place_of_its_source() -> None:
    """Folder by folder."""
    assert test_module("app.kimi.connect") == ROOT / "tests" / "kimi" / "test_connect.py"
    assert test_module("app.gateway.cleanup") == ROOT / "tests" / "gateway" / "test_cleanup.py"
    assert test_module("app.errors") == ROOT / "tests" / "test_errors.py"


def test_declarations_need_no_tests() -> None:
    """There is nothing that runs."""
    assert not has_something_to_test("class A:\n    b: int")
    assert has_something_to_test("class A:\n    def f(self): pass")
