"""For those who run the service."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from flask import Flask

from app import operations
from app.state.redis import RedisStore
from app.state.sqlite import MEMORY
from app.state.state import State, open_state
from app.state.store import StateUnavailable


def application(*, draining: bool = False, state: State | None = None) -> Flask:
    """The probes of a worker."""
    app = Flask(__name__)
    app.extensions["is_draining"] = lambda: draining
    app.register_blueprint(operations.blueprint(app, state or open_state(MEMORY)))
    return app


def test_ping_is_answered_as_the_seed_did() -> None:
    """In plain text."""
    response = application().test_client().get("/ping")
    assert [response.status_code, response.text] == [200, "pong"]
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_somebody_is_there(method: str) -> None:
    """Claude Code asks so before anything else, without credentials."""
    response = application().test_client().open("/", method=method)
    assert [response.status_code, response.text] == [200, "" if method == "HEAD" else "kimi-gateway is running.\n"]


@pytest.mark.parametrize("draining", [True, False])
def test_a_worker_that_answers_is_alive(*, draining: bool) -> None:
    """Also while it ends: killing it would cut its streams."""
    response = application(draining=draining).test_client().get("/healthz")
    assert [response.status_code, response.get_json()] == [200, {"status": "ok"}]


@pytest.mark.parametrize(("draining", "status", "word"), [(False, 200, "ready"), (True, 503, "draining")])
def test_a_worker_that_ends_is_not_ready(*, draining: bool, status: int, word: str) -> None:
    """The balancer sends new requests elsewhere."""
    response = application(draining=draining).test_client().get("/readyz")
    assert [response.status_code, response.get_json()["status"]] == [status, word]


def test_readiness_tells_where_state_is_kept(tmp_path: Path) -> None:
    """Its kind, and not its place."""
    told = application(state=open_state(str(tmp_path / "state.sqlite3"))).test_client().get("/readyz")
    assert told.get_json() == {"status": "ready", "state": "sqlite", "warnings": []}
    assert application().test_client().get("/readyz").get_json()["state"] == "memory"


def test_a_database_that_cannot_be_written_is_no_reason_not_to_be_ready(tmp_path: Path) -> None:
    """The operator is warned: a restart forgets rotated tokens."""
    file = tmp_path / "file"
    file.touch()
    response = application(state=open_state(str(file / "state.sqlite3"))).test_client().get("/readyz")
    (warning,) = response.get_json()["warnings"]
    assert [response.status_code, response.get_json()["state"]] == [200, "memory"]
    assert "DATABASE_PATH" in warning
    assert str(tmp_path) not in response.text


def test_a_redis_that_is_away_is_no_reason_not_to_be_ready() -> None:
    """The machine goes on by itself; the warning ends with the outage."""
    state = open_state(MEMORY, "redis://:secret-password@127.0.0.1:1/0")
    client = application(state=state).test_client()
    assert client.get("/readyz").get_json() == {"status": "ready", "state": "redis", "warnings": []}
    with contextlib.suppress(StateUnavailable):
        next(store for store in state.stores if isinstance(store, RedisStore)).get(["a"])
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.get_json()["warnings"] == ["Redis does not answer: this machine goes on by itself."]
    assert "secret-password" not in response.text


@pytest.mark.parametrize("path", ["/ping", "/healthz", "/readyz"])
def test_probes_are_read_only(path: str) -> None:
    """HEAD is a look as well."""
    client = application().test_client()
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405
