"""Kimi as a credential reaches it: the right token, protocol and models for each call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from app.accounts.credentials import Credential, parse_credentials
from app.accounts.models import OfferedModels
from app.accounts.tokens import AccessToken, AccessTokens
from app.accounts.vault import Vault
from app.attachments.intake import in_memory
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import AccountRestricted, GatewayError, InvalidApiKey, TokenExpired, UpstreamUnavailable
from app.gateway.upstream import Upstream
from app.kimi.client import Account
from app.kimi.quota import Quota
from app.kimi.refresh import TokenPair
from app.kimi.turn import Turn
from app.state.sqlite import MEMORY, SqliteStore
from app.toolcalls.prompt import Guide
from config.models import ModelEntry
from tests.fakes import FakeClock, FakeExchange, FakeKimi, FakeStorage, jwt
from tests.gateway.houses import ANN, answering, ask, never, refreshable, user

OPAQUE = parse_credentials("opaque-token-0000000000")[0]
OVERSEAS = parse_credentials(jwt(sub="ann", aud="kimi.ai"))[0]
OFFICIAL = parse_credentials("sk-official-key-000000000")[0]
K3 = (ModelEntry(scenario="SCENARIO_K3", key="k3"),)
TURN = Turn("hi", ("file-1",))


def upstream(kimi: FakeKimi, *, protocol: str = "connect", storage: FakeStorage | None = None) -> Upstream:
    """Kimi behind a refresh that gives access-1, access-2 and so on."""
    clock = FakeClock()
    store = SqliteStore(MEMORY, clock=clock)
    numbers = iter(range(1, 99))

    def refresh(_credential: Credential, _token: str) -> TokenPair:
        return TokenPair(f"access-{next(numbers)}", None)

    tokens = AccessTokens(refresh=refresh, vault=Vault([store]), store=store, clock=clock, sleep=never)
    offered = OfferedModels(clock=clock)
    return Upstream(kimi=kimi, storage=storage or FakeStorage(), tokens=tokens, offered=offered, protocol=protocol)


@pytest.mark.parametrize(
    ("credential", "protocol"),
    [(ANN, "connect"), (refreshable(), "rest"), (OPAQUE, "rest")],
    ids=["access", "refresh", "opaque"],
)
def test_the_protocol_of_the_settings_is_for_tokens_that_can_be_exchanged(
    credential: Credential, protocol: str
) -> None:
    """An access token is of the Connect protocol."""
    assert upstream(FakeKimi(), protocol="rest").protocol(credential) == protocol


def test_an_answer_is_opened_as_its_account() -> None:
    """Token, region and protocol; the turn is what was composed."""
    kimi = FakeKimi(answering())
    upstream(kimi, protocol="rest").open(ask(), TURN, OVERSEAS, AccessToken("a", overseas=True), None)
    assert kimi.accounts == [Account("a", overseas=True, protocol="connect")]
    assert kimi.turns == [TURN]


class AskingKimi(FakeKimi):
    """Asks for the models before it opens an answer; `listing` is what the site says to that."""

    def __init__(self, listing: GatewayError | tuple[ModelEntry, ...]) -> None:
        super().__init__()
        self.listing = listing
        self.listed = 0
        self.seen: list[tuple[ModelEntry, ...]] = []

    def offered(self, account: Account) -> tuple[ModelEntry, ...]:
        self.listed += 1
        if isinstance(self.listing, GatewayError):
            raise self.listing
        return self.listing

    def open(
        self,
        request: object,
        turn: object,
        account: Account,
        offered: Callable[[], tuple[ModelEntry, ...]],
        continues: object = None,
    ) -> FakeExchange:
        self.seen.append(offered())
        return answering()


@pytest.mark.parametrize(
    ("listing", "seen"),
    [(K3, K3), (TokenExpired("no"), ()), (AccountRestricted("no"), ()), (UpstreamUnavailable("no"), ())],
)
def test_an_answer_does_not_fail_for_the_list_of_models(
    listing: GatewayError | tuple[ModelEntry, ...], seen: tuple[ModelEntry, ...]
) -> None:
    """The static table serves; the answer itself will tell what is wrong with the token."""
    kimi = AskingKimi(listing)
    upstream(kimi).open(ask(), TURN, ANN, AccessToken(ANN.token, overseas=False), None)
    assert kimi.seen == [seen]


def test_the_models_are_asked_for_once() -> None:
    """They are the account's, whoever asks."""
    kimi = AskingKimi(K3)
    site = upstream(kimi)
    assert [site.offered(refreshable("ann")), site.offered(ANN)] == [K3, K3]
    assert kimi.listed == 1


@pytest.mark.parametrize("kind", [TokenExpired, AccountRestricted])
def test_what_concerns_the_account_is_raised_with_its_models(kind: type[GatewayError]) -> None:
    """Clients check their key by asking for them."""
    with pytest.raises(kind):
        upstream(AskingKimi(kind("no"))).offered(ANN)


def test_conversations_are_deleted_by_the_protocol_that_opened_them() -> None:
    """Whatever serves the credential now."""
    kimi = FakeKimi()
    upstream(kimi, protocol="rest").delete(ANN, "rest", ["chat-1", "chat-2"])
    assert kimi.deletions == [(Account(ANN.token, protocol="rest"), ("chat-1", "chat-2"))]


def test_a_deletion_renews_a_token_that_has_ended() -> None:
    """It may come long after the answer."""
    kimi = FakeKimi(delete=[TokenExpired("no")])
    upstream(kimi).delete(refreshable(), "connect", ["chat-1"])
    assert [account.token for account, _ in kimi.deletions] == ["access-1", "access-2"]


def test_a_stop_renews_a_token_that_has_ended() -> None:
    """The answer may have taken longer than it lives."""
    exchange = FakeExchange(stop=[TokenExpired("no")])
    upstream(FakeKimi()).stop(refreshable(), exchange)
    assert exchange.stops == ["access-1", "access-2"]


# --- Files -------------------------------------------------------------------------------------------------


def content() -> Content:
    """A small text."""
    return in_memory(b"abc", "00" * 32, "a.txt", None, limit=9)


@pytest.mark.parametrize(
    ("credential", "account"),
    [(OVERSEAS, Account(OVERSEAS.token, overseas=True)), (refreshable(), Account("access-1", protocol="rest"))],
    ids=["access", "refresh"],
)
def test_a_file_goes_to_the_site_of_its_account(credential: Credential, account: Account) -> None:
    """With the bytes as they are."""
    storage = FakeStorage()
    site = upstream(FakeKimi(), protocol="rest", storage=storage)
    file_id = site.upload(credential, content(), Cancellation())
    kept = storage.kept[file_id]
    assert [kept.account, kept.name, kept.data] == [account, "a.txt", b"abc"]


def test_an_upload_renews_a_token_that_has_ended() -> None:
    """The file is sent once more, with the new one."""
    refusals = iter([TokenExpired("no")])
    storage = FakeStorage(refuse=lambda _: next(refusals, None))
    file_id = upstream(FakeKimi(), storage=storage).upload(refreshable(), content(), Cancellation())
    assert storage.kept[file_id].account == Account("access-2")
    assert storage.uploads == 2


def test_waiting_for_a_file_renews_a_token_that_has_ended() -> None:
    """Reading may take longer than it lives; the time to wait is the caller's."""
    refusals = iter([TokenExpired("no")])
    storage = FakeStorage(unread=lambda _: next(refusals, None))
    site = upstream(FakeKimi(), storage=storage)
    file_id = site.upload(refreshable(), content(), Cancellation())
    site.await_read(refreshable(), file_id, Cancellation(), is_image=False, within=7.0)
    assert storage.waits == [(file_id, 7.0)] * 2


@pytest.mark.parametrize(("credential", "wrapped"), [(ANN, False), (refreshable(), True)])
def test_a_text_is_composed_for_the_protocol_that_serves_its_account(credential: Credential, *, wrapped: bool) -> None:
    """The legacy site reads links only where they are marked."""
    text = upstream(FakeKimi(), protocol="rest").compose(credential, [user("Read https://a.example/ now")], Guide())
    assert ("<url" in text) == wrapped


# --- Other calls -------------------------------------------------------------------------------------------


def test_quotas_are_told_only_to_an_account_that_kimi_knows() -> None:
    """The greeting comes first: a site may tell quotas of nobody."""
    plan = Quota("plan", 0.5, chat=True)
    kimi = FakeKimi(quotas=(plan,))
    assert upstream(kimi).quotas(ANN) == (plan,)
    assert kimi.greeted == [Account(ANN.token)]
    with pytest.raises(AccountRestricted):
        upstream(FakeKimi(quotas=(plan,), greeting=AccountRestricted("no"))).quotas(ANN)


def test_an_official_key_is_no_account_of_the_chat() -> None:
    """Kimi's chat is not asked."""
    kimi = FakeKimi()
    with pytest.raises(InvalidApiKey):
        upstream(kimi).quotas(OFFICIAL)
    assert kimi.greeted == []


@pytest.mark.parametrize(
    ("credential", "host"),
    [(ANN, "connect.kimi.com"), (OVERSEAS, "connect.kimi.ai"), (refreshable(), "rest.kimi.com")],
)
def test_the_site_is_that_of_token_and_protocol(credential: Credential, host: str) -> None:
    """As a person would look for it."""
    assert upstream(FakeKimi(), protocol="rest").site(credential) == host
