"""What breaks real clients in a stream, as rules over its raw bytes (conformance.md, "what breaks them" and 3b).

Each rule takes the whole body of one stream and tells whether the answer is whole; it fails on whatever one of the
clients was seen to break on.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Event = dict[str, Any]


@dataclass(frozen=True)
class Told:
    """What a stream says: whether it ends as a success, its text, and the error that ended it."""

    whole: bool
    text: str
    error: dict[str, Any] | None = None


def blocks(body: bytes) -> list[list[str]]:
    """The events of a stream, each as its lines; the last one is closed like the others."""
    text = body.decode()
    assert text.endswith("\n\n")
    return [block.split("\n") for block in text[:-2].split("\n\n")]


def data_of(line: str) -> Event:
    """The JSON object of a data line."""
    assert line.startswith("data: "), line
    value = json.loads(line.removeprefix("data: "))
    assert isinstance(value, dict)
    return value


def chat(body: bytes) -> Told:
    """Chat Completions: one id, a role first, one reason of the end, usage only where no choice is, then [DONE]."""
    lines = [lines[0] for lines in blocks(body) if not lines[0].startswith(":")]
    done = lines[-1] == "data: [DONE]"
    events = [data_of(line) for line in (lines[:-1] if done else lines)]
    error = events.pop()["error"] if "error" in events[-1] else None
    assert len({event["id"] for event in events}) <= 1
    deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert not deltas or "role" in deltas[0]
    reasons = [event["choices"][0]["finish_reason"] for event in events if event["choices"]]
    assert [reason for reason in reasons if reason] == ([reasons[-1]] if done else [])
    assert done != (error is not None)
    return Told(done, "".join(delta.get("content") or "" for delta in deltas), error)


def named(body: bytes) -> list[Event]:
    """Events of which each has its name on a line of its own, and once more in its data."""
    events = []
    for lines in blocks(body):
        if lines[0].startswith(":"):
            assert len(lines) == 1
            continue
        name, data = lines
        events.append(data_of(data))
        assert name == f"event: {events[-1]['type']}"
    return events


def responses(body: bytes) -> Told:
    """Responses: every item begins and ends, every text has its logprobs, and the end holds all of the output."""
    events = named(body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    told = [event for event in events if event["type"].startswith("response.output_text.d")]
    assert all(event["logprobs"] == [] for event in told)
    text = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    if kinds[-1] == "response.failed":
        assert "response.completed" not in kinds
        return Told(whole=False, text=text, error=events[-1]["response"]["error"])
    assert kinds[-1] == "response.completed"
    ended = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    begun = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert [item["id"] for item in ended] == begun
    assert events[-1]["response"]["output"] == ended
    assert events[-1]["response"]["usage"]["total_tokens"] > 0
    return Told(whole=True, text=text)


def anthropic(body: bytes) -> Told:
    """Messages: blocks one after the other, none left open, a reason of the end, and an end."""
    events = [event for event in named(body) if event["type"] != "ping"]
    assert events[0]["type"] == "message_start"
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    open_block, index, text = None, 0, ""
    for event in events[1:]:
        match event["type"]:
            case "content_block_start":
                assert (open_block, event["index"]) == (None, index)
                open_block = event["content_block"]["type"]
            case "content_block_delta":
                assert event["index"] == index
                text += event["delta"].get("text", "")
            case "content_block_stop":
                open_block, index = None, index + 1
    if events[-1]["type"] == "error":
        assert open_block in {None, "tool_use"}
        assert not {"message_delta", "message_stop"} & {event["type"] for event in events}
        return Told(whole=False, text=text, error=events[-1]["error"])
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    assert open_block is None
    assert events[-2]["delta"]["stop_reason"]
    return Told(whole=True, text=text)


def gemini(body: bytes) -> Told:
    """Gemini: nothing but data, and a reason of the end in the last chunk alone."""
    events = [data_of(line) for (line,) in blocks(body)]
    error = events.pop()["error"] if "error" in events[-1] else None
    candidates = [event["candidates"][0] for event in events]
    reasons = [candidate.get("finishReason") for candidate in candidates]
    parts = [part for candidate in candidates for part in candidate["content"]["parts"]]
    text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
    if error is not None:
        assert not any(reasons)
        return Told(whole=False, text=text, error=error)
    assert [bool(reason) for reason in reasons] == [False] * (len(reasons) - 1) + [True]
    assert events[-1]["usageMetadata"]["totalTokenCount"] > 0
    return Told(whole=True, text=text)


RULES: dict[str, Callable[[bytes], Told]] = {
    "chat": chat,
    "responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
}
