"""Chats and their messages, of both protocols."""

from dataclasses import dataclass, field
from typing import Literal

from emulator.identifiers import chat_uuid, timestamp, xid
from emulator.line import Line
from emulator.values import Json

COMPLETED = "MESSAGE_STATUS_COMPLETED"
GENERATING = "MESSAGE_STATUS_GENERATING"


@dataclass
class Message:
    """One message. `text` grows while it is generated; `parent_id` is empty for the root.

    `files` are the ids of the files that it refers to.
    """

    id: str
    parent_id: str
    role: Literal["system", "user", "assistant"]
    text: str = ""
    status: str = COMPLETED
    scenario: str = ""
    created: str = field(default_factory=timestamp)
    files: list[str] = field(default_factory=list)

    def as_connect(self, *, blocks: bool = True) -> Json:
        """Give the message as events and ListMessages carry it (captures/01)."""
        answer: Json = {"id": self.id, "parentId": self.parent_id}
        if not self.parent_id:
            del answer["parentId"]
        answer |= {"role": self.role, "status": self.status}
        if blocks and self.role != "system":
            files = [{"id": item, "status": "PROCESS_STATUS_SUCCESS"} for item in self.files]
            shown = [{"text": {"content": self.text}}, *({"file": file} for file in files)]
            answer["blocks"] = [{"messageId": "", **block} for block in shown]
        return answer | {"scenario": self.scenario, "createTime": self.created, "isGoal": False}


@dataclass
class Chat:
    """One chat. `running` are the connections on which an answer for it is under way."""

    id: str
    account: str
    site: Literal["connect", "legacy"]
    name: str = "Untitled Chat"
    messages: list[Message] = field(default_factory=list)
    created: str = field(default_factory=timestamp)
    deleted: bool = False
    cancelled: bool = False
    running: list[Line] = field(default_factory=list)
    segments: dict[str, list[str]] = field(default_factory=dict)
    """Legacy only: what is still to come after `length`, under the id of the req event (A4)."""

    def message(self, message_id: str) -> Message | None:
        """Find one of this chat's messages."""
        return next((item for item in self.messages if item.id == message_id), None)

    def path(self, message: Message) -> list[Message]:
        """Give the messages from the root to this one, each the parent of the next (B10)."""
        found: list[Message] = []
        step: Message | None = message
        while step is not None:
            found.append(step)
            step = self.message(step.parent_id)
        return found[::-1]

    def tip(self) -> Message:
        """Give the newest message, the parent of what comes next."""
        return self.messages[-1]

    def cancel(self) -> None:
        """Stop the answers under way, as CancelChat does (B11)."""
        self.cancelled = True
        for line in self.running:
            line.cancel()

    def as_connect(self) -> Json:
        """Give the chat as chat frames, GetChat and ListChats carry it (B6)."""
        return {"id": self.id, "name": self.name, "createTime": self.created}

    def as_legacy(self) -> Json:
        """Give the chat as POST /api/chat and the list carry it (A3)."""
        return {
            "id": self.id,
            "name": self.name,
            "created_at": self.created,
            "updated_at": self.created,
            "status": "normal",
            "type": "chat",
        }

    def as_control(self) -> Json:
        """Give the chat as the control plane shows it."""
        keys = ("id", "parent_id", "role", "text", "files")
        return {
            "id": self.id,
            "account": self.account,
            "name": self.name,
            "deleted": self.deleted,
            "cancelled": self.cancelled,
            "messages": [{key: getattr(item, key) for key in keys} for item in self.messages],
        }


class Shelf:
    """All chats by id, deleted ones included, since a test wants to see what was deleted."""

    def __init__(self) -> None:
        self._chats: dict[str, Chat] = {}

    def open_connect(self, account: str, chat_id: str = "") -> Chat:
        """Start a chat of the Connect site; its root is a system message of the same id (B10)."""
        chat = Chat(chat_id or chat_uuid(), account, "connect")
        chat.messages.append(Message(chat.id, "", "system"))
        self._chats[chat.id] = chat
        return chat

    def open_legacy(self, account: str, name: str) -> Chat:
        """Start a chat of the legacy site."""
        chat = Chat(xid(), account, "legacy", name)
        self._chats[chat.id] = chat
        return chat

    def find(self, chat_id: str, account: str, site: Literal["connect", "legacy"]) -> Chat | None:
        """Find a chat that its owner may still use: not deleted, not foreign, of that site."""
        chat = self._chats.get(chat_id)
        if chat is None or chat.deleted or chat.account != account or chat.site != site:
            return None
        return chat

    def of(self, account: str, site: Literal["connect", "legacy"]) -> list[Chat]:
        """List an account's chats, newest first."""
        chats = reversed(self._chats.values())
        return [item for item in chats if self.find(item.id, account, site) is item]

    def everything(self) -> list[Chat]:
        """List every chat ever opened, oldest first."""
        return list(self._chats.values())

    def clear(self) -> None:
        """Forget every chat."""
        self._chats.clear()
