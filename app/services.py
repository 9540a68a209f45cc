"""The composition root: every collaborator is built here and handed in; nothing else knows who is who."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from app.accounts.admission import Admission
from app.accounts.credentials import Credential, Kind
from app.accounts.models import OfferedModels
from app.accounts.pool import Limits, Pool
from app.accounts.tokens import AccessTokens, NewTokens
from app.accounts.vault import Vault
from app.attachments.download import Downloads
from app.attachments.download import Limits as DownloadLimits
from app.attachments.guard import Guard
from app.attachments.shelf import Shelf
from app.attachments.uploads import Uploads
from app.background import Background
from app.conversations.continuity import Continuity
from app.conversations.ledger import Ledger
from app.dialects.doorstep import Doorstep
from app.dialects.respond import Pace
from app.gateway.answers import Answers
from app.gateway.attempt import Attempts
from app.gateway.cleanup import CleanUp
from app.gateway.custody import Keeping
from app.gateway.diagnosis import Diagnosis
from app.gateway.enclosures import Enclosing
from app.gateway.files import Files
from app.gateway.gateway import Gateway
from app.gateway.holding import Holding
from app.gateway.repeats import Repeats
from app.gateway.upstream import Upstream
from app.kimi.client import KimiClient
from app.kimi.sites import Sites
from app.kimi.storage import Storage
from app.kimi.transport import Deadlines, Transport
from app.offload import Offload
from app.state.state import State, open_state
from config.models import ModelTable, load_models
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class Services:
    """What the application is made of.

    `finish` waits at most so many seconds for the work that no answer waits for, and tells whether it is done.
    """

    door: Doorstep
    files: Files
    answers: Answers
    diagnosis: Diagnosis
    state: State
    finish: Callable[[float], bool]


def build(settings: Settings) -> Services:
    """Build everything that the settings ask for."""
    models = load_models()
    state = open_state(settings.database_path, settings.redis_url, workers=settings.web_concurrency)
    background = Background()
    upstream = _upstream(settings, state, models)
    keeping = _keeping(settings, state, upstream, background)
    pool = Pool(store=state.shared, leases=state.leases, limits=_limits(settings))
    enclosing = _enclosing(settings, state, upstream)
    gateway = Gateway(
        upstream=upstream,
        pool=pool,
        keeping=keeping,
        models=models,
        attempts=Attempts(
            upstream=upstream,
            keeping=keeping,
            models=models,
            background=background.run,
            errs_without_call=settings.strict_tool_choice,
        ),
        enclosing=enclosing,
        max_prompt=settings.max_prompt_chars,
        repeats=Repeats(state.shared, pause=settings.repeat_seconds, clock=time.time),
    )

    def finish(timeout: float) -> bool:
        keeping.cleanup.finish()
        return background.finish(timeout)

    diagnosis = Diagnosis(upstream=upstream, pool=pool, model_kind=models.choose(models.default).kind, clock=time.time)
    door = _door(settings, gateway)
    answers = Answers(state.shared, ttl=settings.conversation_ttl)
    return Services(door=door, files=enclosing.files, answers=answers, diagnosis=diagnosis, state=state, finish=finish)


def _upstream(settings: Settings, state: State, models: ModelTable) -> Upstream:
    deadlines = Deadlines(
        first_byte=settings.first_byte_timeout, idle=settings.idle_timeout, total=settings.total_timeout
    )
    transport = Transport(user_agent=settings.kimi_user_agent, deadlines=deadlines)
    sites = Sites.of(settings)
    kimi = KimiClient(transport=transport, sites=sites, models=models)

    def refresh(credential: Credential, token: str) -> NewTokens:
        legacy_only = credential.kind is Kind.LEGACY and token == credential.token
        return kimi.refresh(token, overseas=credential.claims.overseas, legacy_only=legacy_only)

    vault = Vault(state.careful)
    state.on_restart(vault.tell_again)
    return Upstream(
        kimi=kimi,
        storage=Storage(transport=transport, sites=sites),
        tokens=AccessTokens(refresh=refresh, vault=vault, store=state.shared, clock=time.time),
        offered=OfferedModels(clock=time.monotonic),
        protocol=settings.kimi_protocol,
    )


def _keeping(settings: Settings, state: State, upstream: Upstream, background: Background) -> Keeping:
    ledger = Ledger(state.stores, clock=time.time)
    ttl = settings.conversation_ttl if settings.continuity == "on" else 0.0
    continuity = Continuity(state.shared, ttl=ttl)
    cleanup = CleanUp(
        ledger=ledger,
        delete=upstream.delete,
        retire=continuity.forget,
        presence=state.presence,
        run=background.run,
        clock=time.time,
        lasting=state.lasting,
    )
    return Keeping(
        ledger=ledger,
        cleanup=cleanup,
        continuity=continuity,
        presence=state.presence,
        ttl=ttl,
        keeps_all=settings.keep_conversations,
    )


def _enclosing(settings: Settings, state: State, upstream: Upstream) -> Enclosing:
    max_bytes = settings.max_upload_bytes
    downloads = Downloads(
        guard=Guard(allowed=settings.download_allow_cidrs),
        limits=DownloadLimits(max_bytes),
        user_agent=settings.kimi_user_agent,
    )
    holding = Holding(uploads=Uploads(store=state.shared, leases=state.leases), upstream=upstream)
    files = Files(holding=holding, shelf=Shelf(state.stores, clock=time.time), max_bytes=max_bytes)
    return Enclosing(downloads=downloads, holding=holding, files=files)


def _limits(settings: Settings) -> Limits:
    return Limits(
        streams=settings.max_streams,
        streams_per_account=settings.max_streams_per_account,
        queue=settings.queue_seconds,
    )


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
        offload=Offload(),
    )
