"""Answers requests: which account, which conversation, how often it is tried.

Accounts are changed here and nowhere else, and only before the first word: after it, the client has part of an answer
that no other attempt continues. Whatever ends an answer, also a client that hangs up, its attempt is closed here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from app.accounts.credentials import Credential
from app.accounts.pool import Pool
from app.chat.background_calls import is_background_call
from app.chat.cancellation import Cancellation
from app.chat.events import Event, Failed, PromptMoved, Served
from app.chat.numbering import numbered
from app.chat.progress import begun, failure
from app.chat.request import ChatRequest, Effort, Role
from app.errors import ConversationNotFound, GatewayError, TokenExpired
from app.gateway.attempt import Ask, Attempts, Prompt
from app.gateway.custody import Keeping, holder_of
from app.gateway.enclosures import Enclosing, Enclosures
from app.gateway.repeats import Repeats
from app.gateway.upstream import Upstream
from config.models import ModelTable

_log = logging.getLogger(__name__)


class Gateway:
    """Answers requests."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        pool: Pool,
        keeping: Keeping,
        models: ModelTable,
        attempts: Attempts,
        enclosing: Enclosing,
        max_prompt: int,
        repeats: Repeats,
    ) -> None:
        self._upstream = upstream
        self._pool = pool
        self._keeping = keeping
        self._models = models
        self._attempts = attempts
        self._enclosing = enclosing
        self._max_prompt = max_prompt
        self._repeats = repeats

    def keeps(self, request: ChatRequest) -> bool:
        """Whether the client is told the conversation's id, so that it can continue it by that."""
        asked = self._keeping.keeps_all or request.keep or request.conversation_id is not None
        return asked and not is_background_call(request.messages)

    def answer(
        self,
        request: ChatRequest,
        credentials: Sequence[Credential],
        cancellation: Cancellation,
        *,
        insistent: bool = False,
    ) -> Iterator[list[Event]]:
        """Give the answer's events, one list for each network read; the last event of all is Finished or Failed.

        `insistent` says that the client sends a failed request again whatever it is told. Errors of the tree are not
        raised but given as Failed. What goes before the first word is held until then.
        """
        ask = self._ask(request, credentials)
        if not insistent:
            yield from self._asked(ask, credentials, cancellation)
            return
        if (error := self._repeats.refusal(ask.request, ask.kind, credentials[0])) is not None:
            yield [Failed(error)]
            return
        for events in self._asked(ask, credentials, cancellation):
            if failed := failure(events):
                self._repeats.note(ask.request, ask.kind, credentials[0], failed.error)
            yield events

    def _asked(self, ask: Ask, credentials: Sequence[Credential], cancellation: Cancellation) -> Iterator[list[Event]]:
        """The answer, its attachments brought first."""
        prompt = Prompt(self._max_prompt)
        prompt.take_in(sum(len(message.text) for message in ask.messages(ask.thread)))
        yield from prompt.news()  # before anything is waited for: it is told in the headers
        with self._enclosing.of(credentials, cancellation) as enclosures:
            try:
                enclosures.gather(ask.messages(ask.thread))
            except GatewayError as error:
                yield [Failed(error)]
                return
            if ask.thread is not None:
                enclosures.know(ask.request.messages)  # another account would be sent the whole history
            yield from self._answer(ask, prompt, credentials, enclosures, cancellation)

    def _answer(
        self,
        ask: Ask,
        prompt: Prompt,
        credentials: Sequence[Credential],
        enclosures: Enclosures,
        cancellation: Cancellation,
    ) -> Iterator[list[Event]]:
        """The answer of the first of these accounts that gives one."""
        left = self._candidates(ask.request, credentials, enclosures)
        last: GatewayError | None = None
        while left:
            try:
                lease = self._pool.lease(left, ask.kind, cancellation, prefer=ask.preferred)
            except GatewayError as error:
                yield [Failed(self._truest(error, last, ask, credentials))]
                return
            others = [other for other in left if other != lease.credential]
            held: list[Event] = [Served(lease.credential.account, lease.waited)]
            with lease, closing(self._attempts.run(ask, lease, enclosures, prompt, cancellation)) as attempt:
                for events in attempt:
                    if PromptMoved() in events:
                        yield events
                        continue
                    held += events
                    failed = failure(held)
                    if begun(held):
                        enclosures.let_go()
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

    def _ask(self, request: ChatRequest, credentials: Sequence[Credential]) -> Ask:
        """What is asked. A program's own call gets the plain model: it must be quick, and cost little."""
        if any(message.role is Role.TOOL for message in request.messages):
            request = replace(request, messages=numbered(request.messages))
        if is_background_call(request.messages):
            quiet = replace(request, use_search=False, effort=Effort.NONE, conversation_id=None, keep=False)
            plain = replace(quiet, model=self._models.default)
            return Ask(plain, self._models.choose(plain.model).kind, None, passing=True)
        kind = self._models.choose(request.model).kind
        thread = preferred = None
        if self._keeping.ttl > 0 and request.conversation_id is None and not request.keep:
            holders = [holder_of(credential, self._upstream.protocol(credential)) for credential in credentials]
            if thread := self._keeping.continuity.find(request, kind, holders):
                preferred = credentials[holders.index(thread.holder)].name
        return Ask(request, kind, thread, passing=False, preferred=preferred)

    def _candidates(
        self, request: ChatRequest, credentials: Sequence[Credential], enclosures: Enclosures
    ) -> list[Credential]:
        """The accounts that may serve: of a conversation that is known, or of a file, only its own."""
        able = [credential for credential in credentials if enclosures.is_reached_by(credential)]
        if request.conversation_id is None:
            return able
        owner = self._keeping.continuity.owner(request.conversation_id, [credential.account for credential in able])
        return [credential for credential in able if owner in {None, credential.account}]

    def _truest(
        self, error: GatewayError, last: GatewayError | None, ask: Ask, credentials: Sequence[Credential]
    ) -> GatewayError:
        """The error that tells a client most: with several accounts, how all of them stand."""
        if ask.request.conversation_id is not None or len(credentials) == 1 or not error.another_account:
            return error
        return self._pool.refusal(credentials, ask.kind) or last or error


def _after(error: GatewayError, failed: Credential, others: list[Credential], request: ChatRequest) -> list[Credential]:
    """Which accounts may serve after one has failed: for the contract's codes, or to find who holds a conversation."""
    if isinstance(error, TokenExpired):
        return others
    searching = request.conversation_id is not None and isinstance(error, ConversationNotFound)
    if not (error.another_account or searching):
        return []
    return [other for other in others if other.account != failed.account]
