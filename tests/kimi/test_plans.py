"""From a public model name to what each protocol is asked for."""

from __future__ import annotations

import itertools
from typing import Any, Final

import pytest

from app.chat.request import ChatRequest, Effort, Message, Role
from app.kimi.connect import ConnectPlan, available_models
from app.kimi.plans import connect_plan, rest_plan
from app.kimi.rest import RestPlan
from config.models import ModelEntry, load_models
from tests.kimi.answers import json_answer
from tests.kimi.streams import capture

TABLE: Final = load_models()
K1_AGENT: Final = "crm40ee9e5jvhsn7ptcg"
AGENT: Final = "cn9cs5ajmbmts4m7t56g"
NONE, LOW, MEDIUM, HIGH, MAX = (f"REASONING_EFFORT_{effort}" for effort in ("NONE", "LOW", "MEDIUM", "HIGH", "MAX"))


def request(name: str, *, search: bool | None = None, effort: Effort | None = None) -> ChatRequest:
    """A request for a model."""
    return ChatRequest(model=name, messages=(Message.of(Role.USER, "Hi"),), use_search=search, effort=effort)


def connect(
    name: str,
    offered: tuple[ModelEntry, ...] = (),
    *,
    search: bool | None = None,
    effort: Effort | None = None,
) -> ConnectPlan:
    """How the Connect protocol is asked for a model."""
    return connect_plan(request(name, search=search, effort=effort), TABLE.choose(name), TABLE, offered)


def legacy(name: str, *, search: bool | None = None, effort: Effort | None = None) -> RestPlan:
    """How the legacy site is asked for a model."""
    return rest_plan(request(name, search=search, effort=effort), TABLE.choose(name), TABLE)


def captured() -> tuple[ModelEntry, ...]:
    """The models of kimi.ai in September 2026."""
    (row,) = [row for row in capture("02") if row["step"] == "models"]
    return available_models(json_answer(row["response"]))


CAPTURED: Final = captured()


# --- Without a list ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", ConnectPlan("SCENARIO_K2D5")),
        ("kimi-thinking", ConnectPlan("SCENARIO_K2D5", thinking=True)),
        ("kimi-k1", ConnectPlan("SCENARIO_K2D5", thinking=True)),
        ("kimi-math", ConnectPlan("SCENARIO_K2D5", thinking=True)),
        ("kimi-search", ConnectPlan("SCENARIO_K2D5", tools=("TOOL_TYPE_SEARCH",))),
        ("kimi-silent", ConnectPlan("SCENARIO_K2D5")),
        ("kimi-k2", ConnectPlan("SCENARIO_K2")),
        ("kimi-k2.5-thinking", ConnectPlan("SCENARIO_K2D5", thinking=True)),
        ("kimi-k2.6", ConnectPlan("SCENARIO_K2D5")),
        ("kimi-k3", ConnectPlan("SCENARIO_K3", thinking=True, effort=HIGH)),
        ("kimi-k3-search", ConnectPlan("SCENARIO_K3", thinking=True, effort=HIGH, tools=("TOOL_TYPE_SEARCH",))),
        (
            "kimi-research",
            ConnectPlan("SCENARIO_OK_COMPUTER", kimiplus_id="deep-researcher", tools=("TOOL_TYPE_ASK_USER",)),
        ),
        (
            "kimi-search-research",
            ConnectPlan(
                "SCENARIO_OK_COMPUTER",
                kimiplus_id="deep-researcher",
                tools=("TOOL_TYPE_SEARCH", "TOOL_TYPE_ASK_USER"),
            ),
        ),
        (AGENT, ConnectPlan("SCENARIO_K2D5", kimiplus_id=AGENT)),
        ("gpt-4o", ConnectPlan("SCENARIO_K2D5")),
        ("claude-sonnet-4-5", ConnectPlan("SCENARIO_K2D5")),
    ],
)
def test_static_plans(name: str, expected: ConnectPlan) -> None:
    """Without the site's list a name is asked for by the static table."""
    assert expected == connect(name)


# --- With the site's list --------------------------------------------------------------------------------


INSTANT: Final = ConnectPlan("SCENARIO_CHAT", model="k2d6-chat", effort=NONE)
THINKING: Final = ConnectPlan("SCENARIO_CHAT", model="k2d6-chat", thinking=True, effort=LOW)
K3: Final[dict[str, Any]] = {
    "model": "k3-agent",
    "kimiplus_id": "ok-computer",
    "agent_mode": "TYPE_NORMAL",
    "thinking": True,
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", INSTANT),
        ("kimi-thinking", THINKING),
        ("kimi-k2.6", INSTANT),
        ("kimi-k2.6-thinking", THINKING),
        ("kimi-k2", INSTANT),
        ("kimi-k2.5", ConnectPlan("SCENARIO_K2D5")),
        ("kimi-k2.5-thinking", ConnectPlan("SCENARIO_K2D5", thinking=True)),
        ("kimi-k3", ConnectPlan("SCENARIO_OK_COMPUTER", effort=HIGH, **K3)),
        ("unknown-model", INSTANT),
    ],
)
def test_plans_by_the_captured_list(name: str, expected: ConnectPlan) -> None:
    """The site's own list wins; what it does not offer is asked for by the static table."""
    assert expected == connect(name, CAPTURED)


def test_kimi_plus_agent_by_the_captured_list() -> None:
    """A Kimi+ agent is asked for under its own id, on the default model."""
    plan = connect(AGENT, CAPTURED)
    assert (plan.scenario, plan.kimiplus_id, plan.model) == ("SCENARIO_CHAT", AGENT, "k2d6-chat")


@pytest.mark.parametrize(
    ("effort", "expected"),
    [
        (Effort.NONE, (False, NONE)),
        (Effort.LOW, (True, LOW)),
        (Effort.MEDIUM, (True, LOW)),
        (Effort.HIGH, (True, LOW)),
        (Effort.MAX, (True, LOW)),
        (None, (False, NONE)),
    ],
)
def test_effort_where_thinking_can_be_off(effort: Effort | None, expected: tuple[bool, str]) -> None:
    """An effort turns thinking on or off; one that is not offered becomes the model's own."""
    plan = connect("kimi", CAPTURED, effort=effort)
    assert expected == (plan.thinking, plan.effort)


@pytest.mark.parametrize(
    ("effort", "expected"),
    [
        (Effort.NONE, HIGH),
        (Effort.LOW, LOW),
        (Effort.MEDIUM, HIGH),
        (Effort.HIGH, HIGH),
        (Effort.MAX, MAX),
        (None, HIGH),
    ],
)
@pytest.mark.parametrize("offered", [CAPTURED, ()], ids=["offered", "static"])
def test_effort_where_thinking_is_always_on(
    offered: tuple[ModelEntry, ...], effort: Effort | None, expected: str
) -> None:
    """K3 has no off switch: it thinks, by the effort asked for or its own."""
    plan = connect("kimi-k3", offered, effort=effort)
    assert (plan.thinking, plan.effort) == (True, expected)


def test_effort_wins_over_the_name() -> None:
    """A request's own effort says more than the words of its model."""
    assert connect("kimi-thinking", CAPTURED, effort=Effort.NONE) == INSTANT
    assert connect("kimi", effort=Effort.LOW) == ConnectPlan("SCENARIO_K2D5", thinking=True)


def test_thinking_without_a_default_effort() -> None:
    """Where the site names no default, its first effort is taken."""
    entry = ModelEntry("S", key="k3", efforts=(NONE, MEDIUM, HIGH))
    assert connect("kimi-k3-thinking", (entry,)).effort == MEDIUM


@pytest.mark.parametrize(("name", "model"), [("kimi", "instant"), ("kimi-thinking", "thinker")])
def test_thinking_as_two_models(name: str, model: str) -> None:
    """Where the site lists the switch as two models, the one is taken that is as wanted."""
    offered = (
        ModelEntry("S", key="a", model="instant", thinking=False),
        ModelEntry("S", key="b", model="thinker", thinking=True),
    )
    plan = connect(name, offered)
    assert (plan.model, plan.thinking) == (model, name == "kimi-thinking")


def test_effort_chooses_between_two_models() -> None:
    """The request's own effort chooses among the two like a word in the name."""
    offered = (
        ModelEntry("S", key="a", model="instant", thinking=False),
        ModelEntry("S", key="b", model="thinker", thinking=True),
    )
    assert connect("kimi", offered, effort=Effort.HIGH).model == "thinker"
    assert connect("kimi-thinking", offered, effort=Effort.NONE).model == "instant"


def test_offered_researcher() -> None:
    """Deep research takes the site's own entry, wherever it moves."""
    entry = ModelEntry("SCENARIO_NEW", kimiplus_id="deep-researcher", model="m", agent_mode="TYPE_NORMAL")
    assert connect("kimi-research", (*CAPTURED, entry)) == ConnectPlan(
        "SCENARIO_NEW",
        model="m",
        kimiplus_id="deep-researcher",
        agent_mode="TYPE_NORMAL",
        tools=("TOOL_TYPE_ASK_USER",),
    )


# --- Search --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "search", "expected"),
    [
        ("kimi", None, False),
        ("kimi-search", None, True),
        ("kimi", True, True),
        ("kimi-search", False, False),
        ("kimi-search-silent", None, True),
    ],
)
def test_search(name: str, search: bool | None, expected: bool) -> None:  # noqa: FBT001
    """A request's own word on search says more than its model's name, on both protocols."""
    assert expected == ("TOOL_TYPE_SEARCH" in connect(name, search=search).tools)
    assert expected == legacy(name, search=search).use_search


# --- The legacy site -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", RestPlan()),
        ("kimi-search", RestPlan(use_search=True)),
        ("kimi-research", RestPlan(use_research=True)),
        ("kimi-math", RestPlan(use_math=True)),
        ("kimi-silent", RestPlan()),
        ("kimi-k1", RestPlan(kimiplus_id=K1_AGENT, model="k1")),
        ("kimi-thinking", RestPlan()),
        ("kimi-k2.5-search", RestPlan(use_search=True)),
        (AGENT, RestPlan(kimiplus_id=AGENT)),
        ("gpt-4o", RestPlan()),
    ],
)
def test_legacy_plans(name: str, expected: RestPlan) -> None:
    """The legacy site is asked by its switches."""
    assert expected == legacy(name)


@pytest.mark.parametrize("words", list(itertools.permutations(["k1", "search", "math", "silent"])))
def test_words_in_any_order(words: tuple[str, ...]) -> None:
    """The order of the words does not matter."""
    name = "-".join(["kimi", *words])
    assert legacy(name) == RestPlan(kimiplus_id=K1_AGENT, model="k1", use_search=True, use_math=True)
    assert connect(name) == ConnectPlan("SCENARIO_K2D5", thinking=True, tools=("TOOL_TYPE_SEARCH",))
