"""Tool blocks inside a Connect answer: web search, ipython, a question to the user (B6, B8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.connect_events import Events
from emulator.pieces import cut, search_reference
from emulator.steps import Send
from emulator.values import Json, encode

if TYPE_CHECKING:
    from emulator.connect_turn import Turn

_CALLED = "block.tool.args,block.tool.status,block.tool.toolCallId"
_SEARCHED = ",".join(
    f"block.tool.{part}" for part in ("contents", "isError", "errorCode", "status", "action", "paywall")
)
_ARGS_PIECE = 9


@dataclass(frozen=True)
class Place:
    """Where a tool block stands: its event stream, its stage ("" outside of one), its thought."""

    events: Events
    stage_block: str = ""
    think_block: str = ""


def search_item(item: Json, index: int, *, referenced: bool = True) -> Json:
    """Shape a planned `{title,url,siteName,snippet}` as a search item (B8).

    Items inside tool contents carry no refIndex in the live capture; those in refs do.
    """
    answer: Json = {"id": str(index), "base": {"iconUrl": "", **item}}
    if referenced:
        answer["refIndex"] = search_reference(index)
    return answer


def search(place: Place, turn: "Turn", items: tuple[Json, ...]) -> Iterator[Send]:
    """Search the web: the call, what was found, the end of the call."""
    events = place.events
    block = {"id": events.next_block(), "parentId": place.stage_block}
    yield from _call(events, block, "web_search", {"query": turn.user.text})
    if place.think_block:
        summary = {"id": place.think_block, "think": {"summary": "Searching the web"}}
        yield events.set("block.think.summary", block=summary)
    chunks = [search_item(item, index) for index, item in enumerate(items)]
    refs = {"id": turn.assistant.id, "refs": {"searchChunks": chunks}}
    yield events.append("message.refs.searchChunks", message=refs)
    contents = [{"searchResult": search_item(item, index, referenced=False)} for index, item in enumerate(items)]
    tool = {"contents": contents, "isError": False, "status": "STATUS_DONE"}
    yield events.set(_SEARCHED, block={**block, "tool": tool})


def ipython(place: Place) -> Iterator[Send]:
    """Run code on the server's side, although nobody offered a tool (captures/03)."""
    events = place.events
    block = {"id": events.next_block(), "parentId": place.stage_block}
    yield from _call(events, block, "ipython", {"code": "17*23"})
    tool = {"contents": [{"text": "391"}], "status": "STATUS_DONE"}
    yield events.set("block.tool.contents,block.tool.status", block={**block, "tool": tool})


def ask_user(place: Place) -> Iterator[Send]:
    """Ask the user something; the turn then ends with the chat waiting for the answer (B8)."""
    block = {"id": place.events.next_block(), "parentId": place.stage_block}
    option = {"option": "Blue", "description": "like the sky", "recommended": True}
    question = {"question": "Which colour?", "type": "single", "options": [option]}
    yield from _call(place.events, block, "ask_user", {"questions": [question]})


def _call(events: Events, block: dict[str, str], name: str, arguments: Json) -> Iterator[Send]:
    """Announce a call, dribble its arguments, then send them whole under the final id."""
    args = encode(arguments).decode()
    pending = {"toolCallId": f"{name}_0", "name": name, "status": "STATUS_PENDING"}
    yield events.set("", block={**block, "tool": pending})
    for piece in cut(args, _ARGS_PIECE):
        yield events.append("block.tool.args", block={**block, "tool": {"args": piece}})
    running = {"toolCallId": f"{name}:1", "args": args, "status": "STATUS_RUNNING"}
    yield events.set(_CALLED, block={**block, "tool": running})
