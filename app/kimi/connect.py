"""What is asked of www.kimi.com and www.kimi.ai by the Connect protocol, and their unary answers (protocol.md B).

Builders give whole HTTP requests: no sockets, no clock. Field names in requests are those of the site's own calls;
answers are read in either spelling. The stream of an answer is read by connect_decoder.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.chat.request import Continuation
from app.kimi import connect_errors, json
from app.kimi.framing import envelope
from app.kimi.http import HttpAnswer, HttpRequest
from app.kimi.turn import Turn
from config.models import ModelEntry

STREAM_TYPE = "application/connect+json"
CHAT = "kimi.gateway.chat.v1.ChatService"
BATCH_DELETE = "kimi.chat.v1.ChatService/BatchDeleteChats"
MODELS = "kimi.gateway.config.v1.ConfigService/GetAvailableModels"
CURRENT_USER = "kimi.gateway.account.v1.UserService/GetCurrentUser"
SUBSCRIPTION_STATS = "kimi.gateway.membership.v2.MembershipService/GetSubscriptionStats"

_SITE_VERSION = "2.2.0"
"""`x-msh-version` of September 2026: it decides which models the site lists (protocol.md B2)."""


@dataclass(frozen=True, slots=True)
class ConnectPlan:
    """How one turn is asked: the site's scenario with its options (protocol.md B4, B5)."""

    scenario: str
    model: str | None = None
    kimiplus_id: str | None = None
    agent_mode: str | None = None
    thinking: bool = False
    effort: str | None = None
    tools: tuple[str, ...] = ()


def rpc(site: str, token: str, call: str, body: object) -> HttpRequest:
    """A unary call: `call` is `service/method`, `site` the web host's base URL."""
    return HttpRequest(
        method="POST",
        url=f"{site}/apiv2/{call}",
        headers=headers(site, token, "application/json"),
        body=json.dump(body),
    )


def chat_request(site: str, token: str, plan: ConnectPlan, turn: Turn, continues: Continuation | None) -> HttpRequest:
    """The one call that asks for an answer: exactly one frame in the body (protocol.md B1, B4).

    The chat's id and its last assistant message's are left out for a new chat, because an empty string is said to be
    refused. Files stand behind the text, as in the captured request (protocol.md G, captures/02).
    """
    files = [{"file": {"id": file_id, "status": "PROCESS_STATUS_SUCCESS"}} for file_id in turn.files]
    message: dict[str, object] = {
        "role": "user",
        "blocks": [{"message_id": "", "text": {"content": turn.text}}, *files],
        "scenario": plan.scenario,
        "is_goal": False,
    }
    body: dict[str, object] = {
        "scenario": plan.scenario,
        "tools": [_tool(kind) for kind in plan.tools],
        "message": message,
        "options": _options(plan),
        "project_id": "",
    }
    if plan.kimiplus_id:
        body["kimiplus_id"] = plan.kimiplus_id
    if plan.agent_mode:
        body["agent_mode"] = plan.agent_mode
    if continues is not None:
        body["chat_id"] = continues.conversation_id
        if continues.parent_id is not None:
            message["parent_id"] = continues.parent_id
    return HttpRequest(
        method="POST",
        url=f"{site}/apiv2/{CHAT}/Chat",
        headers=headers(site, token, STREAM_TYPE),
        body=envelope(json.dump(body)),
    )


def _options(plan: ConnectPlan) -> dict[str, object]:
    options: dict[str, object] = {"thinking": plan.thinking, "enable_plugin": False}
    if plan.effort:
        options["reasoning_effort"] = plan.effort
    if plan.model:
        options["model"] = plan.model
    return options


def _tool(kind: str) -> dict[str, object]:
    return {"type": kind, "search": {}} if kind == "TOOL_TYPE_SEARCH" else {"type": kind}


def headers(site: str, token: str, content_type: str) -> dict[str, str]:
    """The headers of every call (protocol.md B2)."""
    return {
        "Authorization": f"Bearer {token}",
        "Content-Type": content_type,
        "connect-protocol-version": "1",
        "Origin": site,
        "Referer": f"{site}/",
        "x-msh-platform": "web",
        "x-msh-version": _SITE_VERSION,
    }


def last_assistant_message(answer: HttpAnswer) -> str | None:
    """The tip of a chat from ListMessages, which lists the newest first (protocol.md B10, B11).

    Raises what the answer means if it is no list at all.
    """
    try:
        body = json.parse(answer.body)
    except ValueError:
        raise connect_errors.from_answer(answer) from None
    for message in json.items(body, "messages"):
        if json.text(message, "role").lower().endswith("assistant"):
            return json.text(message, "id") or None
    return None


def available_models(answer: HttpAnswer) -> tuple[ModelEntry, ...]:
    """The models that GetAvailableModels lists, the default one first; empty if the shape is not known."""
    try:
        body = json.parse(answer.body)
    except ValueError:
        return ()
    default = (
        json.text(body, "defaultScenario", "scenario"),
        json.text(body, "defaultScenario", "model"),
    )
    entries = [_model_entry(item) for item in json.items(body, "availableModels")]
    known = [entry for entry in entries if entry.scenario]
    known.sort(key=lambda entry: (entry.scenario, entry.model or "") != default)
    return tuple(known)


def _model_entry(item: object) -> ModelEntry:
    efforts = tuple(
        effort for option in json.items(item, "reasoningEffortOptions") if (effort := json.text(option, "effort"))
    )
    thinking = json.member(item, "thinking")
    return ModelEntry(
        key=json.text(item, "key"),
        title=json.text(item, "displayName"),
        scenario=json.text(item, "scenario"),
        model=json.text(item, "id") or None,
        kimiplus_id=json.text(item, "kimiPlusId") or None,
        agent_mode=json.text(item, "agentMode") or None,
        efforts=efforts,
        default_effort=json.text(item, "defaultReasoningEffort") or None,
        thinking=thinking if isinstance(thinking, bool) else None,
    )
