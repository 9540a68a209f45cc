"""What becomes of the conversation of one answer.

It is written down in the ledger before the first event of the answer is passed on. At its end it is one of three: idle,
to be continued by a request that goes on where the answer ended; the client's own, which asked for that; or deleted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.accounts.credentials import Credential
from app.chat.completion import Spoken
from app.chat.events import Event, Failed, Finished, Preamble
from app.chat.request import ChatRequest, Role
from app.conversations.continuity import Continuity, Found, Holder
from app.conversations.history import after
from app.conversations.ledger import Entry, Ledger
from app.errors import GatewayError, TokenExpired, UpstreamUnreachable
from app.gateway.cleanup import CleanUp
from app.kimi.exchange import Exchange
from app.state.presence import Presence

SLACK = 15.0
"""Seconds for which a conversation outlives the time in which it may be claimed: one may just have done so."""


@dataclass(frozen=True, slots=True)
class Keeping:
    """The rules and the books. `ttl` is how many seconds an idle conversation is kept, 0: not at all.

    `keeps_all` says that no conversation is ever deleted.
    """

    ledger: Ledger
    cleanup: CleanUp
    continuity: Continuity
    presence: Presence
    ttl: float
    keeps_all: bool = False


def holder_of(credential: Credential, protocol: str) -> Holder:
    """The account as the conversations know it."""
    return Holder(credential.account, credential.secret, protocol)


class Custody:
    """The conversation of one answer, from its opening to its end.

    `thread` is the idle conversation that was claimed for the answer, None for a new one; `passing` says that the
    request is a throw-away one.
    """

    def __init__(
        self,
        keeping: Keeping,
        credential: Credential,
        request: ChatRequest,
        protocol: str,
        *,
        kind: str,
        thread: Found | None,
        passing: bool,
    ) -> None:
        self._keeping = keeping
        self._credential = credential
        self._request = request
        self._protocol = protocol
        self._kind = kind
        self._thread = thread
        self._passing = passing
        self._spoken = Spoken()
        self._begun = False
        self._went_on = False
        self._keeps = (keeping.keeps_all or request.keep) and not passing
        self._entry: Entry | None = None
        # A conversation of the client's own is none of ours, nor is one that was to be kept from its first answer on.
        self._settled = request.conversation_id is not None or (keeping.keeps_all and thread is not None)
        if thread is not None:
            self._open(thread.idle.conversation_id)

    def saw(self, events: Sequence[Event], exchange: Exchange) -> None:
        """Take note of events before they are passed on."""
        if exchange.conversation_id is not None:
            self._open(exchange.conversation_id)
        for event in events:
            self._spoken.feed(event)
            match event:
                case Finished("stop" | "tool_calls", cut=False):
                    self._finish(exchange)
                case Failed(error) if not self._begun:
                    self._go_back(error)
                case _:
                    pass
            if not self._begun and not isinstance(event, Preamble | Failed):
                self._begin()

    def goes_on(self) -> None:
        """The model is asked once more in the conversation, which is not where it was any longer."""
        self._went_on = True

    def unsent(self) -> None:
        """Nothing was sent: the conversation stays where it was."""
        if self._thread is not None:
            self._keeping.continuity.give_back(self._thread)
            self._keep()

    def end(self) -> None:
        """The answer is over: what was not kept is deleted."""
        if self._entry is not None and not self._settled:
            self._settled = True
            self._keeping.cleanup.discard(self._credential, self._entry)

    def _open(self, conversation_id: str) -> None:
        if self._entry is None and not self._settled:
            self._entry = Entry(conversation_id, self._protocol, self._keeping.presence.announce(), due=0.0)
            self._keeping.ledger.write(self._credential.account, self._entry)

    def _begin(self) -> None:
        """The first word: a conversation that the client asked to keep is its own from here on."""
        self._begun = True
        if self._keeps and self._entry is not None and not self._settled:
            self._settled = True
            self._keeping.ledger.strike(self._credential.account, [self._entry.conversation_id])
            self._keeping.continuity.own(self._credential.account, self._entry.conversation_id)

    def _finish(self, exchange: Exchange) -> None:
        """A whole answer: the next request may go on from it, and may come as soon as this one's end is told."""
        tip = exchange.tip
        request = self._request
        named = request.keep or request.conversation_id is not None  # the client goes on by the conversation's id
        if named or self._passing or tip is None or self._keeping.ttl <= 0:
            return
        if request.messages[-1].role is Role.ASSISTANT:
            return  # the client had begun the answer itself, and will send both as one
        digests = after(request, self._kind, self._spoken.message)
        self._keeping.continuity.remember(holder_of(self._credential, self._protocol), digests, tip)
        self._keep()

    def _go_back(self, error: GatewayError) -> None:
        """A turn that never reached Kimi, or was refused before it began, leaves the conversation where it was.

        The legacy site is not told which message is answered, and may have kept the one that it refused to answer.
        """
        unsent = isinstance(error, TokenExpired | UpstreamUnreachable)
        is_tree = self._thread is not None and self._thread.idle.parent_id is not None
        if (unsent and not self._went_on) or (is_tree and (unsent or error.another_account)):
            self.unsent()

    def _keep(self) -> None:
        if self._entry is not None and not self._settled:
            self._settled = True
            self._keeping.cleanup.keep(self._credential, self._entry, self._keeping.ttl + SLACK)
