"""One answer to the client, over as many turns with Kimi as it takes.

An answer that cannot be taken as it is, a tool call that cannot be read or JSON that does not fit, is asked for again
in the same conversation. That is another turn: nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from app.chat.events import Event, Failed
from app.chat.request import Continuation
from app.chat.stages import ended
from app.errors import GatewayError
from app.gateway.chain import Chain
from app.gateway.custody import Custody
from app.gateway.patience import Patience
from app.kimi.exchange import Exchange
from app.kimi.turn import Turn

OpenTurn = Callable[[Turn, Continuation | None], Exchange]


class Talk:
    """The turns of one answer. `exchange` is the last of them, `end` the last list of events: the caller tells it."""

    def __init__(self, *, chain: Chain, open_turn: OpenTurn) -> None:
        self.exchange: Exchange | None = None
        self.end: list[Event] = []
        self._chain = chain
        self._open = open_turn

    def events(
        self, turn: Turn, continues: Continuation | None, custody: Custody, patience: Patience
    ) -> Generator[list[Event]]:
        """Give all events but those of the last list, which stand in `end` then.

        The answer may be over before Kimi's is: then its exchange still runs.
        """
        try:
            while not self.end:
                yield from self._turn(turn, continues, custody, patience)
                question = self._chain.follow_up
                if self.end or question is None:
                    return
                tip = self.exchange.tip if self.exchange is not None else None
                if tip is None:
                    self.end = self._seen(self._chain.conclude(), custody)
                    return
                self._chain.begin()
                custody.goes_on()
                patience.upstream.check()  # nothing is asked for a client that has left
                turn, continues = Turn(question), tip
        except GatewayError as error:
            self.end = self._seen(self._chain([Failed(error)]), custody)

    def _turn(
        self, turn: Turn, continues: Continuation | None, custody: Custody, patience: Patience
    ) -> Generator[list[Event]]:
        self.exchange = self._open(turn, continues)
        with closing(_as_generator(self.exchange, patience)) as lists:
            for events in lists:
                passed = self._seen(self._chain(events), custody)
                if self.exchange.conversation_id is not None:
                    patience.opened()
                if ended(passed):
                    self.end = passed
                    return
                if passed:
                    yield passed

    def _seen(self, events: list[Event], custody: Custody) -> list[Event]:
        if self.exchange is not None:
            custody.saw(events, self.exchange)
        return events


def _as_generator(exchange: Exchange, patience: Patience) -> Generator[list[Event]]:
    yield from exchange.events(patience.upstream)
