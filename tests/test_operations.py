"""For those who run the service."""

from __future__ import annotations

import pytest
from flask import Flask

from app import operations


def application(*, draining: bool = False) -> Flask:
    """The probes of a worker."""
    app = Flask(__name__)
    app.extensions["is_draining"] = lambda: draining
    app.register_blueprint(operations.blueprint(app))
    return app


def test_ping_is_answered_as_the_seed_did() -> None:
    """In plain text."""
    response = application().test_client().get("/ping")
    assert [response.status_code, response.text] == [200, "pong"]
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("draining", [True, False])
def test_a_worker_that_answers_is_alive(*, draining: bool) -> None:
    """Also while it ends: killing it would cut its streams."""
    response = application(draining=draining).test_client().get("/healthz")
    assert [response.status_code, response.get_json()] == [200, {"status": "ok"}]


@pytest.mark.parametrize(("draining", "status", "word"), [(False, 200, "ready"), (True, 503, "draining")])
def test_a_worker_that_ends_is_not_ready(*, draining: bool, status: int, word: str) -> None:
    """The balancer sends new requests elsewhere."""
    response = application(draining=draining).test_client().get("/readyz")
    assert [response.status_code, response.get_json()] == [status, {"status": word}]


@pytest.mark.parametrize("path", ["/ping", "/healthz", "/readyz"])
def test_probes_are_read_only(path: str) -> None:
    """HEAD is a look as well."""
    client = application().test_client()
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405
