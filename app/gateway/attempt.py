"""One account's attempt at an answer: its conversation, its turn, and what Kimi makes of them.

Some refusals are nobody's fault and come before anything has begun: a token that has just expired, a conversation that
Kimi no longer has, a prompt that is too long for one message. They are mended here and the turn is sent again; every
other end of an answer is the end of the attempt.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from app.accounts.credentials import Credential
from app.accounts.pool import AccountLease
from app.accounts.tokens import AccessToken
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, PromptMoved
from app.chat.progress import begun, failure, opening
from app.chat.request import ChatRequest, Continuation, Message, unheard
from app.conversations.continuity import Found, Holder
from app.errors import ContextLengthExceeded, ConversationNotFound, GatewayError, InvalidRequest, TokenExpired
from app.gateway.chain import Chain, Terms
from app.gateway.custody import Custody, Keeping, holder_of
from app.gateway.enclosures import Enclosures
from app.gateway.patience import Patience
from app.gateway.talk import Talk
from app.gateway.upstream import Upstream
from app.kimi.exchange import Exchange
from app.kimi.turn import PROMPT_FILE, Turn, moved
from config.models import ModelTable

_log = logging.getLogger(__name__)

STOP_PAUSES = (0.0, 1.0)
"""Seconds before each attempt to stop what a client that left has left running."""

MOVABLE = 8000
"""Characters that a prompt must have for its length to be what Kimi refuses."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request on its way: what is asked, what kind of request that is, and the idle conversation that it continues.

    `passing` says that nothing of it is to be kept, because a program asks it for itself; `preferred` names the
    credential that reaches the conversation.
    """

    request: ChatRequest
    kind: str
    thread: Found | None
    passing: bool
    preferred: str | None = None

    def messages(self, thread: Found | None) -> Sequence[Message]:
        """What is to be said: all, or what the conversation that goes on has not heard."""
        goes_on = thread is not None or self.request.conversation_id is not None
        return unheard(self.request.messages) if goes_on else self.request.messages


class Prompt:
    """How long the prompt of a request is, and whether it is sent as a file: once so, so for every account.

    `most` is the number of characters beyond which it is.
    """

    def __init__(self, most: int) -> None:
        self.length = 0
        self.moved = False
        self._most = most
        self._told = False

    def take_in(self, length: int) -> None:
        """Note how many characters it has."""
        self.length = length
        self.moved = self.moved or length > self._most

    def news(self) -> Iterator[list[Event]]:
        """What the client has to be told of it and does not know yet."""
        if self.moved and not self._told:
            self._told = True
            yield [PromptMoved()]


@dataclass(slots=True)
class _Course:
    """How an attempt goes: what it sends, which conversation it continues, what has been mended so far.

    `unsent` says that the turn could not be prepared.
    """

    enclosures: Enclosures
    prompt: Prompt
    thread: Found | None
    token: AccessToken
    unsent: bool = False
    renewals: int = 0


class Attempts:
    """Makes attempts."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        keeping: Keeping,
        models: ModelTable,
        background: Callable[[Callable[[], None]], None],
        errs_without_call: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._upstream = upstream
        self._keeping = keeping
        self._models = models
        self._background = background
        self._errs_without_call = errs_without_call
        self._sleep = sleep

    def run(
        self, ask: Ask, lease: AccountLease, enclosures: Enclosures, prompt: Prompt, cancellation: Cancellation
    ) -> Generator[list[Event]]:
        """One account's answer; the last event is Finished or Failed. PromptMoved comes in a list of its own."""
        credential = lease.credential
        course: _Course | None = None
        while True:
            try:
                cancellation.check()
                token = self._upstream.token(credential)
            except GatewayError as error:
                lease.failed(error)
                yield [Failed(error)]
                return
            course = course or _Course(enclosures, prompt, ask.thread, token)
            course.token = token
            if course.thread is not None and course.thread.holder != self._holder(credential):
                course.thread = None
            prompt.take_in(sum(len(message.text) for message in ask.messages(course.thread)))
            yield from prompt.news()  # while nothing is claimed, and before the headers leave
            course.thread = self._claimed(course.thread)
            with closing(self._exchange(ask, lease, course, cancellation)) as events:
                first = opening(events)
                yield from prompt.news()
                if not self._mends(course, first, lease):
                    yield from self._noted(lease, itertools.chain([first], events))
                    return

    def _mends(self, course: _Course, first: Sequence[Event], lease: AccountLease) -> bool:
        """Whether a refusal that came before anything had begun is one that another try mends."""
        failed = failure(first)
        if failed is None or begun(first) or course.unsent:
            return False
        error, unopened, prompt = failed.error, len(first) == 1, course.prompt
        if unopened and isinstance(error, TokenExpired):
            course.renewals += 1
            return self._upstream.renews(lease.credential, course.token, course.renewals - 1)
        if isinstance(error, ContextLengthExceeded):
            movable = prompt.length > MOVABLE and not prompt.moved
            mends = course.thread is not None or movable
            # A conversation that is full is replaced by a new one, whose history is worth a file.
            course.thread = None
            prompt.moved = prompt.moved or mends
            return mends
        gone = isinstance(error, ConversationNotFound) or (unopened and type(error) is InvalidRequest)
        if course.thread is not None and gone:
            course.thread = None
            return True
        return False

    def _claimed(self, thread: Found | None) -> Found | None:
        """The conversation to go on with, if nobody else goes on with it."""
        return thread if thread is not None and self._keeping.continuity.claim(thread) else None

    def _holder(self, credential: Credential) -> Holder:
        return holder_of(credential, self._upstream.protocol(credential))

    def _turn(self, ask: Ask, course: _Course, credential: Credential, terms: Terms) -> Turn:
        """What is sent: the attachments are on Kimi's side when this returns. Raises GatewayError."""
        enclosures, prompt = course.enclosures, course.prompt
        sent = enclosures.send(ask.messages(course.thread), credential)
        guide = terms.guide(told=course.thread is not None)
        text, files = self._upstream.compose(credential, sent.messages, guide), sent.files
        prompt.take_in(len(text))
        if prompt.moved:
            files = (enclosures.send_text(PROMPT_FILE, text, credential), *files)
            text = moved(sent.messages, guide)
        if files:
            course.token = self._upstream.token(credential)  # the first one may have expired meanwhile
        return Turn(text, files)

    def _prepared(
        self, ask: Ask, course: _Course, credential: Credential, custody: Custody, terms: Terms
    ) -> Turn | Failed:
        """The turn; without one, the conversation it was for stays where it was."""
        try:
            return self._turn(ask, course, credential, terms)
        except GatewayError as error:
            course.unsent = True
            custody.unsent()
            return Failed(error)
        except BaseException:
            custody.end()
            raise

    def _exchange(
        self, ask: Ask, lease: AccountLease, course: _Course, cancellation: Cancellation
    ) -> Generator[list[Event]]:
        """One answer of Kimi's, over as many turns as it takes; all is closed at its end, however it ends.

        The end is told last: by then the account is free, unless something still has to be stopped.
        """
        credential, request, thread = lease.credential, ask.request, course.thread
        protocol = self._upstream.protocol(credential)
        custody = Custody(
            self._keeping, credential, request, protocol, kind=ask.kind, thread=thread, passing=ask.passing
        )
        terms = Terms.of(request, self._models.choose(request.model), credential.secret)
        turn = self._prepared(ask, course, credential, custody, terms)
        if isinstance(turn, Failed):
            yield [turn]
            return
        continues = thread.idle.continuation if thread else None
        if request.conversation_id is not None:
            self._keeping.continuity.forget(credential.account, request.conversation_id)
            continues = Continuation(request.conversation_id)

        def open_turn(turn: Turn, continues: Continuation | None) -> Exchange:
            if talk.exchange is not None:
                course.token = self._upstream.token(credential)  # the first one may have expired meanwhile
            return self._upstream.open(request, turn, credential, course.token, continues)

        talk = Talk(chain=Chain(terms, errs=self._errs_without_call), open_turn=open_turn)
        with Patience(cancellation) as patience:
            try:
                yield from talk.events(turn, continues, custody, patience)
            finally:
                exchange = talk.exchange
                if exchange is not None and exchange.running:
                    release = lease.keep()
                    self._background(lambda: self._stop(exchange, credential, custody, release))
                else:
                    custody.end()
        if talk.end:
            yield talk.end

    def _noted(self, lease: AccountLease, lists: Iterable[list[Event]]) -> Iterator[list[Event]]:
        """Pass events on, telling the pool and the clean-up how the account does."""
        for events in lists:
            for event in events:
                match event:
                    case Opened():
                        self._keeping.cleanup.appeared(lease.credential)
                    case Finished():
                        lease.succeeded()
                        lease.give_back()  # before the client knows: its next request may come at once
                    case Failed(error):
                        lease.failed(error)
                    case _:
                        pass
            yield events

    def _stop(self, exchange: Exchange, credential: Credential, custody: Custody, release: Callable[[], None]) -> None:
        """Stop what still runs on Kimi's side; only then is the account's slot free, and the conversation deleted."""
        try:
            for pause in STOP_PAUSES:
                self._sleep(pause)
                try:
                    self._upstream.stop(credential, exchange)
                except ConversationNotFound:
                    break
                except GatewayError as error:
                    _log.info("an answer could not be stopped", extra={"fields": {"code": error.code}})
                else:
                    break
        finally:
            release()
            custody.end()
