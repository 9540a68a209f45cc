"""Files that an account holds: uploaded once, read before anything is asked about them, and found out when dropped."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest

from app.accounts.credentials import Credential
from app.attachments.intake import in_memory
from app.attachments.uploads import REFUSAL_LIFE
from app.chat.cancellation import Cancellation
from app.chat.content import Content
from app.errors import (
    AttachmentRefused,
    ClientGone,
    FileNotFound,
    GatewayError,
    RateLimitExceeded,
    TokenExpired,
    UpstreamProtocolError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway.holding import Held, is_other_text
from app.kimi.client import Account
from app.kimi.storage import READ_WITHIN
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import Store
from tests.fakes import FakeClock, FakeKimi, FakeStorage
from tests.gateway.houses import ANN, BINARY, BOB, PNG, House, refreshable

PATIENCE = 10.0
"""Seconds that a test waits for what must come at once."""


def content(data: bytes = b"abc", name: str = "a.txt") -> Content:
    """A file as it was taken in."""
    return in_memory(data, hashlib.sha256(data).hexdigest(), name, None, limit=1_000_000)


@dataclass
class Desk:
    """A worker that has accounts hold files."""

    storage: FakeStorage = field(default_factory=FakeStorage)
    protocol: str = "connect"
    store: Store | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    house: House = field(init=False)

    def __post_init__(self) -> None:
        self.house = House(FakeKimi(), storage=self.storage, protocol=self.protocol, store=self.store, clock=self.clock)

    def hold(self, credential: Credential = ANN, file: Content | None = None) -> Held:
        """Have an account hold a file; a new reader of it every time, as in another request."""
        return self.house.holding.hold(credential, file or content(), Cancellation())

    def keep(self, credential: Credential = ANN, file: Content | None = None, *, within: float = 5.0) -> Held:
        """Have an account hold a file for later."""
        return self.house.holding.keep(credential, file or content(), Cancellation(), within=within)

    @property
    def names(self) -> list[str]:
        """What Kimi has the files under."""
        return [kept.name for kept in self.storage.kept.values()]


def refusing(*names: str, error: type[GatewayError] = AttachmentRefused) -> FakeStorage:
    """Kimi refuses files of these names' endings at their upload."""
    return FakeStorage(refuse=lambda file: error("no such type") if file.name.endswith(names) else None)


# --- Once --------------------------------------------------------------------------------------------------


def test_a_file_is_uploaded_and_read() -> None:
    """When `hold` returns, Kimi can be asked about it."""
    desk = Desk()
    assert desk.hold() == Held("kimi-1", is_read=True)
    assert desk.storage.waits == [("kimi-1", READ_WITHIN)]
    assert desk.storage.kept["kimi-1"].data == b"abc"


def test_the_same_bytes_are_uploaded_once() -> None:
    """Under whatever name they come; that they are read is asked each time."""
    desk = Desk()
    held = [desk.hold(file=content(name=name)) for name in ("a.txt", "a.txt", "b.txt")]
    assert held == [Held("kimi-1", is_read=True)] * 3
    assert [desk.storage.uploads, len(desk.storage.waits)] == [1, 3]


def test_other_bytes_are_another_file() -> None:
    """By one byte."""
    desk = Desk()
    assert [desk.hold().file_id, desk.hold(file=content(b"abd")).file_id] == ["kimi-1", "kimi-2"]


def test_another_worker_knows_of_it() -> None:
    """It is in the shared store."""
    one = Desk()
    other = Desk(storage=one.storage, store=one.house.store, clock=one.clock)
    assert [one.hold(), other.hold()] == [Held("kimi-1", is_read=True)] * 2
    assert one.storage.uploads == 1


def test_requests_at_the_same_time_upload_once() -> None:
    """The second one waits for the first."""
    begun, go_on = threading.Event(), threading.Event()

    def slowly(_content: Content) -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    desk = Desk(FakeStorage(refuse=slowly))
    found: list[Held] = []
    threads = [threading.Thread(target=lambda: found.append(desk.hold())) for _ in range(2)]
    threads[0].start()
    assert begun.wait(PATIENCE)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == [Held("kimi-1", is_read=True)] * 2
    assert desk.storage.uploads == 1


# --- Apart -------------------------------------------------------------------------------------------------


def test_accounts_hold_files_of_their_own() -> None:
    """Each with its own token."""
    desk = Desk()
    assert [desk.hold(ANN).file_id, desk.hold(BOB).file_id, desk.hold(ANN).file_id] == ["kimi-1", "kimi-2", "kimi-1"]
    assert [kept.account for kept in desk.storage.kept.values()] == [Account(ANN.token), Account(BOB.token)]
    assert [kept.data for kept in desk.storage.kept.values()] == [b"abc", b"abc"]


@pytest.mark.parametrize(("protocol", "ids"), [("connect", ["kimi-1", "kimi-1"]), ("rest", ["kimi-1", "kimi-2"])])
def test_tokens_of_an_account_share_its_files_if_they_speak_one_protocol(protocol: str, ids: list[str]) -> None:
    """An id of the one site may mean nothing to the other."""
    desk = Desk(protocol=protocol)
    assert [desk.hold(ANN).file_id, desk.hold(refreshable("ann")).file_id] == ids


def test_a_refusal_of_one_account_is_not_another_one_s() -> None:
    """Plans differ."""
    refusals = iter([AttachmentRefused("no")])
    desk = Desk(FakeStorage(refuse=lambda _: next(refusals, None)))
    with pytest.raises(AttachmentRefused):
        desk.hold(ANN)
    assert desk.hold(BOB).is_read


class Diary(SqliteStore):
    """A store that writes down what is written into it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MEMORY, clock=clock)
        self.written: list[str] = []

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        self.written += [f"{key}={value!r}" for key, value in items.items()]
        super().put(items, ttl)


def test_the_store_does_not_tell_what_was_uploaded() -> None:
    """A bare digest would show who has a known file, and names may be private."""
    clock = FakeClock()
    diary = Diary(clock)
    file = content(name="diagnosis.txt")
    Desk(store=diary, clock=clock).hold(file=file)
    assert diary.written
    assert not [line for line in diary.written if file.digest in line or "diagnosis" in line]


# --- Dropped by Kimi ---------------------------------------------------------------------------------------


def test_what_kimi_has_dropped_is_uploaded_again() -> None:
    """Once, and remembered anew."""
    desk = Desk()
    desk.hold()
    desk.storage.kept.clear()
    assert [desk.hold(), desk.hold()] == [Held("kimi-2", is_read=True)] * 2
    assert desk.storage.uploads == 2


def test_a_file_that_kimi_does_not_know_right_behind_its_upload_is_an_error() -> None:
    """It is not sent again and again."""
    desk = Desk(FakeStorage(unread=lambda _: FileNotFound("no")))
    with pytest.raises(UpstreamProtocolError):
        desk.hold()
    assert desk.storage.uploads == 1


def test_what_was_dropped_and_is_not_known_behind_its_upload_is_an_error_too() -> None:
    """One more upload, no more."""
    desk = Desk()
    desk.hold()
    desk.storage.unread = lambda _: FileNotFound("no")
    with pytest.raises(UpstreamProtocolError):
        desk.hold()
    assert desk.storage.uploads == 2


def test_a_file_that_was_not_known_is_not_remembered() -> None:
    """The next request begins anew."""
    desk = Desk(FakeStorage(unread=lambda _: FileNotFound("no")))
    with pytest.raises(UpstreamProtocolError):
        desk.hold()
    desk.storage.unread = lambda _: None
    assert desk.hold() == Held("kimi-2", is_read=True)


# --- Refused -----------------------------------------------------------------------------------------------


def at_upload(error: GatewayError) -> FakeStorage:
    """Kimi fails so at every upload."""
    return FakeStorage(refuse=lambda _: error)


def at_reading(error: GatewayError) -> FakeStorage:
    """Kimi fails so at reading what it has taken."""
    return FakeStorage(unread=lambda _: error)


@pytest.mark.parametrize("place", [at_upload, at_reading])
def test_a_refusal_is_remembered_for_a_while(place: Callable[[GatewayError], FakeStorage]) -> None:
    """The same bytes would only fill Kimi's storage; its reason is told each time."""
    desk = Desk(place(AttachmentRefused("Kimi says no")))
    for _ in range(2):
        with pytest.raises(AttachmentRefused, match="Kimi says no"):
            desk.hold()
    assert desk.storage.uploads == 1
    desk.clock.advance(REFUSAL_LIFE + 1)
    desk.storage.refuse, desk.storage.unread = lambda _: None, lambda _: None
    assert desk.hold() == Held("kimi-2", is_read=True)
    assert desk.storage.uploads == 2


@pytest.mark.parametrize("error", [UpstreamUnavailable, RateLimitExceeded, TokenExpired, ClientGone, UpstreamTimeout])
def test_other_errors_at_the_upload_are_not_remembered(error: type[GatewayError]) -> None:
    """The next request may do better."""
    desk = Desk(at_upload(error("no")))
    with pytest.raises(error):
        desk.hold()
    desk.storage.refuse = lambda _: None
    assert desk.hold().is_read


@pytest.mark.parametrize("error", [UpstreamUnavailable, RateLimitExceeded, TokenExpired, ClientGone, UpstreamTimeout])
def test_after_other_errors_at_reading_the_upload_is_still_good(error: type[GatewayError]) -> None:
    """Kimi may have read it meanwhile; the bytes are there."""
    desk = Desk(at_reading(error("no")))
    with pytest.raises(error):
        desk.hold()
    desk.storage.unread = lambda _: None
    assert desk.hold() == Held("kimi-1", is_read=True)
    assert desk.storage.uploads == 1


def test_a_client_that_has_left_uploads_nothing() -> None:
    """Nor is anything remembered of it."""
    desk = Desk()
    gone = Cancellation()
    gone.cancel()
    with pytest.raises(ClientGone):
        desk.house.holding.hold(ANN, content(), gone)
    assert [desk.storage.uploads, desk.hold().file_id] == [0, "kimi-1"]


# --- As plain text -----------------------------------------------------------------------------------------


def test_text_is_held_as_plain_text_under_a_name_that_says_so() -> None:
    """Beside the refusal of its own kind; once as well."""
    desk = Desk(refusing(".py"))
    code = content(b"print()", "a.py")
    with pytest.raises(AttachmentRefused):
        desk.hold(file=code)
    held = [desk.house.holding.hold_plain(ANN, code, Cancellation()) for _ in range(2)]
    assert held == [Held("kimi-2", is_read=True)] * 2
    (kept,) = desk.storage.kept.values()
    assert [kept.name, kept.media_type, kept.data] == ["a.py.txt", "text/plain", b"print()"]


@pytest.mark.parametrize(
    ("file", "is_other"),
    [
        (content(b"print()", "a.py"), True),
        (content(b"a", "a.txt"), False),
        (content(b"a", "A.TXT"), False),
        (content(BINARY, "a.bin"), False),
        (content(PNG, "a.png"), False),
    ],
    ids=["code", "text", "loud text", "binary", "picture"],
)
def test_text_under_another_name_is_worth_a_second_try(file: Content, *, is_other: bool) -> None:
    """Nothing else is."""
    assert is_other_text(file) is is_other


# --- For later ---------------------------------------------------------------------------------------------


def test_what_is_kept_for_later_is_waited_for_as_long_as_is_said() -> None:
    """Read by then, it is known to be."""
    desk = Desk()
    assert desk.keep(within=5.0) == Held("kimi-1", is_read=True)
    assert desk.storage.waits == [("kimi-1", 5.0)]


def test_what_is_kept_for_later_may_be_read_later() -> None:
    """Its client is not kept waiting; who asks about it then waits without a second upload."""
    desk = Desk(at_reading(UpstreamTimeout("no")))
    assert desk.keep() == Held("kimi-1", is_read=False)
    desk.storage.unread = lambda _: None
    assert desk.hold() == Held("kimi-1", is_read=True)
    assert desk.storage.uploads == 1


@pytest.mark.parametrize("error", [AttachmentRefused, UpstreamUnavailable, RateLimitExceeded, ClientGone])
@pytest.mark.parametrize("place", [at_upload, at_reading])
def test_what_cannot_be_kept_is_an_error_at_once(
    place: Callable[[GatewayError], FakeStorage], error: type[GatewayError]
) -> None:
    """A client must not be given an id that is good for nothing."""
    desk = Desk(place(error("no")))
    with pytest.raises(error):
        desk.keep()
    assert desk.storage.uploads == 1


def test_an_upload_that_takes_too_long_is_no_file() -> None:
    """Only its reading may take longer."""
    with pytest.raises(UpstreamTimeout):
        Desk(at_upload(UpstreamTimeout("no"))).keep()


def test_text_of_a_kind_that_kimi_refuses_is_kept_as_plain_text() -> None:
    """And its client waits no longer for that than for any file."""
    desk = Desk(refusing(".py"))
    assert desk.keep(file=content(b"print()", "a.py"), within=5.0) == Held("kimi-2", is_read=True)
    assert desk.names == ["a.py.txt"]
    assert desk.storage.waits == [("kimi-2", 5.0)]


def test_plain_text_that_is_kept_may_be_read_later() -> None:
    """As any file."""
    storage = refusing(".py")
    storage.unread = lambda _: UpstreamTimeout("no")
    assert Desk(storage).keep(file=content(b"print()", "a.py")) == Held("kimi-2", is_read=False)


@pytest.mark.parametrize("file", [content(BINARY, "a.bin"), content(PNG, "a.png"), content(b"abc", "a.txt")])
def test_what_is_no_other_text_is_refused_once(file: Content) -> None:
    """A second name would not help it."""
    desk = Desk(at_upload(AttachmentRefused("no")))
    with pytest.raises(AttachmentRefused):
        desk.keep(file=file)
    assert desk.storage.uploads == 1


# --- Checked -----------------------------------------------------------------------------------------------


def test_a_file_that_is_there_can_be_checked() -> None:
    """It is waited for until Kimi has read it."""
    desk = Desk()
    desk.hold()
    desk.house.holding.check(ANN, "kimi-1", Cancellation(), is_image=False)
    assert desk.storage.waits[1:] == [("kimi-1", READ_WITHIN)]


def test_a_file_that_is_not_there_is_not_found() -> None:
    """There are no bytes to upload it from."""
    with pytest.raises(FileNotFound):
        Desk().house.holding.check(ANN, "kimi-1", Cancellation(), is_image=False)
