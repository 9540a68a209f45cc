"""From a public model name to what each protocol is asked for; pure."""

from __future__ import annotations

from dataclasses import replace

from app.chat.request import ChatRequest, Effort
from app.kimi.connect import ConnectPlan
from app.kimi.rest import DEFAULT_AGENT, RestPlan
from config.models import ModelChoice, ModelEntry, ModelTable

_NO_EFFORT = "REASONING_EFFORT_NONE"
_EFFORTS = {effort: f"REASONING_EFFORT_{effort.name}" for effort in Effort}
_SEARCH = "TOOL_TYPE_SEARCH"
_ASK_USER = "TOOL_TYPE_ASK_USER"


def connect_plan(
    request: ChatRequest,
    choice: ModelChoice,
    table: ModelTable,
    offered: tuple[ModelEntry, ...],
) -> ConnectPlan:
    """How the Connect protocol is asked; `offered` are the models of the account, empty if not known."""
    wanted = _thinks(request, choice)
    entry = table.entry(replace(choice, thinking=wanted), offered)
    always = bool(entry.efforts) and _NO_EFFORT not in entry.efforts and entry.thinking is None
    thinking = entry.thinking if entry.thinking is not None else wanted or always
    tools = (_SEARCH,) if _searches(request, choice) else ()
    if choice.research:
        # Deep research was seen with this tool only; its question ends the turn and comes out as text.
        tools = (*tools, _ASK_USER)
    return ConnectPlan(
        scenario=entry.scenario,
        model=entry.model,
        kimiplus_id=choice.agent or entry.kimiplus_id,
        agent_mode=entry.agent_mode,
        thinking=thinking,
        effort=_effort(entry, request.effort, thinking=thinking),
        tools=tools,
    )


def rest_plan(request: ChatRequest, choice: ModelChoice, table: ModelTable) -> RestPlan:
    """How the legacy site is asked."""
    thinking_agent = table.k1_agent if choice.k1 else DEFAULT_AGENT
    return RestPlan(
        kimiplus_id=choice.agent or thinking_agent,
        model="k1" if choice.k1 else "kimi",
        use_search=_searches(request, choice),
        use_research=choice.research,
        use_math=choice.math,
    )


def _searches(request: ChatRequest, choice: ModelChoice) -> bool:
    return choice.search if request.use_search is None else request.use_search


def _thinks(request: ChatRequest, choice: ModelChoice) -> bool:
    return choice.thinking if request.effort is None else request.effort is not Effort.NONE


def _effort(entry: ModelEntry, asked: Effort | None, *, thinking: bool) -> str | None:
    """An effort that the model offers: the one asked for, else its own default, else its first."""
    if not thinking:
        return _NO_EFFORT if _NO_EFFORT in entry.efforts else None
    offered = [effort for effort in entry.efforts if effort != _NO_EFFORT]
    for effort in (_EFFORTS.get(asked) if asked else None, entry.default_effort):
        if effort in offered:
            return effort
    return offered[0] if offered else None
