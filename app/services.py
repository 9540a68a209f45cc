"""The composition root: every collaborator is built here and handed in; nothing else knows who is who."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from app.accounts.admission import Admission
from app.accounts.credentials import Credential, Kind
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessTokens, NewTokens
from app.accounts.vault import MemoryVault
from app.background import Background
from app.dialects.doorstep import Doorstep
from app.dialects.respond import Pace
from app.gateway import Gateway
from app.kimi.client import KimiClient
from app.kimi.sites import Sites
from app.kimi.transport import Deadlines, Transport
from config.models import load_models
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What the application is made of."""

    door: Doorstep
    background: Background


def build(settings: Settings) -> Services:
    """Build everything that the settings ask for."""
    models = load_models()
    kimi = KimiClient(
        transport=Transport(
            user_agent=settings.kimi_user_agent,
            deadlines=Deadlines(
                first_byte=settings.first_byte_timeout, idle=settings.idle_timeout, total=settings.total_timeout
            ),
        ),
        sites=Sites.of(settings),
        models=models,
    )

    def refresh(credential: Credential, token: str) -> NewTokens:
        legacy_only = credential.kind is Kind.LEGACY and token == credential.token
        return kimi.refresh(token, overseas=credential.claims.overseas, legacy_only=legacy_only)

    background = Background()
    gateway = Gateway(
        kimi=kimi,
        tokens=AccessTokens(
            refresh=refresh,
            vault=MemoryVault(),
            # Names of accounts need to be alike only within this process, as long as nothing outlives it.
            secret=secrets.token_bytes(32),
            clock=time.time,
        ),
        offered=OfferedModels(clock=time.monotonic),
        models=models,
        protocol=settings.kimi_protocol,
        keep_conversations=settings.keep_conversations,
        background=background.run,
    )
    return Services(door=_door(settings, gateway), background=background)


def _door(settings: Settings, gateway: Gateway) -> Doorstep:
    return Doorstep(
        gateway=gateway,
        admission=Admission(
            api_keys=settings.api_keys,
            tokens=settings.kimi_tokens,
            allow_client_tokens=settings.allow_client_tokens,
        ),
        pace=Pace(
            grace=settings.grace_seconds,
            keepalive=settings.keepalive_seconds,
            whole_answer=settings.whole_answer_timeout,
        ),
        max_json_bytes=settings.max_json_bytes,
    )
