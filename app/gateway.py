"""The one use case: a request and its credentials in, a stream of events out.

Retries and changes of account happen here and nowhere else, and only before the first event: after it, the client has
part of an answer that no other attempt continues. Whatever ends an answer, also a client that hangs up, the exchange
with Kimi is closed here: generation stopped, the conversation deleted unless it is to be kept.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Self

from app.accounts.credentials import Credential, Kind
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessToken, AccessTokens
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, Preamble
from app.chat.request import ChatRequest
from app.chat.stages import Citations, Stage, UsageCount
from app.chat.tokens import PER_MESSAGE, estimate
from app.errors import ConversationNotFound, GatewayError, TokenExpired
from app.kimi.client import Account, KimiClient
from app.kimi.exchange import Exchange
from config.models import ModelEntry, ModelTable

_log = logging.getLogger(__name__)

OPENING_GRACE = 0.6
"""Seconds that an answer whose client is gone may still run until Kimi has told its conversation's id.

Without the id the conversation could not be deleted; with more time the upstream would not be closed within the second
that the contract allows.
"""

CLEANUP_PAUSES = (0.0, 1.0, 4.0, 15.0)
"""Seconds before each attempt to stop and delete a conversation."""


class Gateway:
    """Answers requests. `protocol` serves refresh tokens; access tokens are always of the Connect protocol."""

    def __init__(
        self,
        *,
        kimi: KimiClient,
        tokens: AccessTokens,
        offered: OfferedModels,
        models: ModelTable,
        protocol: str,
        keep_conversations: bool,
        background: Callable[[Callable[[], None]], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kimi = kimi
        self._tokens = tokens
        self._offered = offered
        self._models = models
        self._protocol = protocol
        self._keep_conversations = keep_conversations
        self._background = background
        self._sleep = sleep
        self._turns = itertools.count()

    def keeps(self, request: ChatRequest) -> bool:
        """Whether the conversation of this request outlives its answer, so that the client can continue it."""
        return self._keep_conversations or request.keep or request.conversation_id is not None

    def account_name(self, credential: Credential) -> str:
        """A short name for the log that does not reveal the account."""
        return self._tokens.key(credential).hex()[:12]

    def answer(
        self, request: ChatRequest, credentials: Sequence[Credential], cancellation: Cancellation
    ) -> Iterator[list[Event]]:
        """Give the answer's events, one list for each network read; the last event of all is Finished or Failed.

        Errors of the tree are not raised but given as Failed. What goes before the first word is held until then.
        """
        stages = self._stages(request)
        accounts = self._in_turn(request, credentials)
        for number, credential in enumerate(accounts, start=1):
            held: list[Event] = []
            with closing(self._attempt(request, credential, cancellation)) as attempt:
                for events in attempt:
                    held += events
                    failed = _failure(held)
                    if failed and number < len(accounts) and not _begun(held) and _may_switch(failed.error, request):
                        _log.info("another account is tried", extra={"fields": {"code": failed.error.code}})
                        break
                    if failed or _begun(held):
                        yield _passed(stages, held)
                        yield from (_passed(stages, events) for events in attempt)
                        return

    def models(self, credentials: Sequence[Credential]) -> Sequence[str]:
        """The model names to list: those of the table whose model the account is offered, and all if that is unknown.

        Raises the errors of the credential; a site that cannot be asked hides nothing.
        """
        credential = credentials[0]
        account = self._account(credential, self._tokens.get(credential))
        return self._models.names(self._offered_to(credential, account))

    def is_live(self, credential: Credential) -> bool:
        """Whether Kimi takes a credential now. Raises GatewayError when that cannot be told."""
        try:
            token = self._tokens.get(credential)
            if self._kimi.accepts(self._account(credential, token)):
                return True
            # The access token may have been ended early; the refresh token tells.
            if not self._tokens.reject(credential, token):
                return False
            return self._kimi.accepts(self._account(credential, self._tokens.get(credential)))
        except TokenExpired:
            return False

    def _attempt(
        self, request: ChatRequest, credential: Credential, cancellation: Cancellation
    ) -> Generator[list[Event]]:
        """One account's answer. An access token that Kimi refuses outright is renewed once: nothing had begun."""
        try:
            cancellation.check()
            token = self._tokens.get(credential)
            with closing(self._exchange(request, credential, token, cancellation)) as events:
                first = next(events, [])
                refused = len(first) == 1 and isinstance(first[0], Failed) and isinstance(first[0].error, TokenExpired)
                if not refused or not self._tokens.reject(credential, token):
                    yield first
                    yield from events
                    return
            cancellation.check()
            token = self._tokens.get(credential)
        except GatewayError as error:
            yield [Failed(error)]
            return
        yield from self._exchange(request, credential, token, cancellation)

    def _exchange(
        self, request: ChatRequest, credential: Credential, token: AccessToken, cancellation: Cancellation
    ) -> Generator[list[Event]]:
        """One turn with Kimi, closed at its end however it ends."""
        account = self._account(credential, token)
        exchange = self._kimi.open(request, account, lambda: self._offered_or_none(credential, account))
        begun = False
        with _Patience(cancellation) as patience:
            try:
                for events in exchange.events(patience.upstream):
                    if exchange.conversation_id is not None:
                        patience.opened()
                    begun = begun or _begun(events)
                    yield events
            except GatewayError as error:
                yield [Failed(error)]
            finally:
                # A conversation that the client began elsewhere is its own; one of ours is kept for an answer only.
                ours = request.conversation_id is None
                delete = ours and not (begun and self.keeps(request))
                if exchange.conversation_id is not None:
                    self._background(lambda: self._close(exchange, credential, delete=delete))

    def _close(self, exchange: Exchange, credential: Credential, *, delete: bool) -> None:
        """Stop what still runs on Kimi's side and delete what is not kept; a few attempts, then it is logged."""
        steps: list[Callable[[str], None]] = [exchange.stop, exchange.delete] if delete else [exchange.stop]
        last = None
        for pause in CLEANUP_PAUSES:
            self._sleep(pause)
            failed: list[Callable[[str], None]] = []
            for step in steps:
                try:
                    self._with_token(credential, step)
                except ConversationNotFound:
                    return
                except GatewayError as error:
                    failed.append(step)
                    last = error.code
            steps = failed
            if not steps:
                return
        _log.warning("a conversation could not be cleaned up", extra={"fields": {"code": last}})

    def _with_token(self, credential: Credential, step: Callable[[str], None]) -> None:
        """Take a step of the clean-up; an access token that was ended meanwhile is renewed once."""
        token = self._tokens.get(credential)
        try:
            step(token.value)
        except TokenExpired:
            if not self._tokens.reject(credential, token):
                raise
            step(self._tokens.get(credential).value)

    def _account(self, credential: Credential, token: AccessToken) -> Account:
        protocol = "connect" if credential.kind is Kind.ACCESS else self._protocol
        return Account(token.value, overseas=token.overseas, protocol=protocol)

    def _offered_to(self, credential: Credential, account: Account) -> tuple[ModelEntry, ...]:
        return self._offered.get(self._tokens.key(credential), lambda: self._kimi.offered(account))

    def _offered_or_none(self, credential: Credential, account: Account) -> tuple[ModelEntry, ...]:
        """For an answer, which is better off with the static table than with the list's own refusal."""
        try:
            return self._offered_to(credential, account)
        except GatewayError:
            return ()

    def _in_turn(self, request: ChatRequest, credentials: Sequence[Credential]) -> list[Credential]:
        """The accounts in the order to try: new conversations are spread, a given one is looked for in order."""
        start = 0 if request.conversation_id else next(self._turns) % len(credentials)
        return [*credentials[start:], *credentials[:start]]

    def _stages(self, request: ChatRequest) -> list[Stage]:
        choice = self._models.choose(request.model)
        prompt = sum(estimate(message.text) + PER_MESSAGE for message in request.messages)
        return [Citations(written=choice.list_sources and not choice.silent), UsageCount(prompt)]


class _Patience:
    """Ends the upstream when the client leaves: at once, or when its conversation is known if that comes soon."""

    def __init__(self, client: Cancellation) -> None:
        self.upstream = Cancellation()
        self._client = client
        self._opened = False
        self._forget: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        if self._client.cancelled:
            self.upstream.cancel()  # nothing was sent yet, and nothing will be
        else:
            self._forget = self._client.on_cancel(self._client_left)
        return self

    def __exit__(self, *_: object) -> None:
        self._forget()

    def opened(self) -> None:
        """The conversation's id is known: from here on it can be stopped and deleted."""
        self._opened = True
        if self._client.cancelled:
            self.upstream.cancel()

    def _client_left(self) -> None:
        if self._opened:
            self.upstream.cancel()
            return
        timer = threading.Timer(OPENING_GRACE, self.upstream.cancel)
        timer.daemon = True
        timer.start()


def _passed(stages: Sequence[Stage], events: list[Event]) -> list[Event]:
    for stage in stages:
        events = stage(events)
    return events


def _failure(events: Sequence[Event]) -> Failed | None:
    last = events[-1] if events else None
    return last if isinstance(last, Failed) else None


def _begun(events: Sequence[Event]) -> bool:
    """Whether these events hold something that a client would see."""
    return any(not isinstance(event, Preamble | Failed) for event in events)


def _may_switch(error: GatewayError, request: ChatRequest) -> bool:
    """Whether another account may serve: for the contract's codes, or to find the one that holds a conversation."""
    return error.another_account or (request.conversation_id is not None and isinstance(error, ConversationNotFound))
