"""GET /v1/models in OpenAI's shape."""

from __future__ import annotations

import pytest
from openai.types import Model

from app.errors import TokenExpired
from config.models import ModelEntry
from tests.dialects.houses import CLIENT, Front
from tests.fakes import FakeKimi, jwt

AUTHORIZED = {"Authorization": f"Bearer {CLIENT}"}
OFFERED = (ModelEntry(scenario="SCENARIO_K3", key="k3"),)


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_the_list_holds_the_models_of_the_account(path: str) -> None:
    """As the vendor's SDK reads it."""
    client = Front(FakeKimi(models=OFFERED)).client()
    answer = client.get(path, headers=AUTHORIZED).get_json()
    assert answer["object"] == "list"
    models = [Model.model_validate(item, strict=True) for item in answer["data"]]
    assert {"kimi", "kimi-k3"} <= {model.id for model in models}
    assert "kimi-k2.5" not in {model.id for model in models}


@pytest.mark.parametrize("path", ["/v1/models/gpt-4o", "/models/gpt-4o", "/v1/models/a/b"])
def test_any_model_is_there(path: str) -> None:
    """No request is refused for its model's name."""
    answer = Front(FakeKimi()).client().get(path, headers=AUTHORIZED).get_json()
    assert Model.model_validate(answer, strict=True).id == path.removeprefix("/v1").removeprefix("/models/")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/kimi"])
def test_the_models_are_for_those_with_a_credential(path: str) -> None:
    """Clients check their key with it."""
    response = Front(FakeKimi()).client().get(path)
    assert [response.status_code, response.get_json()["error"]["code"]] == [401, "missing_api_key"]


def test_a_dead_token_is_told() -> None:
    """With the status of its error."""
    client = Front(FakeKimi(), refusal=TokenExpired("no")).client()
    response = client.get("/v1/models", headers={"Authorization": f"Bearer {jwt(typ='refresh')}"})
    assert [response.status_code, response.get_json()["error"]["code"]] == [401, "token_expired"]
