"""Answers requests: which account, which conversation, how often it is tried.

Retries and changes of account happen here and nowhere else, and only before the first word: after it, the client has
part of an answer that no other attempt continues. Whatever ends an answer, also a client that hangs up, the exchange
with Kimi is closed here: its generation stopped, its conversation kept or deleted, its account given back.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from app.accounts.credentials import Credential
from app.accounts.pool import AccountLease, Pool
from app.accounts.tokens import AccessToken
from app.chat.background_calls import is_background_call
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Finished, Opened, Served
from app.chat.progress import begun, failure, opening
from app.chat.request import ChatRequest, Continuation, Effort
from app.chat.stages import Citations, Stage, UsageCount
from app.chat.tokens import PER_MESSAGE, estimate
from app.conversations.continuity import Found, Holder
from app.errors import ConversationNotFound, GatewayError, InvalidRequest, TokenExpired
from app.gateway.custody import Custody, Keeping, holder_of
from app.gateway.patience import Patience
from app.gateway.upstream import Upstream
from app.kimi.exchange import Exchange
from config.models import ModelTable

_log = logging.getLogger(__name__)

STOP_PAUSES = (0.0, 1.0)
"""Seconds before each attempt to stop what a client that left has left running."""


@dataclass(frozen=True, slots=True)
class _Ask:
    """A request on its way: what is asked, what kind of request that is, and the idle conversation that it continues.

    `passing` says that nothing of it is to be kept, because a program asks it for itself; `preferred` names the
    credential that reaches the conversation.
    """

    request: ChatRequest
    kind: str
    thread: Found | None
    passing: bool
    preferred: str | None = None


class Gateway:
    """Answers requests."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pool: Pool,
        keeping: Keeping,
        models: ModelTable,
        background: Callable[[Callable[[], None]], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._upstream = upstream
        self._pool = pool
        self._keeping = keeping
        self._models = models
        self._background = background
        self._sleep = sleep

    def keeps(self, request: ChatRequest) -> bool:
        """Whether the client is told the conversation's id, so that it can continue it by that."""
        asked = self._keeping.keeps_all or request.keep or request.conversation_id is not None
        return asked and not is_background_call(request.messages)

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation
    ) -> Iterator[list[Event]]:
        """Give the answer's events, one list for each network read; the last event of all is Finished or Failed.

        Errors of the tree are not raised but given as Failed. What goes before the first word is held until then.
        """
        ask = self._ask(request, credentials)
        left = self._candidates(ask.request, credentials)
        last: GatewayError | None = None
        while left:
            try:
                lease = self._pool.lease(left, ask.kind, cancellation, prefer=ask.preferred)
            except GatewayError as error:
                yield [Failed(self._truest(error, last, ask, credentials))]
                return
            others = [other for other in left if other != lease.credential]
            held: list[Event] = [Served(lease.credential.account, lease.waited)]
            with lease, closing(self._attempt(ask, lease, cancellation)) as attempt:
                for events in attempt:
                    held += events
                    failed = failure(held)
                    if begun(held):
                        yield held
                        yield from attempt
                        return
                    if failed:
                        last = failed.error
                        left = _after(last, lease.credential, others, ask.request)
                        if not left:
                            yield [*held[:-1], Failed(self._truest(last, None, ask, credentials))]
                            return
                        _log.info("another account is tried", extra={"fields": {"code": last.code}})
                        break

    def models(self, credentials: Sequence[Credential]) -> Sequence[str]:
        """The model names to list: those of the table whose model the account is offered, and all if that is unknown.

        Raises the errors of the credential; a site that cannot be asked hides nothing.
        """
        return self._models.names(self._upstream.offered(credentials[0]))

    def _ask(self, request: ChatRequest, credentials: Sequence[Credential]) -> _Ask:
        """What is asked. A program's own call gets the plain model: it must be quick, and cost little."""
        if is_background_call(request.messages):
            quiet = replace(request, use_search=False, effort=Effort.NONE, conversation_id=None, keep=False)
            plain = replace(quiet, model=self._models.default)
            return _Ask(plain, self._models.choose(plain.model).kind, None, passing=True)
        kind = self._models.choose(request.model).kind
        thread = preferred = None
        if self._keeping.ttl > 0 and request.conversation_id is None and not request.keep:
            holders = [self._holder(credential) for credential in credentials]
            if thread := self._keeping.continuity.find(request, kind, holders):
                preferred = credentials[holders.index(thread.holder)].name
        return _Ask(request, kind, thread, passing=False, preferred=preferred)

    def _candidates(self, request: ChatRequest, credentials: Sequence[Credential]) -> list[Credential]:
        """The accounts that may serve: of a conversation that is known, only its own."""
        if request.conversation_id is None:
            return list(credentials)
        owner = self._keeping.continuity.owner(
            request.conversation_id, [credential.account for credential in credentials]
        )
        return [credential for credential in credentials if owner in {None, credential.account}]

    def _attempt(self, ask: _Ask, lease: AccountLease, cancellation: Cancellation) -> Generator[list[Event]]:
        """One account's answer.

        An access token that Kimi refuses outright is renewed, and a conversation that is not there any more is replaced
        by a new one with the whole history: nothing had begun.
        """
        credential = lease.credential
        thread, renewals = ask.thread, 0
        while True:
            try:
                cancellation.check()
                token = self._upstream.token(credential)
            except GatewayError as error:
                lease.failed(error)
                yield [Failed(error)]
                return
            thread = self._claimed(thread, credential)
            with closing(self._exchange(ask, lease, token, thread, cancellation)) as events:
                first = opening(events)
                if _is_refused(first) and self._upstream.renews(credential, token, renewals):
                    renewals += 1
                elif thread is not None and _is_lost(first):
                    thread = None
                else:
                    yield from self._noted(lease, itertools.chain([first], events))
                    return

    def _claimed(self, thread: Found | None, credential: Credential) -> Found | None:
        """The conversation to go on with, if it is this account's and nobody else goes on with it."""
        if thread is None or thread.holder != self._holder(credential):
            return None
        return thread if self._keeping.continuity.claim(thread) else None

    def _holder(self, credential: Credential) -> Holder:
        return holder_of(credential, self._upstream.protocol(credential))

    def _exchange(
        self, ask: _Ask, lease: AccountLease, token: AccessToken, thread: Found | None, cancellation: Cancellation
    ) -> Generator[list[Event]]:
        """One turn with Kimi, closed at its end however it ends."""
        credential, request = lease.credential, ask.request
        continues = thread.idle.continuation if thread else None
        if request.conversation_id is not None:
            self._keeping.continuity.forget(credential.account, request.conversation_id)
            continues = Continuation(request.conversation_id)
        exchange = self._upstream.open(request, credential, token, continues)
        protocol = self._upstream.protocol(credential)
        custody = Custody(
            self._keeping, credential, request, protocol, kind=ask.kind, thread=thread, passing=ask.passing
        )
        stages = self._stages(request)
        with Patience(cancellation) as patience:
            try:
                for events in exchange.events(patience.upstream):
                    passed = _passed(stages, events)
                    custody.saw(passed, exchange)
                    if exchange.conversation_id is not None:
                        patience.opened()
                    if passed:
                        yield passed
            except GatewayError as error:
                custody.saw([Failed(error)], exchange)
                yield [Failed(error)]
            finally:
                if exchange.running:
                    release = lease.keep()
                    self._background(lambda: self._stop(exchange, credential, custody, release))
                else:
                    custody.end()

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

    def _truest(
        self, error: GatewayError, last: GatewayError | None, ask: _Ask, credentials: Sequence[Credential]
    ) -> GatewayError:
        """The error that tells a client most: with several accounts, how all of them stand."""
        if ask.request.conversation_id is not None or len(credentials) == 1 or not error.another_account:
            return error
        return self._pool.refusal(credentials, ask.kind) or last or error

    def _stages(self, request: ChatRequest) -> list[Stage]:
        choice = self._models.choose(request.model)
        prompt = sum(estimate(message.text) + PER_MESSAGE for message in request.messages)
        return [Citations(written=choice.list_sources and not choice.silent), UsageCount(prompt)]


def _is_refused(first: Sequence[Event]) -> bool:
    """Whether Kimi refused the token before anything was begun."""
    return len(first) == 1 and isinstance(first[0], Failed) and isinstance(first[0].error, TokenExpired)


def _is_lost(first: Sequence[Event]) -> bool:
    """Whether a conversation, or the message in it that is answered, is not there any more."""
    failed = failure(first)
    if failed is None or begun(first):
        return False
    unopened = len(first) == 1 and type(failed.error) is InvalidRequest
    return unopened or isinstance(failed.error, ConversationNotFound)


def _passed(stages: Sequence[Stage], events: list[Event]) -> list[Event]:
    for stage in stages:
        events = stage(events)
    return events


def _after(error: GatewayError, failed: Credential, others: list[Credential], request: ChatRequest) -> list[Credential]:
    """Which accounts may serve after one has failed: for the contract's codes, or to find who holds a conversation."""
    if isinstance(error, TokenExpired):
        return others
    searching = request.conversation_id is not None and isinstance(error, ConversationNotFound)
    if not (error.another_account or searching):
        return []
    return [other for other in others if other.account != failed.account]
