"""Who may use the gateway, and with whose account (contract, section 2)."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from app.accounts.credentials import Credential, parse_credentials, split_list
from app.errors import InvalidApiKey, MissingApiKey

_BEARER = "bearer "


def presented(authorization: str | None, *others: str | None) -> str:
    """The key that a request presents: the Authorization header first, then the vendors' own headers.

    Raises MissingApiKey if there is none, InvalidApiKey if Authorization is not of the Bearer scheme.
    """
    if authorization is not None:
        if not authorization.lower().startswith(_BEARER):
            raise InvalidApiKey("The Authorization header must have the form: Bearer TOKEN.")
        return authorization[len(_BEARER) :]
    for other in others:
        if other is not None:
            return other
    raise MissingApiKey(
        "No credential was sent. Put a Kimi token or a key of this gateway into the header Authorization: Bearer TOKEN."
    )


class Admission:
    """Turns what a client presents into the credentials that serve it.

    `api_keys` open the server's own `tokens`. When there are keys, tokens of the client's own are taken only with
    `allow_client_tokens`; without keys the server's tokens are out of reach.
    """

    def __init__(self, *, api_keys: Iterable[str], tokens: Iterable[str], allow_client_tokens: bool) -> None:
        self._api_keys = tuple(key.encode() for key in api_keys)
        self._tokens = tuple(tokens)
        self._allow_client_tokens = allow_client_tokens or not self._api_keys

    def admit(self, key: str) -> tuple[Credential, ...]:
        """The credentials behind a key. Raises InvalidApiKey or InvalidRequest."""
        return parse_credentials(",".join(self.tokens(key)))

    def tokens(self, key: str) -> tuple[str, ...]:
        """The tokens behind a key, as they were given. Raises InvalidApiKey or InvalidRequest."""
        if self._is_gateway_key(key):
            if not self._tokens:
                raise InvalidApiKey("This gateway has no Kimi account of its own: its KIMI_TOKENS are not set.")
            return self._tokens
        if not self._allow_client_tokens:
            raise InvalidApiKey("The key is not one of this gateway's.")
        return split_list(key)

    def _is_gateway_key(self, key: str) -> bool:
        """Compare with every key in constant time, on bytes: a str with non-ASCII characters would raise."""
        given = key.strip(" ").encode(errors="surrogateescape")
        matches = [hmac.compare_digest(given, own) for own in self._api_keys]
        return any(matches)
