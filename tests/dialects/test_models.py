"""GET /v1/models, in the shape of the vendor whose client asks."""

from __future__ import annotations

import json

import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from app.errors import TokenExpired
from config.models import ModelEntry
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeKimi, jwt

AUTHORIZED = {"Authorization": f"Bearer {CLIENT}"}
ANTHROPIC = {"x-api-key": CLIENT, "anthropic-version": "2023-06-01"}
OFFERED = (ModelEntry(scenario="SCENARIO_K3", key="k3"),)


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_list_holds_the_models_of_the_account(path: str) -> None:
    """As the vendor's SDK reads it."""
    client = Front(FakeKimi(models=OFFERED)).client()
    response = client.get(path, headers=AUTHORIZED)
    answer = response.get_json()
    assert answer["object"] == "list"
    models = [Model.model_validate(item, strict=True) for item in answer["data"]]
    assert {"kimi", "kimi-k3"} <= {model.id for model in models}
    assert "kimi-k2.5" not in {model.id for model in models}
    assert "request-id" not in response.headers


@pytest.mark.parametrize("path", ["/v1/models/gpt-4o", "/models/gpt-4o", "/v1/models/a/b"])
def test_any_model_is_there(path: str) -> None:
    """No request is refused for its model's name."""
    answer = Front(FakeKimi()).client().get(path, headers=AUTHORIZED).get_json()
    assert Model.model_validate(answer, strict=True).id == path.removeprefix("/v1").removeprefix("/models/")


@pytest.mark.parametrize("path", ["/v1/models?limit=1000", "/models?limit=1000", "/v1/v1/models?limit=1000"])
def test_anthropic_s_clients_get_the_same_list_in_their_shape(path: str) -> None:
    """Their version header tells; the request's id is where their SDK looks for it."""
    client = Front(FakeKimi(models=OFFERED)).client()
    response = client.get(path, headers=ANTHROPIC)
    answer = response.get_json()
    models = [ModelInfo.model_validate_json(json.dumps(item), strict=True) for item in answer["data"]]
    names = [item["id"] for item in client.get("/v1/models", headers=AUTHORIZED).get_json()["data"]]
    assert [model.id for model in models] == names
    assert [answer["has_more"], answer["first_id"], answer["last_id"]] == [False, names[0], names[-1]]
    assert response.headers["request-id"] == response.headers["x-request-id"]


def test_anthropic_s_clients_go_through_the_list_by_pages() -> None:
    """As many to a page as they ask for."""
    client = Front(FakeKimi()).client()
    answer = client.get("/v1/models?limit=2&after_id=kimi", headers=ANTHROPIC).get_json()
    assert [item["id"] for item in answer["data"]] == ["kimi-thinking", "kimi-search"]
    assert answer["has_more"] is True
    refusal = client.get("/v1/models?limit=0", headers=ANTHROPIC)
    assert [refusal.status_code, refusal.get_json()["error"]["param"]] == [400, "limit"]


@pytest.mark.parametrize("path", ["/v1/models/claude-sonnet-4-5", "/models/a/b"])
def test_any_model_is_there_for_anthropic_s_clients(path: str) -> None:
    """In their shape."""
    answer = Front(FakeKimi()).client().get(path, headers=ANTHROPIC).get_json()
    assert ModelInfo.model_validate_json(json.dumps(answer), strict=True).id == path.rpartition("models/")[2]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/kimi"])
def test_the_models_are_for_those_with_a_credential(path: str) -> None:
    """Clients check their key with it."""
    response = Front(FakeKimi()).client().get(path)
    assert [response.status_code, response.get_json()["error"]["code"]] == [401, "missing_api_key"]


def test_a_refusal_is_in_the_shape_of_the_vendor() -> None:
    """Anthropic's clients read the type of the error."""
    response = Front(FakeKimi()).client().get("/v1/models", headers={"anthropic-version": "2023-06-01"})
    assert [response.status_code, response.get_json()["error"]["type"]] == [401, "authentication_error"]
    assert response.headers["request-id"] == response.get_json()["request_id"]


def test_a_dead_token_is_told() -> None:
    """With the status of its error."""
    client = Front(FakeKimi(), refusal=TokenExpired("no")).client()
    response = client.get("/v1/models", headers={"Authorization": f"Bearer {jwt(typ='refresh')}"})
    assert [response.status_code, response.get_json()["error"]["code"]] == [401, "token_expired"]
