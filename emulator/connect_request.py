"""Checks a Chat request the way the site does, and finds the turn that it opens (B4, B10)."""

from dataclasses import dataclass

from emulator.accounts import Account
from emulator.chats import GENERATING, Chat, Message, Shelf
from emulator.connect_files import named_files
from emulator.connect_frames import read_only_frame
from emulator.connect_turn import Turn
from emulator.files import StoredFile
from emulator.identifiers import chat_uuid
from emulator.rpc import RpcError
from emulator.site import Site
from emulator.values import (
    Json,
    Malformed,
    as_object,
    as_objects,
    child,
    flag,
    snake_keys,
    text,
)

SCENARIOS = frozenset(
    f"SCENARIO_{name}" for name in ("K2", "K2D5", "K2D6", "K3", "CHAT", "OK_COMPUTER", "OK_COMPUTER_SWARM")
)
"""The scenarios of B5 that somebody has seen; mere guesses in client code are unknown here."""

_TOOLS = frozenset(
    f"TOOL_TYPE_{name}"
    for name in (
        "SEARCH",
        "CRON_JOB",
        "ASK_USER",
        "DEVICE_TOOL",
        "IMAGE_GENERATION",
        "SEMANTIC_MEMORY",
        "AUDIO_GENERATION",
        "DEVICE_LBS",
        "PARALLEL_AGENT",
        "PARALLEL_AGENT_V2",
        "GOAL",
        "BANANA",
        "SLIDES_OUTLINE",
    )
)
_OPTIONS = {
    "thinking": "thinking",
    "enable_plugin": "enablePlugin",
    "reasoning_effort": "reasoningEffort",
    "context_length": "contextLength",
    "model": "model",
}


@dataclass(frozen=True)
class ChatRequest:
    """A checked request. `chat` is None for a new chat; `edited` is the message sent again."""

    chat: Chat | None
    parent_id: str
    edited: Message | None
    user_text: str
    files: list[StoredFile]
    scenario: str
    thinking: bool
    search: bool
    last_request: Json


def read_chat_request(body: bytes, account: Account, site: Site) -> ChatRequest:
    """Read and check a request body; raises `RpcError` with the code the site would use."""
    try:
        request = as_object(snake_keys(read_only_frame(body)), "the message")
        return _check(request, account, site)
    except Malformed as error:
        raise RpcError("invalid_argument", str(error)) from error


def open_turn(request: ChatRequest, account: Account, chats: Shelf, ids: tuple[str, str]) -> Turn:
    """Write the user's message into its chat, a new one if need be, and begin the answer.

    `ids` are the chat's and the assistant message's; empty ones are made up.
    """
    chat = request.chat or chats.open_connect(account.name, ids[0])
    files = [file.id for file in request.files]
    for file in request.files:
        file.used += 1
    if request.edited:
        user = request.edited
        user.text, user.files = request.user_text, files
    else:
        parent_id = request.parent_id or chat.tip().id
        user = Message(chat_uuid(), parent_id, "user", request.user_text, scenario=request.scenario, files=files)
        chat.messages.append(user)
    assistant = Message(ids[1] or chat_uuid(), user.id, "assistant", "", GENERATING)
    assistant.scenario = request.scenario
    chat.messages.append(assistant)
    return Turn(chat, user, assistant, request.chat is None, request.last_request, request.files)


def _check(request: Json, account: Account, site: Site) -> ChatRequest:
    models, message = site.model_list(), child(request, "message")
    if not message:
        raise Malformed("message is missing")
    scenario = _read_scenario(request, message, models)
    chat = _find_chat(request, account, site.chats)
    blocks = _read_blocks(message)
    options = child(request, "options")
    tools = as_objects(request.get("tools") or [], "tools")
    return ChatRequest(
        chat=chat,
        parent_id=_read_parent(message, chat),
        edited=_read_edited(message, chat),
        user_text=_read_user_text(blocks),
        files=named_files(blocks, account, site.files),
        scenario=scenario,
        thinking=flag(options, "thinking"),
        search=any(tool.get("type") == "TOOL_TYPE_SEARCH" for tool in tools),
        last_request=_echo(scenario, options, tools, models),
    )


def _read_scenario(request: Json, message: Json, models: Json) -> str:
    scenario = text(request, "scenario")
    if text(message, "scenario") != scenario:
        raise Malformed("scenario must be the same at the top and in the message")
    listed = {item.get("scenario") for item in _listed(models)}
    if scenario not in SCENARIOS and scenario not in listed:
        raise Malformed("scenario is not known")
    return scenario


def _listed(models: Json) -> tuple[Json, ...]:
    """List the models of a GetAvailableModels answer, which a test may have replaced by junk."""
    found = models.get("availableModels")
    return tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()


def _find_chat(request: Json, account: Account, chats: Shelf) -> Chat | None:
    chat_id = request.get("chat_id")
    if chat_id is None:
        return None
    if not isinstance(chat_id, str) or not chat_id:
        raise Malformed("chat_id must be omitted or name a chat")
    chat = chats.find(chat_id, account.name, "connect")
    if chat is None:
        raise RpcError("not_found", "there is no such chat")
    return chat


def _read_parent(message: Json, chat: Chat | None) -> str:
    parent_id = message.get("parent_id")
    if parent_id is None:
        return ""
    if not isinstance(parent_id, str) or not parent_id:
        raise Malformed("parent_id must be omitted or name a message")
    if chat is None or chat.message(parent_id) is None:
        raise Malformed("parent_id is not a message of this chat")
    return parent_id


def _read_edited(message: Json, chat: Chat | None) -> Message | None:
    """Find the user message that is sent again under its own id: an edit (B4)."""
    message_id = text(message, "id")
    if not message_id:
        return None
    edited = chat.message(message_id) if chat else None
    if edited is None or edited.role != "user":
        raise Malformed("message.id is not a user message of this chat")
    return edited


def _read_blocks(message: Json) -> tuple[Json, ...]:
    if text(message, "role") != "user":
        raise Malformed("message.role must be user")
    blocks = as_objects(message.get("blocks"), "message.blocks")
    if not blocks:
        raise Malformed("message.blocks must not be empty")
    return blocks


def _read_user_text(blocks: tuple[Json, ...]) -> str:
    """Put the words together; files alone are no message (what the site says to them was never captured)."""
    words = [text(child(block, "text"), "content") for block in blocks if "text" in block]
    if not any(words):
        raise Malformed("message.blocks must hold a text")
    return "\n".join(words)


def _echo(scenario: str, options: Json, tools: tuple[Json, ...], models: Json) -> Json:
    """Echo the request in camelCase, as chat.lastRequest does; unknown tools are dropped (B5).

    The site fills in the default scenario's model when none was named (B4, HAR).
    """
    echoed = {shown: options[key] for key, shown in _OPTIONS.items() if options.get(key) is not None}
    default = child(models, "defaultScenario")
    if default.get("scenario") == scenario and "model" in default:
        echoed.setdefault("model", default["model"])
    known = [tool for tool in tools if tool.get("type") in _TOOLS]
    return {"options": echoed, "tools": known, "scenario": scenario}
