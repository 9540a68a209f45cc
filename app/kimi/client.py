"""What the rest of the house asks of Kimi: tokens, models, answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.chat.request import ChatRequest
from app.errors import GatewayError, TokenExpired
from app.kimi import connect, rest
from app.kimi.exchange import Ask, ConnectExchange, Exchange, RestExchange, check_legacy, send
from app.kimi.plans import connect_plan, rest_plan
from app.kimi.refresh import TokenPair, legacy_refresh_request, refresh_request, token_pair
from app.kimi.sites import Sites
from app.kimi.transport import Transport
from app.kimi.turn import compose
from config.models import ModelEntry, ModelTable

Offered = tuple[ModelEntry, ...]

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

    def open(self, request: ChatRequest, account: Account, offered: Callable[[], Offered]) -> Exchange:
        """Prepare an answer: nothing is sent before its events are read.

        `offered` gives the models of the account; only a protocol that names them asks it.
        """
        return PROTOCOLS[account.protocol](self, request, account, offered)

    def refresh(self, token: str, *, overseas: bool, legacy_only: bool) -> TokenPair:
        """Exchange a refresh token: at its own auth host, then the other, then the legacy site (protocol.md B3).

        A host that cannot be reached or refuses gives way to the next. Raises a host's refusal if there was one,
        else the first host's error.
        """
        requests = [legacy_refresh_request(self._sites.legacy, token)]
        if not legacy_only:
            requests[:0] = [refresh_request(site, token) for site in self._sites.auth_for(overseas=overseas)]
        errors: list[GatewayError] = []
        for request in requests:
            try:
                return token_pair(self._transport.fetch(request))
            except GatewayError as error:
                errors.append(error)
        refusals = [error for error in errors if error.another_account]
        raise (refusals or errors)[0]

    def offered(self, account: Account) -> Offered:
        """The models that the site offers to an account; empty for the legacy site. Raises GatewayError."""
        if account.protocol == "rest":
            return ()
        request = connect.rpc(self._sites.web_for(overseas=account.overseas), account.token, connect.MODELS, {})
        return connect.available_models(send(self._transport, request, timeout=MODELS_TIMEOUT))

    def accepts(self, account: Account) -> bool:
        """Whether Kimi takes an access token now. Raises GatewayError when that cannot be told."""
        try:
            if account.protocol == "rest":
                check_legacy(self._transport.fetch(rest.current_user(self._sites.legacy, account.token)))
            else:
                site = self._sites.web_for(overseas=account.overseas)
                send(self._transport, connect.rpc(site, account.token, connect.CURRENT_USER, {}))
        except TokenExpired:
            return False
        return True

    def open_connect(self, request: ChatRequest, account: Account, offered: Callable[[], Offered]) -> Exchange:
        """An answer over the Connect protocol."""
        plan = connect_plan(request, self._models.choose(request.model), self._models, offered())
        site = self._sites.web_for(overseas=account.overseas)
        ask = Ask(compose(request), site, account.token, request.conversation_id)
        return ConnectExchange(self._transport, ask, plan)

    def open_rest(self, request: ChatRequest, account: Account, _offered: Callable[[], Offered]) -> Exchange:
        """An answer over the legacy protocol."""
        plan = rest_plan(request, self._models.choose(request.model), self._models)
        ask = Ask(compose(request, wrap_urls=True), self._sites.legacy, account.token, request.conversation_id)
        return RestExchange(self._transport, ask, plan)


Open = Callable[[KimiClient, ChatRequest, Account, Callable[[], Offered]], Exchange]

PROTOCOLS: dict[str, Open] = {
    "connect": KimiClient.open_connect,
    "rest": KimiClient.open_rest,
}
"""How each protocol opens an answer; another upstream is one file and one row."""
