"""Kimi as a credential reaches it: the right token, protocol and models for each call."""

from __future__ import annotations

from collections.abc import Sequence

from app.accounts.credentials import Credential, Kind
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessToken, AccessTokens
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.chat.request import ChatRequest, Continuation, Message
from app.errors import GatewayError
from app.kimi.client import Account, KimiClient
from app.kimi.exchange import Exchange
from app.kimi.quota import Quota
from app.kimi.storage import READ_WITHIN, Storage
from app.kimi.turn import Turn
from app.toolcalls.prompt import Guide
from config.models import ModelEntry


class Upstream:
    """Kimi's web chat for all credentials.

    `protocol` serves those that can be exchanged for an access token; access tokens are always of the Connect protocol.
    """

    def __init__(
        self, *, kimi: KimiClient, storage: Storage, tokens: AccessTokens, offered: OfferedModels, protocol: str
    ) -> None:
        self._kimi = kimi
        self._storage = storage
        self._tokens = tokens
        self._offered = offered
        self._protocol = protocol

    def token(self, credential: Credential) -> AccessToken:
        """An access token. Raises GatewayError."""
        return self._tokens.get(credential)

    def renews(self, credential: Credential, token: AccessToken, renewals: int) -> bool:
        """Whether a token that Kimi refused, after so many others, is dropped because another is worth trying."""
        return self._tokens.renews(credential, token, renewals)

    def protocol(self, credential: Credential) -> str:
        """The protocol that serves a credential, a key of PROTOCOLS."""
        return "connect" if credential.kind is Kind.ACCESS else self._protocol

    def open(
        self,
        request: ChatRequest,
        turn: Turn,
        credential: Credential,
        token: AccessToken,
        continues: Continuation | None,
    ) -> Exchange:
        """Prepare an answer; nothing is sent before its events are read."""
        account = self._account(token, self.protocol(credential))

        def offered() -> tuple[ModelEntry, ...]:
            """An answer is better off with the static table than with the list's own refusal."""
            try:
                return self._offered_to(credential, account)
            except GatewayError:
                return ()

        return self._kimi.open(request, turn, account, offered, continues)

    def compose(self, credential: Credential, messages: Sequence[Message], guide: Guide) -> str:
        """These messages as the one text of a turn."""
        return self._kimi.compose(messages, self.protocol(credential), guide)

    def upload(self, credential: Credential, content: Content, cancellation: Cancellation) -> str:
        """Send a file; give Kimi's id for it. Raises GatewayError."""
        protocol = self.protocol(credential)
        return self._tokens.using(
            credential, lambda token: self._storage.upload(self._account(token, protocol), content, cancellation)
        )

    def await_read(
        self,
        credential: Credential,
        file_id: str,
        cancellation: Cancellation,
        *,
        is_image: bool,
        within: float = READ_WITHIN,
    ) -> None:
        """Wait until Kimi has read a file. Raises GatewayError."""
        protocol = self.protocol(credential)
        self._tokens.using(
            credential,
            lambda token: self._storage.await_read(
                self._account(token, protocol), file_id, cancellation, is_image=is_image, within=within
            ),
        )

    def stop(self, credential: Credential, exchange: Exchange) -> None:
        """Stop an answer that may still run on Kimi's side. Raises GatewayError."""
        self._tokens.using(credential, lambda token: exchange.stop(token.value))

    def delete(self, credential: Credential, protocol: str, conversation_ids: Sequence[str]) -> None:
        """Delete conversations that were opened by `protocol`. Raises GatewayError."""
        self._tokens.using(
            credential, lambda token: self._kimi.delete(self._account(token, protocol), conversation_ids)
        )

    def offered(self, credential: Credential) -> tuple[ModelEntry, ...]:
        """The models that an account is offered; empty where that is not known. Raises what concerns the account."""
        account = self._account(self.token(credential), self.protocol(credential))
        return self._offered_to(credential, account)

    def quotas(self, credential: Credential) -> tuple[Quota, ...]:
        """What Kimi tells of an account's quotas; this also shows whether it takes the token. Raises GatewayError."""
        protocol = self.protocol(credential)

        def ask(token: AccessToken) -> tuple[Quota, ...]:
            account = self._account(token, protocol)
            self._kimi.greet(account)
            return self._kimi.quotas(account)

        return self._tokens.using(credential, ask)

    def site(self, credential: Credential) -> str:
        """The host that serves a credential, for people to read."""
        return self._kimi.site(overseas=credential.claims.overseas, protocol=self.protocol(credential))

    def _account(self, token: AccessToken, protocol: str) -> Account:
        return Account(token.value, overseas=token.overseas, protocol=protocol)

    def _offered_to(self, credential: Credential, account: Account) -> tuple[ModelEntry, ...]:
        return self._offered.get(credential.account, lambda: self._kimi.offered(account))
