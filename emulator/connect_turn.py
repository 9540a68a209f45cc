"""One composed answer of the Connect site, in the order of two live captures (B7)."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from emulator import connect_tools
from emulator.answers import AFTER_ALL, Answer, KimiError
from emulator.chats import Chat, Message
from emulator.connect_events import Events
from emulator.connect_files import as_json
from emulator.files import StoredFile
from emulator.identifiers import timestamp
from emulator.pieces import Delta, connect_marker, cut, deltas, limited
from emulator.steps import Send, Step, Steps, pause
from emulator.values import Json

_TITLE_LENGTH = 20
_UNSEEN = "must not be shown"


@dataclass(frozen=True)
class Turn:
    """The two messages of a turn, the chat they stand in, the echo of what was asked for, the files."""

    chat: Chat
    user: Message
    assistant: Message
    is_new: bool
    last_request: Json
    files: list[StoredFile]


class ConnectTurn:
    """Composes the steps of one answer. The assistant's message grows as the steps are taken."""

    def __init__(self, turn: Turn, answer: Answer, events: Events) -> None:
        self._turn = turn
        self._answer = answer
        self._events = events
        self._untitled = turn.is_new
        self._stages_block = self._stage_block = ""
        self._started = ""
        self._text_block = ""

    def steps(self) -> Steps:
        """Give the whole answer, from the first heartbeat to the end-stream frame."""
        yield from self._opening()
        yield from self._paced(self._body())
        yield from self._ending()

    def cancelled(self) -> list[Send]:
        """End an answer that CancelChat stopped; no status name for it was ever seen (B6)."""
        return [self._events.bare(done={}), self._events.end()]

    def _opening(self) -> Steps:
        turn, events = self._turn, self._events
        yield events.heartbeat()
        if turn.is_new:
            yield events.set("", chat=turn.chat.as_connect())
        echo = {"id": turn.chat.id, "lastRequest": turn.last_request}
        yield events.set("chat.lastRequest", chat=echo)
        if turn.is_new:
            yield events.set("", message=turn.chat.messages[0].as_connect())
        if turn.files:
            files = {"id": turn.chat.id, "files": [as_json(file) for file in turn.files]}
            yield events.append("chat.files", chat=files)
        yield events.set("message", message=turn.user.as_connect())
        yield events.set("message", message=turn.assistant.as_connect(blocks=False))
        yield events.heartbeat()

    def _paced(self, sends: Iterator[Send]) -> Iterator[Step]:
        for send in sends:
            yield send
            yield from pause(self._answer.delay)

    def _body(self) -> Iterator[Send]:
        answer, faults = self._answer, self._answer.faults
        if faults.empty:
            return
        if answer.thinking:
            yield from self._stages("STAGE_STATUS_START")
        pieces = cut(answer.thinking, answer.piece)
        middle = (len(pieces) + 1) // 2 if answer.search else len(pieces)
        think_block = yield from self._think(pieces[:middle])
        if answer.search:
            place = connect_tools.Place(self._events, self._stage_block, think_block)
            yield from connect_tools.search(place, self._turn, answer.search)
        yield from self._think(pieces[middle:])
        if faults.native_tool:
            place = connect_tools.Place(self._events, self._stage_block)
            yield from connect_tools.ipython(place)
        if answer.thinking:
            yield from self._stages("STAGE_STATUS_END")
        yield from self._text()
        if faults.ask_user:
            yield from connect_tools.ask_user(connect_tools.Place(self._events))

    def _stages(self, status: str) -> Iterator[Send]:
        """Open or close the thinking stage; both times with the same two ids (captures/01)."""
        if not self._stage_block:
            self._started = timestamp()
            self._stages_block = self._events.next_block()
            self._stage_block = self._events.next_block()
        stage = {"name": "STAGE_NAME_THINKING", "createTime": self._started, "status": status}
        fixed = {"messageId": self._turn.assistant.id, "createTime": self._started}
        outer = {"id": self._stages_block, "parentId": "", **fixed}
        inner = {"id": self._stage_block, "parentId": self._stages_block, **fixed}
        yield self._events.set("block.multiStage", block={**outer, "multiStage": {"stages": [stage]}})
        yield self._events.set("block.stage", block={**inner, "stage": stage})

    def _think(self, pieces: list[str]) -> Generator[Send, None, str]:
        """Send one think block; its id is the generator's value, empty when there is none."""
        if not pieces:
            return ""
        block = {"id": self._events.next_block(), "parentId": self._stage_block}
        first, *rest = pieces
        opened = {**block, "think": {"content": first}, "createTime": timestamp()}
        yield self._events.set("block.think", block=opened)
        yield from self._title()
        for piece in rest:
            content = {**block, "think": {"content": piece}}
            yield self._events.append("block.think.content", block=content)
        return block["id"]

    def _text(self) -> Iterator[Send]:
        limit = self._breaking()[1]
        for delta in limited(deltas(self._answer, self._answer.text or "", connect_marker), limit):
            if delta.cites:
                yield self._reference(delta)
            first = not self._text_block
            yield self._delta(delta.text)
            if first:
                yield from self._title()
                yield from self._oddities()

    def _delta(self, text: str) -> Send:
        """Send a piece of text; the first one already rides on the set (captures/01)."""
        self._turn.assistant.text += text
        content = {"parentId": "", "text": {"content": text}}
        if self._text_block:
            block = {"id": self._text_block, **content}
            return self._events.append("block.text.content", block=block)
        self._text_block = self._events.next_block()
        return self._events.set(
            "block.text",
            block={"id": self._text_block, **content, "createTime": timestamp()},
            squeeze=self._answer.faults.compressed_bit,
        )

    def _reference(self, delta: Delta) -> Send:
        """Send the record of a citation, which stands just before its marker (B8)."""
        items = [
            {"search": connect_tools.search_item(self._answer.search[index], index)}
            for index in delta.cites
            if index < len(self._answer.search)
        ]
        record = {"matchedText": delta.marker, "type": "TYPE_CITE", "items": items}
        message = {"id": self._turn.assistant.id, "references": [record]}
        return self._events.append("message.references", message=message)

    def _title(self) -> Iterator[Send]:
        """Name a new chat once, in the middle of the stream (B6)."""
        if self._untitled:
            self._untitled = False
            self._turn.chat.name = self._turn.user.text[:_TITLE_LENGTH]
            name = {"id": self._turn.chat.id, "name": self._turn.chat.name}
            yield self._events.set("chat.name", chat=name)

    def _oddities(self) -> Iterator[Send]:
        """Send what no client knows yet; all of it must be passed over (E)."""
        faults, events = self._answer.faults, self._events
        stray = {"id": self._text_block, "text": {"content": _UNSEEN, "hologram": _UNSEEN}}
        if faults.unknown_mask:
            yield events.set("block.text.hologram", block=stray)
        if faults.unknown_op:
            yield events.operate("merge", "block.text.content", block=stray)
        if faults.unknown_block:
            block = {"id": events.next_block(), "hologram": {"content": _UNSEEN}}
            yield events.set("block.hologram", block=block)
            yield events.set("", hologram={"content": _UNSEEN})
        if faults.oversize_frame is not None:
            giant = {"id": self._text_block, "text": {"content": "x" * faults.oversize_frame}}
            yield events.append("block.text.content", block=giant)

    def _breaking(self) -> tuple[KimiError | None, int]:
        """Give the error that breaks this answer, and after how many characters of text."""
        faults = self._answer.faults
        for error in (
            faults.overload_trailer,
            faults.error_trailer,
            faults.error_frame,
            faults.exception_block,
        ):
            if error is not None:
                return error, error.after_text
        return None, AFTER_ALL

    def _ending(self) -> Steps:
        faults, events = self._answer.faults, self._events
        if faults.overload_trailer or faults.error_trailer:
            yield events.end(self._breaking()[0])
            return
        if faults.error_frame:
            yield events.bare(error=faults.error_frame.as_json())
        elif faults.exception_block:
            yield self._exception(faults.exception_block)
            yield events.bare(done={})
        else:
            yield from self._completion()
        if not faults.no_trailer:
            yield events.end(faults.error_after_done)

    def _exception(self, error: KimiError) -> Send:
        """Take the text block back (B9): the turn ends without a COMPLETED."""
        message = {"locale": "en-US", "message": error.message}
        details = {"reason": error.reason, "localizedMessage": message, "severity": error.severity}
        block = {"id": self._text_block or self._events.next_block()}
        return self._events.set("block.exception", block={**block, "exception": {"error": details}})

    def _completion(self) -> Iterator[Send]:
        faults, events, assistant = self._answer.faults, self._events, self._turn.assistant
        if faults.degrade_notice:
            yield events.set("", notification=_DEGRADED)
        if faults.ask_user:
            chat = {"id": self._turn.chat.id, "status": "STATUS_ASK_USER_QUESTION"}
            yield events.set("chat.status", chat=chat)
        assistant.status = faults.status_value
        status = {"id": assistant.id, "status": assistant.status}
        yield events.set("message.status", message=status)
        yield events.bare(done={})


_DEGRADED: Json = {
    "type": "TYPE_MODEL_DEGRADE",
    "message": "High demand. Switched to K2.6 Instant for speed. Upgrade to use K2.6 Thinking.",
    "paywall": {},
}
