"""Files that clients upload by themselves: held by an account at once, and by its own clients alone found again."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from app.accounts.credentials import Credential
from app.attachments.intake import in_memory
from app.attachments.shelf import Record
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import (
    AccountRestricted,
    AttachmentRefused,
    ClientGone,
    FileNotFound,
    GatewayError,
    InvalidRequest,
    PlanRequired,
    RateLimitExceeded,
    RequestTooLarge,
    TokenExpired,
    UpstreamBusy,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway.files import STORE_WITHIN
from app.kimi.client import Account
from tests.fakes import FakeKimi, FakeStorage
from tests.gateway.houses import ANN, BOB, EVE, PNG, House, refreshable

OF_ACCOUNTS = [TokenExpired, AccountRestricted, RateLimitExceeded, UpstreamBusy]
OF_FILES = [AttachmentRefused, RequestTooLarge, InvalidRequest, PlanRequired, UpstreamUnavailable, ClientGone]


def content(data: bytes = b"abc", name: str = "a.txt") -> Content:
    """A file as it was taken in."""
    return in_memory(data, hashlib.sha256(data).hexdigest(), name, None, limit=1_000_000)


def store(house: House, *accounts: Credential, file: Content | None = None) -> Record:
    """Upload a file; a second passes."""
    house.clock.advance(1)
    return house.files.store(accounts or (ANN,), file or content(), "user_data", Cancellation())


def refusing(*errors: GatewayError | None) -> FakeStorage:
    """The first uploads fail so."""
    refusals = iter(errors)
    return FakeStorage(refuse=lambda _: next(refusals, None))


# --- Stored ------------------------------------------------------------------------------------------------


def test_a_file_is_with_kimi_before_its_client_is_told_the_id() -> None:
    """The record tells what the client needs, and which file of Kimi's it is."""
    house = House(FakeKimi())
    record = store(house, file=content(PNG, "a.png"))
    assert record == Record(
        file_id=record.file_id,
        kimi_id="kimi-1",
        protocol="connect",
        name="a.png",
        size=len(PNG),
        created=house.clock(),
        purpose="user_data",
        is_image=True,
        is_read=True,
    )
    assert record.file_id.startswith("file-")
    assert house.storage.kept["kimi-1"].data == PNG
    assert house.files.find((ANN,), record.file_id) == record


def test_a_client_is_not_kept_waiting_for_the_reading() -> None:
    """Platforms end a request after 30 seconds; the file is there, and will be waited for when it is used."""
    house = House(FakeKimi(), storage=FakeStorage(unread=lambda _: UpstreamTimeout("no")))
    record = store(house)
    assert house.storage.waits == [("kimi-1", STORE_WITHIN)]
    assert STORE_WITHIN < 30
    assert not record.is_read


def test_the_same_bytes_are_uploaded_once_and_have_an_id_each_time() -> None:
    """Deleting the one must not take away the other."""
    house = House(FakeKimi())
    one, other = store(house), store(house)
    assert [one.kimi_id, other.kimi_id, house.storage.uploads] == ["kimi-1", "kimi-1", 1]
    house.files.remove((ANN,), one.file_id)
    assert house.files.records((ANN,)) == [other]


def test_the_store_does_not_tell_what_a_file_is_called() -> None:
    """Names may be private; what is listed is as it was given."""
    house = House(FakeKimi())
    record = store(house, file=content(name="diagnosis.txt"))
    assert house.store is not None
    (written,) = house.store.members(f"files:{ANN.account}").values()
    assert b"diagnosis" not in written
    assert house.files.records((ANN,)) == [record]
    assert record.name == "diagnosis.txt"


@pytest.mark.parametrize("kind", OF_ACCOUNTS)
def test_an_account_that_cannot_hold_a_file_gives_way(kind: type[GatewayError]) -> None:
    """To the next one, which then is the file's."""
    house = House(FakeKimi(), storage=refusing(kind("no")))
    record = store(house, ANN, BOB)
    assert house.storage.kept[record.kimi_id].account == Account(BOB.token)
    assert [house.files.records((ANN,)), house.files.records((BOB,))] == [[], [record]]


@pytest.mark.parametrize("kind", OF_FILES)
def test_no_other_account_is_asked_for_what_it_cannot_mend(kind: type[GatewayError]) -> None:
    """The file would be sent a second time in vain."""
    house = House(FakeKimi(), storage=refusing(kind("no")))
    with pytest.raises(kind):
        store(house, ANN, BOB)
    assert house.storage.uploads == 1
    assert house.files.records((ANN, BOB)) == []


def test_when_no_account_can_hold_a_file_the_last_one_s_error_is_told() -> None:
    """Each is asked once."""
    errors = [TokenExpired("ann"), RateLimitExceeded("bob"), UpstreamBusy("eve")]
    house = House(FakeKimi(), storage=refusing(*errors))
    with pytest.raises(UpstreamBusy, match="eve"):
        store(house, ANN, BOB, EVE)
    assert house.storage.uploads == 3
    assert house.files.records((ANN, BOB, EVE)) == []


def test_a_token_that_has_ended_is_renewed_for_an_upload() -> None:
    """Before the account gives way."""
    house = House(FakeKimi(), storage=refusing(TokenExpired("no")))
    record = store(house, refreshable("ann"), BOB)
    assert house.storage.kept[record.kimi_id].account == Account("access-2")


def test_what_kimi_cannot_read_is_on_no_shelf() -> None:
    """Its id would be good for nothing."""
    house = House(FakeKimi(), storage=FakeStorage(unread=lambda _: AttachmentRefused("no")))
    with pytest.raises(AttachmentRefused):
        store(house, ANN, BOB)
    assert [house.storage.uploads, house.files.records((ANN, BOB))] == [1, []]


# --- Found -------------------------------------------------------------------------------------------------


def test_files_are_listed_newest_first() -> None:
    """Those of all accounts of the request."""
    house = House(FakeKimi())
    ids = [store(house, account, file=content(bytes([65 + n]))).file_id for n, account in enumerate((ANN, BOB, ANN))]
    assert [record.file_id for record in house.files.records((ANN, BOB))] == ids[::-1]
    assert [record.file_id for record in house.files.records((BOB,))] == ids[1:2]


def test_two_tokens_of_an_account_list_its_files_once() -> None:
    """The shelf is the account's."""
    house = House(FakeKimi())
    record = store(house)
    assert house.files.records((ANN, refreshable("ann"))) == [record]
    assert house.files.find((refreshable("ann"),), record.file_id) == record


def test_a_file_is_nobody_else_s() -> None:
    """It cannot be listed, found, used or removed by another account, which is told nothing of it."""
    house = House(FakeKimi())
    record = store(house)
    assert [house.files.records((BOB,)), house.files.known((BOB,))] == [[], {}]
    for step in (house.files.find, house.files.remove):
        with pytest.raises(FileNotFound) as other:
            step((BOB,), record.file_id)
        with pytest.raises(FileNotFound) as unknown:
            step((BOB,), "file-unknown")
        assert str(other.value) == str(unknown.value)
    assert house.files.records((ANN,)) == [record]


def test_a_file_that_was_removed_is_gone() -> None:
    """Kimi is not asked: it knows no such call."""
    house = House(FakeKimi())
    record = store(house)
    house.files.remove((BOB, ANN), record.file_id)
    assert [house.files.records((ANN,)), house.files.known((BOB, ANN))] == [[], {}]
    for step in (house.files.find, house.files.remove):
        with pytest.raises(FileNotFound):
            step((BOB, ANN), record.file_id)


# --- Used --------------------------------------------------------------------------------------------------


def test_files_are_known_with_a_credential_of_their_account() -> None:
    """Those of all accounts of the request."""
    house = House(FakeKimi())
    one, other = store(house, ANN), store(house, BOB, file=content(b"other"))
    assert house.files.known((ANN, BOB)) == {one.file_id: (ANN, one), other.file_id: (BOB, other)}


@pytest.mark.parametrize(
    ("credential", "reaches"),
    [(refreshable("ann"), True), (ANN, False), (refreshable("bob"), False), (BOB, False)],
    ids=["its own", "over another protocol", "of another account", "neither"],
)
def test_a_file_is_reached_by_account_and_protocol(credential: Credential, *, reaches: bool) -> None:
    """Kimi's id means nothing to anybody else."""
    house = House(FakeKimi(), protocol="rest")
    record = store(house, refreshable("ann"))
    assert record.protocol == "rest"
    for holder in (ANN, refreshable("ann")):
        assert house.files.reaches(credential, holder, record) is reaches


def ready(house: House, record: Record, account: Credential = ANN) -> str:
    """Kimi's id, once it has read the file."""
    return house.files.ready(account, record, Cancellation())


def test_a_file_is_ready_when_kimi_has_read_it() -> None:
    """That is asked each time: Kimi may drop what it has."""
    house = House(FakeKimi())
    record = store(house)
    assert [ready(house, record), ready(house, record)] == ["kimi-1", "kimi-1"]
    assert len(house.storage.waits) == 3


def test_that_a_file_has_been_read_is_written_down() -> None:
    """Its client sees that it can be used."""
    house = House(FakeKimi(), storage=FakeStorage(unread=lambda _: UpstreamTimeout("no")))
    record = store(house)
    house.storage.unread = lambda _: None
    ready(house, record)
    assert house.files.find((ANN,), record.file_id) == replace(record, is_read=True)


def test_a_file_that_kimi_has_dropped_is_not_found_and_its_record_is_gone() -> None:
    """The client is told to upload it again, and does not find it in its list."""
    house = House(FakeKimi())
    record, other = store(house), store(house, file=content(b"other"))
    del house.storage.kept[record.kimi_id]
    with pytest.raises(FileNotFound, match="upload it again"):
        ready(house, record)
    assert house.files.records((ANN,)) == [other]


@pytest.mark.parametrize("error", [UpstreamUnavailable, UpstreamTimeout, TokenExpired, ClientGone, AttachmentRefused])
def test_a_file_stays_on_the_shelf_after_other_errors(error: type[GatewayError]) -> None:
    """They pass."""
    house = House(FakeKimi())
    record = store(house)
    house.storage.unread = lambda _: error("no")
    with pytest.raises(error):
        ready(house, record)
    assert house.files.records((ANN,)) == [record]


def test_a_file_is_uploaded_again_under_a_new_id_after_kimi_has_dropped_it() -> None:
    """Its bytes are asked of the client once more; nothing of the first time is in the way."""
    house = House(FakeKimi())
    record = store(house)
    house.storage.kept.clear()
    with pytest.raises(FileNotFound):
        ready(house, record)
    again = store(house)
    assert [again.kimi_id, again.file_id != record.file_id] == ["kimi-2", True]
