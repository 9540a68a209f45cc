"""What the rest of the house asks of Kimi: tokens, models, answers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from app.chat.request import ChatRequest, Continuation, Message
from app.errors import (
    AccountRestricted,
    ConversationNotFound,
    GatewayError,
    InvalidRequest,
    NotFound,
    TokenExpired,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from app.kimi import connect, rest
from app.kimi.exchange import Ask, ConnectExchange, Exchange, RestExchange, check_legacy, send
from app.kimi.http import HttpAnswer
from app.kimi.plans import connect_plan, rest_plan
from app.kimi.quota import Quota, research_quota, subscription_quotas
from app.kimi.refresh import TokenPair, legacy_refresh_request, refresh_request, token_pair
from app.kimi.sites import Sites
from app.kimi.transport import Transport
from app.kimi.turn import Turn, merge
from app.toolcalls.prompt import Guide
from config.models import ModelEntry, ModelTable

Offered = tuple[ModelEntry, ...]

_OK = 200

MODELS_TIMEOUT = 5.0
"""Seconds; an answer waits for the list, and there is a table to go on with."""


@dataclass(frozen=True, slots=True)
class Account:
    """As whom Kimi is asked: an access token, its region, and the protocol (a key of PROTOCOLS)."""

    token: str = field(repr=False)
    overseas: bool = False
    protocol: str = "connect"


class KimiClient:
    """Kimi's web chat."""

    def __init__(self, *, transport: Transport, sites: Sites, models: ModelTable) -> None:
        self._transport = transport
        self._models = models
        self._sites = sites

    def open(
        self,
        request: ChatRequest,
        turn: Turn,
        account: Account,
        offered: Callable[[], Offered],
        continues: Continuation | None = None,
    ) -> Exchange:
        """Prepare an answer: nothing is sent before its events are read.

        `turn` is what is said, `request` how it is to be answered. `offered` gives the models of the account; only a
        protocol that names them asks it. `continues` is where the turn goes on; without it a new conversation is
        opened.
        """
        return PROTOCOLS[account.protocol](self, request, turn, account, offered, continues)

    def compose(self, messages: Sequence[Message], protocol: str, guide: Guide) -> str:
        """These messages as the one text that a protocol takes."""
        return merge(messages, wrap_urls=protocol == "rest", guide=guide)

    def delete(self, account: Account, conversation_ids: Sequence[str]) -> None:
        """Delete conversations on Kimi's side; those that are gone already are passed over. Raises GatewayError.

        Several at once where the protocol has a call for it (protocol.md B11) and the site takes it.
        """
        if account.protocol == "connect" and len(conversation_ids) > 1:
            try:
                self._rpc(account, connect.BATCH_DELETE, {"chat_ids": list(conversation_ids)})
            except (InvalidRequest, NotFound, UpstreamProtocolError):
                pass  # one of them is unknown, or the call is: one by one then
            else:
                return
        for conversation_id in conversation_ids:
            with contextlib.suppress(ConversationNotFound):
                if account.protocol == "rest":
                    request = rest.delete_chat(self._sites.legacy, account.token, conversation_id)
                    check_legacy(self._transport.fetch(request))
                else:
                    self._rpc(account, f"{connect.CHAT}/DeleteChat", {"chat_id": conversation_id})

    def refresh(self, token: str, *, overseas: bool, legacy_only: bool) -> TokenPair:
        """Exchange a refresh token: at its own auth host, then the other, then the legacy site (protocol.md B3).

        A host that cannot be reached or refuses gives way to the next; after one that may have taken the token and
        whose answer was lost, no other is asked, because it would be shown a token that is spent. Raises a host's
        refusal if there was one, else the first host's error.
        """
        requests = [legacy_refresh_request(self._sites.legacy, token)]
        if not legacy_only:
            requests[:0] = [refresh_request(site, token) for site in self._sites.auth_for(overseas=overseas)]
        errors: list[GatewayError] = []
        for request in requests:
            answer = None
            try:
                answer = self._transport.fetch(request)
                return token_pair(answer)
            except GatewayError as error:
                errors.append(error)
                if _may_be_spent(error, answer):
                    break
        refusals = [error for error in errors if error.another_account]
        raise (refusals or errors)[0]

    def offered(self, account: Account) -> Offered:
        """The models that the site offers to an account; empty for the legacy site. Raises GatewayError."""
        if account.protocol == "rest":
            return ()
        request = connect.rpc(self._sites.web_for(overseas=account.overseas), account.token, connect.MODELS, {})
        return connect.available_models(send(self._transport, request, timeout=MODELS_TIMEOUT))

    def greet(self, account: Account) -> None:
        """Ask who the account is: the cheapest call that needs a good token. Raises GatewayError."""
        if account.protocol == "rest":
            check_legacy(self._transport.fetch(rest.current_user(self._sites.legacy, account.token)))
        else:
            self._rpc(account, connect.CURRENT_USER, {})

    def quotas(self, account: Account) -> tuple[Quota, ...]:
        """What the site tells of an account's quotas, nothing where it does not; raises what concerns the account."""
        try:
            if account.protocol == "rest":
                return research_quota(
                    check_legacy(self._transport.fetch(rest.research_usage(self._sites.legacy, account.token)))
                )
            return subscription_quotas(self._rpc(account, connect.SUBSCRIPTION_STATS, {}))
        except (TokenExpired, AccountRestricted):
            raise
        except GatewayError:
            return ()

    def site(self, *, overseas: bool, protocol: str) -> str:
        """The host name that serves such accounts."""
        url = self._sites.legacy if protocol == "rest" else self._sites.web_for(overseas=overseas)
        return urlsplit(url).hostname or ""

    def open_connect(
        self,
        request: ChatRequest,
        turn: Turn,
        account: Account,
        offered: Callable[[], Offered],
        continues: Continuation | None,
    ) -> Exchange:
        """An answer over the Connect protocol."""
        plan = connect_plan(request, self._models.choose(request.model), self._models, offered())
        site = self._sites.web_for(overseas=account.overseas)
        return ConnectExchange(self._transport, Ask(turn, site, account.token, continues), plan)

    def open_rest(
        self,
        request: ChatRequest,
        turn: Turn,
        account: Account,
        _offered: Callable[[], Offered],
        continues: Continuation | None,
    ) -> Exchange:
        """An answer over the legacy protocol."""
        plan = rest_plan(request, self._models.choose(request.model), self._models)
        return RestExchange(self._transport, Ask(turn, self._sites.legacy, account.token, continues), plan)

    def _rpc(self, account: Account, call: str, body: object) -> HttpAnswer:
        site = self._sites.web_for(overseas=account.overseas)
        return send(self._transport, connect.rpc(site, account.token, call, body))


def _may_be_spent(error: GatewayError, answer: HttpAnswer | None) -> bool:
    """Whether a refresh that failed may have taken its token all the same: neither refused nor never sent."""
    if error.another_account or isinstance(error, UpstreamUnreachable):
        return False
    granted = answer is not None and answer.status == _OK and "html" not in answer.media_type
    return granted or isinstance(error, UpstreamTimeout | UpstreamUnavailable)


Open = Callable[[KimiClient, ChatRequest, Turn, Account, Callable[[], Offered], Continuation | None], Exchange]

PROTOCOLS: dict[str, Open] = {
    "connect": KimiClient.open_connect,
    "rest": KimiClient.open_rest,
}
"""How each protocol opens an answer; another upstream is one file and one row."""
