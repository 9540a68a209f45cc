"""Answers that are kept: what a later request may refer to, and what a client is told of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from app.dialects.openai_responses.output import answer_of, item_id
from app.errors import InvalidRequest, NotFound
from app.gateway.answers import Kept

REFERENCE = "item_reference"
MAX_PAGE = 100
DEFAULT_PAGE = 20
_THOUGHTS = "rs_"
_MAX_NAMED = 100  # characters of an id that are repeated in an error

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}

_OF_PARTS: Mapping[str, Mapping[str, object]] = {"output_text": {"annotations": []}, "input_image": {"detail": "auto"}}
"""What the vendor's types want of a part, where the client did not say it."""

Item = Mapping[str, object]


def to_keep(response_id: str, chain: Sequence[Kept], items: Iterable[Item], response: bytes) -> Kept:
    """An answer to be kept: `chain` are those before it, `items` what was new with it, `response` its object."""
    inputs = [
        {**item, "id": item.get("id") or item_id(_prefix(item), response_id, f"in{number}")}
        for number, item in enumerate(items)
    ]
    before = (*chain[-1].before, chain[-1].response_id) if chain else ()
    return Kept(response_id, before, json.dumps(inputs, ensure_ascii=False).encode(), response)


def items_of(kept: Kept) -> list[Item]:
    """What was new with an answer, and then the answer itself."""
    return [*_items(kept.inputs), *_output(kept)]


def referred(items: Iterable[object]) -> tuple[str, ...]:
    """The ids of the answers of which items are only referred to."""
    found = (answer_of(str(item.get("id"))) for item in items if isinstance(item, dict) and _is_reference(item))
    return tuple(dict.fromkeys(answer for answer in found if answer is not None))


def resolved(items: Sequence[object], known: Iterable[Kept]) -> list[object]:
    """The items themselves in place of references to them.

    Thinking need not be known, because it is not sent on. Raises NotFound for any other item that is not.
    """
    if not any(map(_is_reference, items)):
        return list(items)
    by_id = {item.get("id"): item for kept in known for item in items_of(kept)}
    out: list[object] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict) or not _is_reference(item):
            out.append(item)
        elif (found := by_id.get(name := str(item.get("id")))) is not None:
            out.append(found)
        elif name.startswith(_THOUGHTS):
            out.append({"id": name, "type": "reasoning", "summary": []})
        else:
            raise NotFound(f"Item with id '{name[:_MAX_NAMED]}' not found.", param=f"input[{index}].id")
    return out


def page(kept: Kept, args: Mapping[str, str]) -> dict[str, object]:
    """The part that is asked for of what was new with an answer, the newest first unless asked otherwise.

    Raises InvalidRequest or NotFound.
    """
    items = [_whole(item) for item in _items(kept.inputs)]
    if args.get("order") != "asc":
        items.reverse()
    if after := args.get("after"):
        places = [index for index, item in enumerate(items) if item["id"] == after]
        if not places:
            raise NotFound("There is no item of the id in after.", param="after")
        items = items[places[0] + 1 :]
    shown = items[: _limit(args.get("limit"))]
    ends = [item["id"] for item in (shown[:1] + shown[-1:])]
    first, last = ends or (None, None)
    return {"object": "list", "data": shown, "first_id": first, "last_id": last, "has_more": len(shown) < len(items)}


def _is_reference(item: object) -> bool:
    """Whether an item only names another; the vendor lets it do without a type."""
    if not isinstance(item, dict):
        return False
    return item.get("type") == REFERENCE or (
        item.get("type") is None and "id" in item and item.keys() <= {"id", "type"}
    )


def _items(text: bytes) -> list[Item]:
    items = json.loads(text)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _output(kept: Kept) -> list[Item]:
    response = json.loads(kept.response)
    output = response.get("output") if isinstance(response, dict) else None
    return [item for item in output if isinstance(item, dict)] if isinstance(output, list) else []


def _prefix(item: Item) -> str:
    return _PREFIXES.get(str(item.get("type") or "message"), "item")


def _whole(item: Item) -> dict[str, object]:
    """An item with what the vendor's types want of every one, also where the client left it out."""
    told = {**item, "type": item.get("type") or "message"}
    if told["type"] != "reasoning":
        told["status"] = item.get("status") or "completed"
    if told["type"] == "message" and isinstance(text := item.get("content"), str):
        told["content"] = [{"type": "output_text" if item.get("role") == "assistant" else "input_text", "text": text}]
    for name in ("content", "output"):
        if isinstance(parts := told.get(name), list):
            told[name] = [_part(part) for part in parts]
    return told


def _part(part: object) -> object:
    return {**_OF_PARTS.get(str(part.get("type")), {}), **part} if isinstance(part, dict) else part


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_PAGE
    if not re.fullmatch("[0-9]{1,3}", given) or not 0 < int(given) <= MAX_PAGE:
        raise InvalidRequest(f"limit must be a whole number from 1 to {MAX_PAGE}.", param="limit")
    return int(given)
