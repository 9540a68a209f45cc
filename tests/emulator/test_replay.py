"""The captures, played through the emulator, arrive as they were recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from emulator.client import EmulatorControl
from tests.emulator.raw import Frame, Raw, answer_text

pytestmark = pytest.mark.e2e

WIRE = Path(__file__).resolve().parents[1] / "wire"


def recorded(name: str) -> list[dict[str, Any]]:
    """Read a capture as the frames of a plan; the first line of a file is its header."""
    lines = (WIRE / name).read_text().splitlines()[1:]
    events = [json.loads(line) for line in lines if line]
    return [_unwrapped(event) for event in events]


def _unwrapped(event: dict[str, Any]) -> dict[str, Any]:
    """Bring the `{f, e}` form of captures/03 to the form of the others."""
    if "f" not in event:
        return event
    inner: dict[str, Any] = event["e"]
    return inner if event["f"] == 0 else {"_frame_flags": event["f"], "_payload": inner}


def expected(plan: list[dict[str, Any]]) -> list[Frame]:
    """Say which frames a plan must become."""
    return [(event["_frame_flags"], event["_payload"]) if "_frame_flags" in event else (0, event) for event in plan]


CAPTURES = [
    ("01_connect_k2d5_thinking_anybridge.jsonl", 69, '```json\n{"id":"probe_net"'),
    ("03_connect_native_tool_ipython.jsonl", 8, "17\u00d723=391"),
    ("07_connect_k2d6_chat_no_thinking.jsonl", 7, "I will check the code."),
]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: capture[0][:2])
@pytest.mark.parametrize("chunk", [0, 3, "random"])
def test_a_capture_arrives_unchanged(
    control: EmulatorControl, raw: Raw, capture: tuple[str, int, str], chunk: object
) -> None:
    """Frame by frame, however the bytes are cut."""
    name, count, text = capture
    plan = recorded(name)
    control.plan({"frames": plan, "chunk": chunk, "seed": 7})
    answered = raw.ask()
    assert answered.frames == expected(plan)
    assert len(answered.frames) == count
    assert answer_text(answered.frames).startswith(text)


def shape(value: object) -> object:
    """Reduce an event to its keys and its enum values, so that two turns can be compared."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "eventOffset"}
        return {key: shape(item) for key, item in sorted(kept.items())}
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return value if isinstance(value, str) and value.isupper() and "_" in value else type(value).__name__


def test_a_composed_turn_has_the_shape_of_the_live_one(control: EmulatorControl, raw: Raw) -> None:
    """Every event of a thinking turn in an old chat has the keys of captures/01, in its order.

    Of equal neighbours one is kept, and heartbeats inside the turn are left out: how many there
    are of them is not part of the shape.
    """
    chat = control.open_chat("ann")
    control.plan({"text": "some words", "thinking": "some thoughts", "faults": {"degrade_notice": True}})
    tools = [{"type": "TOOL_TYPE_SEARCH", "search": {}}, {"type": "TOOL_TYPE_CRON_JOB"}]
    options = {"thinking": True, "enable_plugin": False, "reasoning_effort": "REASONING_EFFORT_LOW"}
    composed = raw.ask(chat_id=chat["id"], tools=tools, options=options).frames
    live = expected(recorded("01_connect_k2d5_thinking_anybridge.jsonl"))
    assert distinct(composed) == distinct(live)


def distinct(events: list[Frame]) -> list[object]:
    """Give the shapes of a stream without repetitions and heartbeats."""
    found: list[object] = []
    for flags, event in events:
        seen = (flags, shape(event))
        if "heartbeat" not in event and (not found or found[-1] != seen):
            found.append(seen)
    return found
