"""A model that calls tools as its prompt teaches it, on both sites."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from emulator.client import ControlError, EmulatorControl
from tests.emulator.raw import CHAT, STREAM, Frame, Raw, answer_text, frame, question

pytestmark = pytest.mark.e2e

READY = "PROCESS_STATUS_SUCCESS"
PROMPT = """\
<tools>
Call a tool by printing

<use:{code} "Read">
{{"file_path": "..."}}
</use:{code}>

{{"name":"Read","description":"Reads.","parameters":{{}}}}
{{"name":"Bash","description":"Runs.","parameters":{{}}}}
</tools>

{rest}"""
TAUGHT = PROMPT.format(code="K7Q2", rest="What is in /a?")
GIVEN = """\
<got:K7Q2 id="1" name="Read">
  first
</got:K7Q2>
<got:K7Q2 name="Bash" id="2" status="error">

"second"

</got:K7Q2>

Go on."""


@dataclass
class Said:
    """What an answer said, and thought."""

    text: str
    thinking: str


Ask = Callable[..., Said]
"""Ask with a text, and ids of files, in one chat."""


def thought(events: list[Frame]) -> str:
    """Put the thoughts of an answer together."""
    blocks = [event.get("block", {}) for _, event in events]
    return "".join(block["think"]["content"] for block in blocks if "think" in block)


@pytest.fixture(params=["connect", "legacy"])
def ask(request: pytest.FixtureRequest, control: EmulatorControl, raw: Raw) -> Ask:
    """Give a conversation of either site."""
    opened: dict[str, str] = {}

    def on_connect(text: str, *files: str) -> Said:
        wanted = question(text, **opened)
        wanted["message"]["blocks"] += [{"file": {"id": item, "status": READY}} for item in files]
        events = raw.send("POST", CHAT, frame(wanted), STREAM).frames
        opened["chat_id"] = control.chats()[-1]["id"]
        return Said(answer_text(events), thought(events))

    def on_legacy(text: str, *files: str) -> Said:
        path = opened.setdefault("path", raw.legacy("POST", "/api/chat", name="n").json["id"])
        messages = [{"role": "user", "content": text}]
        stream = f"/api/chat/{path}/completion/stream"
        events = raw.legacy("POST", stream, messages=messages, refs=files).events
        said = ("".join(item["text"] for item in events if item["event"] == kind) for kind in ("cmpl", "k1"))
        return Said(*said)

    return on_connect if request.param == "connect" else on_legacy


@pytest.fixture
def upload(request: pytest.FixtureRequest, raw: Raw, ask: Ask) -> Callable[[str], str]:
    """Give a way to upload a text to the site that `ask` asks."""

    def to_connect(text: str) -> str:
        file_id: str = raw.upload(text.encode(), "prompt.txt").json["file"]["id"]
        raw.progress(file_id)
        raw.progress(file_id)
        return file_id

    def to_legacy(text: str) -> str:
        granted = raw.pre_sign("prompt.txt").json
        raw.put(granted["url"], text.encode(), "text/plain")
        file_id: str = raw.register(granted, name="prompt.txt").json["id"]
        raw.legacy("POST", "/api/file/parse_process", ids=[file_id])
        return file_id

    return to_connect if request.node.callspec.params["ask"] == "connect" else to_legacy


def call(name: str = "Read", arguments: object = None) -> dict[str, object]:
    """Order one call."""
    return {"name": name, "arguments": {"file_path": "/a"} if arguments is None else arguments}


def block(name: str = "Read", arguments: str = '{"file_path": "/a"}', code: str = "K7Q2") -> str:
    """Give a call as the prompt teaches it."""
    return f'<use:{code} "{name}">\n{arguments}\n</use:{code}>'


def test_words_and_calls_in_the_taught_form(control: EmulatorControl, ask: Ask) -> None:
    """One under the other."""
    calls = [call(), call("Bash", {"cmd": "é"}), call("Bash", '{"cmd": '), {"name": "Read"}]
    control.plan({"act": {"say": "Let me look.", "calls": calls, "after": "Wait."}, "thinking": "Hm."})
    blocks = [block(), block("Bash", '{"cmd": "é"}'), block("Bash", '{"cmd": '), block("Read", "{}")]
    assert ask(TAUGHT) == Said("\n".join(("Let me look.", *blocks, "Wait.")), "Hm.")


def test_the_form_is_remembered_until_a_newer_one(control: EmulatorControl, ask: Ask) -> None:
    """An own answer teaches nothing, however well it is made."""
    act = {"act": {"calls": [call()]}}
    control.plan(act, {"text": block(code="ZZZZ")}, act, act)
    assert ask(TAUGHT).text == block()
    ask("Go on.")
    assert ask(GIVEN).text == block()
    assert ask(PROMPT.format(code="ABCD", rest="")).text == block(code="ABCD")


def test_results_are_put_in(control: EmulatorControl, ask: Ask) -> None:
    """In the words and at every depth of the arguments; those of the new message alone."""
    arguments = {"a": [{"b": "<{{result:Read}}>"}], "{{result}}": 1}
    act = {"say": "{{result}}!", "calls": [call("Read", arguments), call("Read", "{{result}}")]}
    control.plan({"text": "?"}, {"act": act}, {"act": {"after": "{{result:Read}}"}})
    ask(TAUGHT)
    inner = block("Read", '{"a": [{"b": "<first>"}], "{{result}}": 1}')
    assert ask(GIVEN).text == "\n".join(('"second"!', inner, block("Read", '"second"')))
    assert ask("And now?").text == "I see no result of Read."


def test_a_prompt_in_a_file_is_read(control: EmulatorControl, ask: Ask, upload: Callable[[str], str]) -> None:
    """Its results come before those of the message itself; it is remembered like a message."""
    act = {"act": {"say": "{{result}}", "calls": [call()]}}
    control.plan(act, act)
    file_id = upload(PROMPT.format(code="K7Q2", rest=GIVEN))
    assert ask("Read the file.", file_id).text == f'"second"\n{block()}'
    assert ask(GIVEN.replace("second", "third")).text == f'"third"\n{block()}'


@pytest.mark.parametrize(
    ("prompt", "act", "expected"),
    [
        ("Hi", {"calls": [call()]}, "I was taught no way to call tools."),
        ("Hi", {"calls": [call()], "unlisted": True}, "I was taught no way to call tools."),
        (TAUGHT, {"say": "a", "calls": [call(), call("Write")]}, "I know no tool Write."),
        (TAUGHT, {"say": "{{result}}"}, "I see no result."),
        (TAUGHT, {"calls": [call("Read", {"a": "{{result:Bash}}"})]}, "I see no result of Bash."),
        (TAUGHT, {"calls": [call("Write")], "in_thinking": True}, "I know no tool Write."),
    ],
)
def test_what_cannot_be_done_is_said(
    control: EmulatorControl, ask: Ask, prompt: str, act: Mapping[str, object], expected: str
) -> None:
    """And nothing else, so that a test fails visibly."""
    control.plan({"act": act})
    assert ask(prompt) == Said(expected, "")


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ({"calls": [call("Write")], "unlisted": True}, Said(block("Write"), "")),
        ({"calls": [call(), call()], "fence": True}, Said("\n".join(2 * [f"```\n{block()}\n```"]), "")),
        ({"say": "So", "calls": [call()], "in_thinking": True}, Said("", f"Hm.\nSo\n{block()}")),
        ({"say": "Just", "after": "words."}, Said("Just\nwords.", "")),
        ({}, Said("", "")),
    ],
    ids=str,
)
def test_the_other_ways_to_call(control: EmulatorControl, ask: Ask, act: Mapping[str, object], expected: Said) -> None:
    """Unlisted tools, fences, thoughts, and no call at all; the default text is never given."""
    control.plan({"act": act, "thinking": "Hm." if expected.thinking else ""})
    assert ask(TAUGHT) == expected


def test_an_act_is_delivered_like_a_text(control: EmulatorControl, raw: Raw) -> None:
    """In pieces, with the faults of its answer, and kept by the chat."""
    act = {"calls": [call()]}
    control.plan({"act": act, "piece": 5, "faults": {"error_trailer": {"after_text": 5}}}, {"act": act, "piece": 9})
    broken = raw.ask(TAUGHT).frames
    assert answer_text(broken) == block()[:5]
    assert "error" in broken[-1][1]
    pieces = [
        event["block"]["text"]["content"] for _, event in raw.ask(TAUGHT).frames if "text" in event.get("block", {})
    ]
    assert pieces == [block()[start : start + 9] for start in range(0, len(block()), 9)]
    assert control.chats()[-1]["messages"][-1]["text"] == block()


def test_only_the_branch_of_the_question_is_read(control: EmulatorControl, raw: Raw) -> None:
    """A lesson of another branch was never heard there."""
    act = {"act": {"calls": [call()]}}
    control.plan(*(3 * [act]))
    assert answer_text(raw.ask(TAUGHT).frames) == block()
    chat: Any = control.chats()[0]
    root, *_, tip = (message["id"] for message in chat["messages"])
    elsewhere = raw.ask("Hi", chat_id=chat["id"], parent_id=root).frames
    assert answer_text(elsewhere) == "I was taught no way to call tools."
    assert answer_text(raw.ask("Hi", chat_id=chat["id"], parent_id=tip).frames) == block()


@pytest.mark.parametrize(
    ("act", "word"),
    [
        ([], "act must be an object"),
        ({"cals": []}, "cals"),
        ({"calls": [{"name": "a", "args": {}}]}, "args"),
        ({"calls": [{"arguments": {}}]}, "name is missing"),
        ({"calls": [{"name": "a", "arguments": []}]}, "arguments"),
        ({"calls": ["Read"]}, "calls"),
        ({"say": 1}, "say"),
        ({"fence": "yes"}, "fence"),
    ],
    ids=str,
)
def test_a_mistake_in_an_act_is_refused(control: EmulatorControl, act: object, word: str) -> None:
    """Like any other in a plan."""
    with pytest.raises(ControlError, match=word):
        control.plan({"act": act})


@pytest.mark.parametrize("field", ["text", "frames", "lines", "segments", "echo_context"])
def test_an_act_has_no_other_words(control: EmulatorControl, field: str) -> None:
    """Which of the two was meant would be a guess."""
    words: object = {"text": "", "echo_context": True}.get(field, [])
    with pytest.raises(ControlError, match=f"act and {field}|{field} and act"):
        control.plan({"act": {}, field: words})
