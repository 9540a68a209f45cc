"""Around every request: its id and its log line."""

from __future__ import annotations

import logging

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient

from app.observability import hooks
from app.observability.hooks import current_record


@pytest.fixture
def client() -> FlaskClient:
    """An application with the hooks and one route with a parameter."""
    app = Flask(__name__)
    hooks.install(app)

    @app.get("/things/<name>")
    def thing(name: str) -> Response:
        current_record().model = name
        return Response(iter([b"a", b"b"]))

    return app.test_client()


def line(caplog: pytest.LogCaptureFixture) -> dict[str, object]:
    """The fields of the one line about a request."""
    (record,) = [record for record in caplog.records if record.name == "kimi_gateway.request"]
    fields: dict[str, object] = record.__dict__["fields"]
    return fields


@pytest.mark.parametrize("given", ["abc", "a-b_c.d:e", "x" * 128])
def test_a_sane_request_id_is_kept(client: FlaskClient, given: str) -> None:
    """A client can find its request in the log."""
    assert client.get("/things/a", headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "é", 'a"b', "a;b"])
def test_another_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    """It ends up in the log and in a header."""
    assert len(client.get("/things/a", headers={"x-request-id": given}).headers["x-request-id"]) == 32


def test_ids_differ() -> None:
    """Also without a client that gives one."""
    app = Flask(__name__)
    hooks.install(app)
    ids = {app.test_client().get("/").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.fixture
def _all_records(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.usefixtures("_all_records")
def test_a_request_is_one_line_when_its_answer_is_over(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """Not when it begins: the body is still to come."""
    response = client.get("/things/a", headers={"x-request-id": "abc"}, buffered=False)
    assert caplog.records == []
    response.close()
    fields = line(caplog)
    duration = fields.pop("duration")
    assert isinstance(duration, float)
    assert fields == {"method": "GET", "route": "/things/<name>", "status": 200, "id": "abc", "model": "a"}


@pytest.mark.usefixtures("_all_records")
def test_an_unknown_path_is_not_written_down(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    """A client may have put a token there."""
    with client.get("/nothing/secret-token") as response:
        assert response.headers["x-request-id"]
    assert line(caplog)["route"] == "unknown"
    assert "secret-token" not in caplog.text
