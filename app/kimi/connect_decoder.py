"""The answer stream of the Connect protocol to events, without sockets (protocol.md B6 to B9).

Each frame is one JSON object that changes a tree of chat, message and blocks: `set` replaces what its mask names,
`append` extends it. Of that tree only what the model says is kept. The echo of what was asked (user and system
messages) never comes out, a block that Kimi takes back ends the answer with an error, and an end is judged: the
trailer, or `done` or COMPLETED before the connection closes; anything else is a cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.chat.events import Event, Failed, Finished, Opened, ThinkingDelta, Warned
from app.errors import GatewayError, NothingSaid, UpstreamProtocolError, UpstreamTruncated
from app.kimi import connect_errors, json
from app.kimi.connect_answer import AnswerText, Searches, questions
from app.kimi.framing import MAX_FRAME, EnvelopeReader

_NOT_THE_MODEL = frozenset({"user", "system"})
_COMPLETED = "MESSAGE_STATUS_COMPLETED"
_KNOWN_STATUSES = frozenset({"", "MESSAGE_STATUS_UNSPECIFIED", "MESSAGE_STATUS_GENERATING", _COMPLETED})
"""Names for cancelled or failed messages were never seen: any other value is not a whole answer."""

_OPERATIONS = (None, "", "set", "append")
_QUESTION_TOOL = "ask_user"
_EXPECTED_TOOLS = (_QUESTION_TOOL, "web_search", "search")
_NOT_A_NAME = re.compile(r"[^\w.:-]", re.ASCII)
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class _Change:
    """What a frame does: append or set, to the paths of its mask (none: to all that it holds)."""

    append: bool
    paths: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        """Whether the mask names `path` or something around it."""
        return not self.paths or any(path == mask or path.startswith(mask + ".") for mask in self.paths)


def _change(operation: object, mask: object) -> _Change:
    paths = mask.split(",") if isinstance(mask, str) else []
    return _Change(
        append=operation == "append",
        paths=tuple(path for part in paths if (path := part.strip().replace("_", "").lower())),
    )


class ConnectDecoder:
    """The body of a Chat answer to events.

    `conversation_id` and `message_id` (the assistant's) are known as soon as the stream has told them. `settled` is
    True once the answer is complete but for its trailer, `concluded` once Kimi itself has ended it (well or not),
    `ended` once nothing more comes out of here. `unknown` counts the frames that no known protocol explains.
    """

    def __init__(self, *, encoding: str = "", ceiling: int = MAX_FRAME) -> None:
        self.conversation_id: str | None = None
        self.message_id: str | None = None
        self.settled = False
        self.concluded = False
        self.ended = False
        self.unknown = 0
        self._reader = EnvelopeReader(encoding=encoding, ceiling=ceiling)
        self._role = ""
        self._asked: set[str] = set()
        self._status = ""
        self._changes: dict[tuple[object, object], _Change] = {}
        self._blocks: dict[tuple[str, str, str], list[str]] = {}
        self._tools: set[str] = set()
        self._searches = Searches()
        self._answer = AnswerText(self._searches.markers)
        self._question = ""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completed; an error is a Failed, the last event of all."""
        out: list[Event] = []
        if self.ended:
            return out
        try:
            for frame in self._reader.feed(data):
                if frame.end:
                    self._trailer(frame.payload, out)
                    break
                self._frame(_object(frame.payload), out)
        except GatewayError as error:
            self._fail(error, out)
        return out

    def finish(self) -> list[Event]:
        """Judge the end of the body: without a trailer it is whole only after `done` or COMPLETED."""
        out: list[Event] = []
        if self.settled and not self.ended:
            self._close(out)
        elif not self.ended:
            self._fail(UpstreamTruncated("Kimi's answer broke off before its end."), out)
        return out

    def _trailer(self, payload: bytes, out: list[Event]) -> None:
        self.concluded = True
        error = json.member(_object(payload or b"{}"), "error")
        if error is not None:
            raise connect_errors.from_object(error)
        self._close(out)

    def _close(self, out: list[Event]) -> None:
        if asked := questions(self._question):
            self._answer.say("", asked, out)
        self._answer.flush(out)
        if self._status not in _KNOWN_STATUSES:
            self._fail(UpstreamTruncated("Kimi ended the answer without completing it."), out)
        elif self._answer.spoken:
            self.ended = True
            out.append(Finished())
        elif self.unknown:
            self._fail(UpstreamProtocolError("Kimi answered in a form that is not known here."), out)
        else:
            # Heartbeats and COMPLETED without a word: one source takes it for shed load (protocol.md B9, L).
            self._fail(NothingSaid("Kimi answered nothing at all; it is likely overloaded."), out)

    def _fail(self, error: GatewayError, out: list[Event]) -> None:
        self.ended = True
        out.append(Failed(error))

    def _refusal(self, error: object) -> GatewayError:
        self.concluded = True
        return connect_errors.from_object(error)

    def _frame(self, frame: dict[str, object], out: list[Event]) -> None:
        operation, mask = frame.get("op"), frame.get("mask")
        if frame.get("error") is not None:
            raise self._refusal(frame["error"])
        if operation not in _OPERATIONS:
            self.unknown += 1
            return
        change = self._changes.get((operation, str(mask)))
        if change is None:
            change = self._changes[(operation, str(mask))] = _change(operation, mask)
        known = "heartbeat" in frame or "notification" in frame
        if isinstance(block := frame.get("block"), dict):
            self._block(block, change, out)
        elif isinstance(message := frame.get("message"), dict):
            self._message(message, change, out)
        elif isinstance(chat := frame.get("chat"), dict):
            self._chat(chat, out)
        elif "exception" in frame:
            raise self._refusal(json.member(frame["exception"], "error") or frame["exception"])
        elif "done" in frame:
            self.settled = self.concluded = True
        elif not known:
            self.unknown += 1

    def _chat(self, chat: dict[str, object], out: list[Event]) -> None:
        chat_id = json.text(chat, "id")
        if chat_id and self.conversation_id is None:
            self.conversation_id = chat_id
            out.append(Opened(chat_id))

    def _message(self, message: dict[str, object], change: _Change, out: list[Event]) -> None:
        identity = json.text(message, "id")
        role = json.text(message, "role").lower().removeprefix("role_")
        if role:
            self._role = role
            if role in _NOT_THE_MODEL:
                self._asked.add(identity)
            elif identity != self.message_id:
                # An agent's answer may have several messages: it is complete with the last.
                self.message_id, self._status = identity or None, ""
                self.settled = self.concluded = False
        if self._is_echo(identity):
            return
        status = json.text(message, "status")
        if status and change.covers("message.status"):
            self._status = status
            self.settled = self.concluded = self.settled or status == _COMPLETED
        if change.covers("message.refs.searchchunks"):
            self._searches.found(json.items(message, "refs", "searchChunks"), out)
        if change.covers("message.references"):
            self._searches.referred(json.items(message, "references"), out)
        if change.covers("message.blocks"):
            for block in json.items(message, "blocks"):
                self._block(block, _WHOLE, out)

    def _is_echo(self, message_id: str) -> bool:
        """Only some frames name their message; the others belong to the one that came last."""
        return message_id in self._asked if message_id else self._role in _NOT_THE_MODEL

    def _block(self, block: object, change: _Change, out: list[Event]) -> None:
        message_id, identity = json.text(block, "messageId"), json.text(block, "id")
        if self._is_echo(message_id):
            return
        exception = json.member(block, "exception")
        if exception is not None:
            # Seen with SEVERITY_BLOCK_RETRACT only: what was streamed for the block is taken back, which a stream
            # cannot do, so the answer ends as failed.
            raise self._refusal(json.member(exception, "error") or exception)
        message_id = message_id or self.message_id or ""
        think = json.member(block, "think")
        if think is not None and change.covers("block.think.content"):
            key = (message_id, identity, "think")
            if more := self._written(key, json.member(think, "content"), change):
                self._answer.step()
                out.append(ThinkingDelta(more))
        said = json.member(block, "text")
        if said is not None and change.covers("block.text.content"):
            key = (message_id, identity, "text")
            if more := self._written(key, json.member(said, "content"), change):
                self._answer.say(message_id + identity, more, out)
        tool = json.member(block, "tool")
        if tool is not None:
            self._tool((message_id, identity, "tool"), tool, change, out)
        self._searches.found(json.items(block, "search", "webPages"), out)

    def _written(self, key: tuple[str, str, str], content: object, change: _Change) -> str:
        """What a block's content has grown by. `set` replaces; its first one already holds text (protocol.md B6)."""
        if not isinstance(content, str):
            return ""
        pieces = self._blocks.setdefault(key, [])
        if change.append:
            pieces.append(content)
            return content
        before = "".join(pieces)
        pieces[:] = [content]
        if content.startswith(before):
            return content[len(before) :]
        if key[2] == "text":
            raise UpstreamProtocolError("Kimi took back text that had been passed on already.")
        return ""

    def _tool(self, key: tuple[str, str, str], tool: object, change: _Change, out: list[Event]) -> None:
        """Kimi's own tools: searches become sources, a question to the person becomes text, the rest is theirs.

        That they were used is told: who offers tools of their own may want to know that the model took others.
        """
        self._answer.step()
        call_id, name = json.text(tool, "toolCallId"), json.text(tool, "name")
        args = json.member(tool, "args")
        pieces = self._blocks.setdefault(key, [])
        if isinstance(args, str) and change.covers("block.tool.args"):
            if not change.append:
                pieces.clear()
            pieces.append(args)
        asking = self._blocks.setdefault((*key[:2], "name"), [name or call_id])
        if name and name not in self._tools:
            self._tools.add(name)
            if not name.startswith(_EXPECTED_TOOLS):
                out.append(Warned(f"builtin_tool:{_NOT_A_NAME.sub('_', name)[:_LONGEST_NAME]}"))
        if asking[0].startswith(_QUESTION_TOOL):
            self._question = "".join(pieces)
        called = self._blocks.setdefault((*key[:2], "call"), [""])
        called[0] = call_id or called[0]  # the frame with the results need not repeat it
        for number, content in enumerate(json.items(tool, "contents")):
            found = json.member(content, "searchResult")
            self._searches.found([found], out, fallback_ref=f"{called[0]}#{number}")


_WHOLE = _Change(append=False)


def _object(payload: bytes) -> dict[str, object]:
    try:
        value = json.parse(payload)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UpstreamProtocolError("Kimi sent a frame that is not a JSON object.")
    return value
