"""A Kimi that remembers: every chat is a tree of messages, and what the model sees is the path to the one answered."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from app.accounts.credentials import claims_of, parse_credentials
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, TextDelta
from app.chat.request import ChatRequest, Continuation, FilePart, Inline, Message, Role, TextPart
from app.errors import (
    ContextLengthExceeded,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    UpstreamBusy,
    UpstreamTruncated,
)
from app.gateway.chain import Terms
from app.kimi.client import Account, KimiClient
from app.kimi.turn import PROMPT_FILE, merge
from app.kimi.turn import Turn as Sent
from config.models import ModelEntry, load_models
from tests.fakes import FakeStorage

MODELS = load_models()
_CALL = re.compile(r'<call:\w{4} name="([^"]*)">\n(.*?)\n</call:\w{4}>', re.DOTALL)
_THINKING = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class Node:
    """A message in a chat; `parent` None is the first one."""

    parent: str | None
    role: Role
    text: str
    files: tuple[bytes, ...] = ()


@dataclass
class Chat:
    """A chat as its site keeps it. `by_hand` was begun by the person, `kept` is to outlive its answer."""

    owner: str
    site: str
    by_hand: bool = False
    kept: bool = False
    nodes: dict[str, Node] = field(default_factory=dict)

    @property
    def newest(self) -> str | None:
        """The message that was written last."""
        return next(reversed(self.nodes), None)

    def path(self, to: str | None) -> list[Node]:
        """The messages from the first one to this."""
        found: list[Node] = []
        while to is not None:
            found.insert(0, self.nodes[to])
            to = self.nodes[to].parent
        return found

    def add(self, parent: str | None, role: Role, text: str, files: tuple[bytes, ...] = ()) -> str:
        """Write a message; give its id."""
        identity = f"message-{len(self.nodes)}"
        self.nodes[identity] = Node(parent, role, text, files)
        return identity


@dataclass(frozen=True)
class Turn:
    """One turn as the model met it: what stands in the chat before it, and the new text with its files."""

    request: ChatRequest
    chat_id: str
    before: tuple[Node, ...]
    text: str
    files: tuple[bytes, ...] = ()
    secret: bytes = b""

    @property
    def is_native(self) -> bool:
        """Whether it went on in a chat."""
        return bool(self.before)

    @property
    def is_true(self) -> bool:
        """Whether the model saw exactly the request's history: nothing more, nothing less, in its order."""
        messages = self.request.messages
        heard = [node for node in self.before if node.role is Role.ASSISTANT]
        asked = [node for node in self.before if node.role is Role.USER]
        texts, files = [*(node.text for node in asked), self.text], [*(node.files for node in asked), self.files]
        answers = [place for place, message in enumerate(messages) if message.role is Role.ASSISTANT]
        if len(heard) > len(answers) or len(asked) != len(heard):
            return False
        cuts = answers[len(answers) - len(heard) :]
        ends = [*cuts, len(messages)]
        begins = [0, *(cut + 1 for cut in cuts)]
        turns = [messages[begin:end] for begin, end in zip(begins, ends, strict=True)]
        said = [self._said(messages[:end], turn, told=end > ends[0]) for end, turn in zip(ends, turns, strict=True)]
        same = all(_is_of(node.text, messages[cut]) for node, cut in zip(heard, cuts, strict=True))
        same = same and files == [_shown(turn) for turn in turns]
        return same and _merged(said[0]) == _merged(texts[0]) and said[1:] == texts[1:]

    def _said(self, history: Sequence[Message], turn: Sequence[Message], *, told: bool) -> str:
        """What one turn says, as it was said at its time."""
        request = replace(self.request, messages=tuple(history))
        return merge(_marked(turn), guide=Terms.of(request, MODELS.choose(request.model), self.secret).guide(told=told))


def _shown(messages: Sequence[Message]) -> tuple[bytes, ...]:
    """The pictures of these messages, each once."""
    sources = [file.source for message in messages for file in message.files]
    return tuple(dict.fromkeys(source.data for source in sources if isinstance(source, Inline)))


def _marked(messages: Sequence[Message]) -> list[Message]:
    """These messages with their pictures as words: where each stands, but for the only one of the last message."""
    found: list[Message] = []
    for place, message in enumerate(messages):
        is_plain = place == len(messages) - 1 and len(message.files) == 1
        words = [
            part.text if isinstance(part, TextPart) else f"[image: {part.name}]"
            for part in message.parts
            if isinstance(part, TextPart | FilePart)
        ]
        text = message.text if is_plain else "\n".join(words)
        found.append(Message(message.role, (*filter(None, [message.answers]), TextPart(text), *message.calls)))
    return found


def _is_of(text: str, message: Message) -> bool:
    """Whether a client may repeat an answer of this text so: its calls, or where there are none its words."""
    if not message.calls:
        return _bare(text) == _bare(message.text)
    return [(name, json.loads(arguments)) for name, arguments in _CALL.findall(text)] == [
        (call.name, json.loads(call.arguments)) for call in message.calls
    ]


def _bare(text: str) -> str:
    """What an answer says, without what clients make of it."""
    return "".join(_THINKING.sub("", text).split())


def _merged(text: str) -> str:
    """A first text: if earlier answers are merged into it, clients may have made something of those as well."""
    return _bare(text) if '<message role="assistant">' in text else text


Outcome = str
"""How an answer ends: `whole`, `cut`, or refused, before its conversation is told (`refused`; `full` for one without
room) or after it (`refused late`)."""

OUTCOMES = ("whole", "refused", "refused late", "cut", "full")


class TreeKimi(KimiClient):
    """Both of Kimi's sites. The next answers end as `outcomes` say, all others are whole; `turns` is what was asked.

    `storage` holds the files: of each turn those that its account has put there over its protocol.

    `words` gives the text of each answer. Of the legacy site (`rest`) a chat is continued at its newest message.
    """

    def __init__(self, *outcomes: Outcome, words: Callable[[int], str] = lambda number: f"Answer {number}.") -> None:
        self.chats: dict[str, Chat] = {}
        self.storage = FakeStorage()
        self.turns: list[Turn] = []
        self.deleted: list[str] = []
        self.outcomes = list(outcomes)
        self.words = words
        self._numbers = itertools.count()  # no chat ever has the id of another, nor of one that is gone

    def open(
        self,
        request: ChatRequest,
        turn: Sent,
        account: Account,
        offered: Callable[[], tuple[ModelEntry, ...]],
        continues: Continuation | None = None,
    ) -> TreeExchange:
        return TreeExchange(self, request, turn, account, continues)

    def offered(self, account: Account) -> tuple[ModelEntry, ...]:
        return ()

    def delete(self, account: Account, conversation_ids: Sequence[str]) -> None:
        for identity in conversation_ids:
            chat = self.chats.get(identity)
            if chat is not None and (chat.owner, chat.site) == (owner(account), account.protocol):
                del self.chats[identity]
                self.deleted.append(identity)

    def begin(self, whose: str, site: str, *, by_hand: bool = False) -> str:
        """A new chat; give its id."""
        identity = f"chat-{next(self._numbers)}"
        self.chats[identity] = Chat(whose, site, by_hand=by_hand)
        return identity

    def speak_by_hand(self, chat_id: str) -> None:
        """The person goes on in a chat, at its newest message."""
        chat = self.chats[chat_id]
        asked = chat.add(chat.newest, Role.USER, "By hand?")
        chat.add(asked, Role.ASSISTANT, "By hand.")


def owner(account: Account) -> str:
    """The user of an access token."""
    return str(claims_of(account.token)["sub"])


class TreeExchange:
    """One turn in a chat."""

    def __init__(
        self, kimi: TreeKimi, request: ChatRequest, sent: Sent, account: Account, continues: Continuation | None
    ) -> None:
        self.conversation_id = continues.conversation_id if continues else None
        self.running = False
        self._kimi = kimi
        self._request = request
        self._sent = sent
        self._account = account
        self._continues = continues
        self._tip: str | None = None

    @property
    def tip(self) -> Continuation | None:
        """The answer; the legacy site does not tell messages apart."""
        if self.conversation_id is None or self._tip is None:
            return None
        return Continuation(self.conversation_id, self._tip if self._account.protocol == "connect" else None)

    def events(self, cancellation: Cancellation) -> Iterator[list[Event]]:
        outcome = self._kimi.outcomes.pop(0) if self._kimi.outcomes else "whole"
        refusals: dict[Outcome, GatewayError] = {
            "refused": UpstreamBusy("no", retry_after=1.0),
            "full": ContextLengthExceeded("no"),
        }
        refusal = refusals.get(outcome)
        chat = self._kimi.chats.get(self.conversation_id or "")
        if self._continues is not None:
            refusal = refusal or self._lost(chat)
        if refusal is not None and (chat is None or self._account.protocol == "connect"):
            yield [Failed(refusal)]
            return
        if chat is None:
            self.conversation_id = self._kimi.begin(owner(self._account), self._account.protocol)
            chat = self._kimi.chats[self.conversation_id]
        asked = self._ask(chat, self.conversation_id or "")
        if refusal is not None:  # the legacy site has kept what it does not answer
            yield [Failed(refusal)]
            return
        self.running = self._account.protocol == "connect"
        yield [Opened(self.conversation_id or "")]
        yield from self._answer(chat, asked, outcome)
        self.running = False

    def stop(self, token: str) -> None:
        self.running = False

    def _lost(self, chat: Chat | None) -> GatewayError | None:
        place = (owner(self._account), self._account.protocol)
        if chat is None or (chat.owner, chat.site) != place:
            return ConversationNotFound("no")
        parent = self._continues.parent_id if self._continues else None
        return InvalidRequest("no") if parent is not None and parent not in chat.nodes else None

    def _ask(self, chat: Chat, chat_id: str) -> str:
        told = self._continues.parent_id if self._continues else None
        parent = told if told is not None else chat.newest
        text, files = self._read()
        secret = parse_credentials(self._account.token)[0].secret
        self._kimi.turns.append(Turn(self._request, chat_id, tuple(chat.path(parent)), text, files, secret))
        return chat.add(parent, Role.USER, text, files)

    def _read(self) -> tuple[str, tuple[bytes, ...]]:
        """What is said, wherever it stands, and what is shown with it; all files are the account's own."""
        kept = [self._kimi.storage.kept[file_id] for file_id in self._sent.files]
        assert {(owner(file.account), file.account.protocol) for file in kept} <= {
            (owner(self._account), self._account.protocol)
        }
        if kept and kept[0].name == PROMPT_FILE:
            return kept[0].data.decode(), tuple(file.data for file in kept[1:])
        return self._sent.text, tuple(file.data for file in kept)

    def _answer(self, chat: Chat, asked: str, outcome: Outcome) -> Iterator[list[Event]]:
        if outcome == "refused late":
            self.running = False
            yield [Failed(UpstreamBusy("no", retry_after=1.0))]
            return
        text = self._kimi.words(len(self._kimi.turns))
        half = len(text) // 2 or 1
        self._tip = chat.add(asked, Role.ASSISTANT, text)
        chat.kept = chat.kept or self._request.keep
        yield [TextDelta(text[:half])]
        if outcome == "cut":
            self.running = False
            yield [Failed(UpstreamTruncated("no"))]
            return
        if text[half:]:
            yield [TextDelta(text[half:])]
        self.running = False
        yield [Finished()]


def turns(*texts: str) -> tuple[Message, ...]:
    """A history: the user begins, and speaks and listens in turn."""
    return tuple(Message.of(Role.ASSISTANT if place % 2 else Role.USER, text) for place, text in enumerate(texts))
