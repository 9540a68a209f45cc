"""Which hosts serve a token: by its own claims, unless the settings name them (protocol.md C)."""

from __future__ import annotations

from dataclasses import dataclass

from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Sites:
    """The base URLs of Kimi's hosts. `web` and `auth` None: chosen by the token's region."""

    legacy: str
    web: str | None = None
    auth: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Sites:
        """The hosts that the settings name."""
        return cls(legacy=settings.kimi_legacy_url, web=settings.kimi_web_url, auth=settings.kimi_auth_url)

    def web_for(self, *, overseas: bool) -> str:
        """The site whose chats a token opens."""
        return self.web or ("https://www.kimi.ai" if overseas else "https://www.kimi.com")

    def auth_for(self, *, overseas: bool) -> tuple[str, ...]:
        """The auth hosts to ask for a refresh: the token's own, then the other."""
        if self.auth:
            return (self.auth,)
        hosts = ("https://auth.kimi.com", "https://auth.kimi.ai")
        return hosts[::-1] if overseas else hosts
