"""The shelf: what an account has uploaded, and what nobody else learns of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from app.attachments.shelf import MAX_FILES, Record, Shelf
from tests.fakes import FakeClock
from tests.state.stores import FakeStore

RECORD = Record(
    file_id="",
    kimi_id="kimi-1",
    protocol="connect",
    name="a.pdf",
    size=10,
    created=0,
    purpose="user_data",
    is_image=False,
)


class Shelves:
    """A shelf in two stores, the first of them sometimes away; a second passes between two changes."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.first, self.second = FakeStore(self.clock), FakeStore(self.clock)
        self.shelf = Shelf([self.first, self.second], clock=self.clock)

    def add(self, name: str = "a.pdf", account: str = "account") -> Record:
        """Put a file of that name on it."""
        self.clock.advance(1)
        return self.shelf.add(account, replace(RECORD, name=name))

    def get(self, account: str, file_id: str) -> Record | None:
        """The file of that id, None if this account has none."""
        return next((record for record in self.shelf.records(account) if record.file_id == file_id), None)

    @property
    def names(self) -> list[str]:
        """The names of the account's files."""
        return [record.name for record in self.shelf.records("account")]


def test_a_file_is_given_an_id_and_its_time() -> None:
    """The rest stays as it is."""
    shelves = Shelves()
    record = shelves.add()
    assert record == replace(RECORD, file_id=record.file_id, created=shelves.clock.now)
    assert shelves.get("account", record.file_id) == record
    assert shelves.shelf.records("account") == [record]


def test_ids_cannot_be_guessed_and_can_be_sent() -> None:
    """They look like OpenAI's, and stand in paths."""
    shelves = Shelves()
    ids = {shelves.add().file_id for _ in range(20)}
    assert len(ids) == 20
    assert all(each.startswith("file-") and len(each) == 37 and each[5:].isalnum() for each in ids)


def test_an_account_has_only_its_own_files() -> None:
    """An id of another one's is as good as none."""
    shelves = Shelves()
    mine, other = shelves.add(), shelves.add(account="other")
    assert shelves.get("other", mine.file_id) is None
    shelves.shelf.remove("other", mine.file_id)
    shelves.shelf.remove("account:", mine.file_id)
    assert [shelves.shelf.records(account) for account in ("account", "other", "", "acc")] == [[mine], [other], [], []]


@pytest.mark.parametrize("file_id", ["", "file-", "file-0", "kimi-1", "../x", "\0", "files:account"])
def test_there_is_no_file_of_another_id(file_id: str) -> None:
    """Kimi's own id is none here."""
    shelves = Shelves()
    shelves.add()
    assert shelves.get("account", file_id) is None
    shelves.shelf.remove("account", file_id)
    assert shelves.names == ["a.pdf"]


def test_the_newest_comes_first() -> None:
    """As the list is asked for."""
    shelves = Shelves()
    for name in ("a", "c", "b"):
        shelves.add(name)
    assert shelves.names == ["b", "c", "a"]


def test_files_of_one_moment_have_an_order() -> None:
    """The same each time, so that pages of a list fit together."""
    shelves = Shelves()
    shelves.clock.advance(1)
    ids = [shelves.shelf.add("account", RECORD).file_id for _ in range(10)]
    for _ in range(2):
        assert [record.file_id for record in shelves.shelf.records("account")] == sorted(ids, reverse=True)


def test_what_has_become_known_is_written_down() -> None:
    """In place of what was known before; the file stays where it was in the order."""
    shelves = Shelves()
    record = shelves.add("a")
    shelves.add("b")
    shelves.clock.advance(1)
    shelves.shelf.update("account", replace(record, is_read=False, size=11))
    assert shelves.get("account", record.file_id) == replace(record, is_read=False, size=11)
    assert shelves.names == ["b", "a"]


def test_what_was_removed_is_gone() -> None:
    """The other files stay."""
    shelves = Shelves()
    record, other = shelves.add("a"), shelves.add("b")
    shelves.shelf.remove("account", record.file_id)
    assert shelves.get("account", record.file_id) is None
    assert shelves.shelf.records("account") == [other]


def test_an_account_has_a_greatest_number_of_files() -> None:
    """The oldest are forgotten; other accounts have a number of their own."""
    shelves = Shelves()
    other = shelves.add(account="other")
    for number in range(MAX_FILES):
        shelves.shelf.update("account", replace(RECORD, file_id=f"file-{number}", created=float(number)))
    newest = [shelves.add("first"), shelves.add("second")]
    records = shelves.shelf.records("account")
    assert records[:2] == newest[::-1]
    assert [record.file_id for record in records[2:]] == [f"file-{number}" for number in range(MAX_FILES - 1, 1, -1)]
    assert shelves.shelf.records("other") == [other]


def test_a_shelf_outlives_a_store_that_is_away() -> None:
    """What was put on it meanwhile is found beside the rest when it is back, and what was removed is not."""
    shelves = Shelves()
    shelves.add("a")
    gone = shelves.add("gone")
    shelves.first.away = True
    shelves.add("b")
    shelves.clock.advance(1)
    shelves.shelf.remove("account", gone.file_id)
    assert shelves.names == ["b"]
    shelves.first.away = False
    assert shelves.names == ["b", "a"]
    shelves.add("c")
    assert shelves.names == ["c", "b", "a"]


def test_a_shelf_without_a_store_holds_up_nothing() -> None:
    """Nothing is raised; nothing is kept either."""
    shelves = Shelves()
    shelves.first.away = shelves.second.away = True
    record = shelves.add()
    shelves.shelf.remove("account", record.file_id)
    assert (shelves.get("account", record.file_id), shelves.names) == (None, [])


def test_files_do_not_expire() -> None:
    """Kimi keeps them, too."""
    shelves = Shelves()
    shelves.add()
    shelves.clock.advance(10 * 365 * 86_400)
    assert shelves.names == ["a.pdf"]


@pytest.mark.parametrize(
    "values",
    [
        {**asdict(RECORD), "colour": "blue"},
        {key: value for key, value in asdict(RECORD).items() if key != "kimi_id"},
        {},
    ],
    ids=["more", "less", "nothing"],
)
def test_a_record_of_another_version_is_passed_over(values: dict[str, object]) -> None:
    """The others are found all the same."""
    shelves = Shelves()
    shelves.add()
    shelves.first.add("files:account", "file-other", json.dumps([shelves.clock.now, values]).encode())
    shelves.first.add("files:account", "file-garbage", b"\xff")
    assert shelves.get("account", "file-other") is None
    assert shelves.names == ["a.pdf"]


def test_a_record_of_a_version_that_knew_less_is_read() -> None:
    """What it did not say is what was true then."""
    shelves = Shelves()
    old = {key: value for key, value in asdict(replace(RECORD, file_id="file-1")).items() if key != "is_read"}
    shelves.first.add("files:account", "file-1", json.dumps([1.0, old]).encode())
    assert shelves.get("account", "file-1") == replace(RECORD, file_id="file-1", is_read=True)
