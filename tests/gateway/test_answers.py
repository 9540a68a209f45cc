"""Answers that clients refer to: found again by who asked, by nobody else, and as long as a conversation is kept."""

from __future__ import annotations

import os
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.accounts.credentials import parse_credentials
from app.errors import InvalidRequest, NotFound
from app.gateway.answers import MAX_CHAIN, MAX_CHAIN_BYTES, MAX_KEPT, Answers, Kept
from app.offload import Offload
from app.state.sqlite import MEMORY, SqliteStore
from app.state.store import StateUnavailable
from tests.fakes import FakeClock, jwt
from tests.gateway.houses import ANN, BOB, EVE

TTL = 1800.0
OFFLOAD = Offload()


class Glass(SqliteStore):
    """A store in which can be seen what was put there."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(MEMORY, clock=clock)
        self.seen: dict[str, bytes] = {}

    def put(self, items: Mapping[str, bytes], ttl: float) -> None:
        self.seen |= items
        super().put(items, ttl)


class Shelf:
    """The answers of one worker, over a store with a clock that stands."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Glass(self.clock)
        self.answers = Answers(self.store, ttl=TTL)

    def keep(self, kept: Kept) -> bool:
        """Keep an answer of Ann's."""
        return self.answers.keep((ANN,), kept, OFFLOAD)

    def chain(self, response_id: str) -> list[str]:
        """The ids of a conversation of Ann's."""
        return [kept.response_id for kept in self.answers.chain((ANN,), response_id, OFFLOAD)]

    def knows(self, response_id: str) -> bool:
        """Whether an answer of Ann's is known."""
        return response_id in self.answers.known((ANN,), [response_id], OFFLOAD)


def talk(shelf: Shelf, *names: str) -> None:
    """Keep the answers of one conversation."""
    for number, name in enumerate(names):
        assert shelf.keep(Kept(name, names[:number], b"[]", b"{}"))


@given(st.binary(max_size=5000), st.binary(max_size=5000), st.lists(st.text(max_size=9), max_size=9))
def test_what_is_kept_is_found_as_it_was(inputs: bytes, response: bytes, before: list[str]) -> None:
    """Whatever it holds, large or small."""
    shelf, kept = Shelf(), Kept("resp_1", tuple(before), inputs, response)
    assert shelf.keep(kept)
    assert shelf.answers.find((ANN,), "resp_1", OFFLOAD) == kept


def test_a_large_answer_is_found_as_it_was() -> None:
    """At the limit; one byte more is not kept, and that is no error."""
    shelf, noise = Shelf(), os.urandom(1000) * (MAX_KEPT // 1000 + 1)
    assert shelf.keep(Kept("resp_1", (), noise[: MAX_KEPT - 2], b"{}"))
    assert shelf.answers.find((ANN,), "resp_1", OFFLOAD).size == MAX_KEPT
    assert not shelf.keep(Kept("resp_2", (), noise[: MAX_KEPT - 1], b"{}"))
    assert not shelf.knows("resp_2")


def test_another_account_finds_nothing() -> None:
    """Also where it knows the id; who brings several accounts finds what is kept for any of them."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    with pytest.raises(NotFound) as caught:
        shelf.answers.find((BOB,), "resp_1", OFFLOAD)
    assert caught.value.message == "Response with id 'resp_1' not found."
    with pytest.raises(NotFound):
        shelf.answers.chain((BOB, EVE), "resp_1", OFFLOAD)
    assert shelf.answers.find((BOB, ANN), "resp_1", OFFLOAD).response_id == "resp_1"


def test_an_account_is_known_by_all_of_its_tokens() -> None:
    """A token that was renewed is another token of the same person."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    renewed = parse_credentials(jwt(typ="refresh", sub="ann", jti="2"))
    assert shelf.answers.find(renewed, "resp_1", OFFLOAD).response_id == "resp_1"


def test_a_store_tells_nothing() -> None:
    """Neither names nor words nor whose they are, small or large."""
    shelf = Shelf()
    for name, text in (("resp_1", b"a secret"), ("resp_2", b"a secret" * 1000)):
        shelf.keep(Kept(name, ("resp_0",), text, text))
    told = str(shelf.store.seen)
    assert len(shelf.store.seen) == 2
    assert [word for word in ("secret", "resp_", ANN.account, ANN.name) if word in told] == []


def test_a_value_that_was_moved_is_not_believed() -> None:
    """One answer does not pass for another."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    shelf.keep(Kept("resp_2"))
    (_, value), (other, _) = shelf.store.seen.items()
    shelf.store.put({other: value}, TTL)
    assert not shelf.knows("resp_2")
    assert shelf.knows("resp_1")


@pytest.mark.parametrize("box", [b"", b"-", b"z", b"\x00" * 40])
def test_what_cannot_be_read_is_not_there(box: bytes) -> None:
    """Another version may have written it."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    (key,) = shelf.store.seen
    shelf.store.put({key: box}, TTL)
    assert not shelf.knows("resp_1")
    with pytest.raises(NotFound):
        shelf.chain("resp_1")


# --- Conversations -----------------------------------------------------------------------------------------


def test_a_conversation_is_read_from_its_beginning() -> None:
    """Up to the answer that is named, also where others branch off."""
    shelf = Shelf()
    talk(shelf, "resp_1", "resp_2", "resp_3")
    shelf.keep(Kept("resp_b", ("resp_1",)))
    assert shelf.chain("resp_3") == ["resp_1", "resp_2", "resp_3"]
    assert shelf.chain("resp_2") == ["resp_1", "resp_2"]
    assert shelf.chain("resp_b") == ["resp_1", "resp_b"]


@pytest.mark.parametrize("gone", ["resp_1", "resp_2", "resp_3"])
def test_a_conversation_with_a_gap_is_not_found(gone: str) -> None:
    """The model must not answer to half of it."""
    shelf = Shelf()
    talk(shelf, "resp_1", "resp_2", "resp_3")
    shelf.answers.remove((ANN,), gone)
    with pytest.raises(NotFound) as caught:
        shelf.chain("resp_3")
    assert caught.value.message == "Previous response with id 'resp_3' not found."
    assert caught.value.param == "previous_response_id"


def test_every_answer_of_a_conversation_lives_as_long_as_it_is_used() -> None:
    """The first ones too; unused, all of it is forgotten."""
    shelf = Shelf()
    talk(shelf, "resp_1", "resp_2")
    for _ in range(5):
        shelf.clock.advance(TTL - 1)
        assert shelf.chain("resp_2") == ["resp_1", "resp_2"]
    shelf.clock.advance(TTL + 1)
    with pytest.raises(NotFound):
        shelf.chain("resp_2")


def test_a_conversation_has_an_end() -> None:
    """An answer behind so many is not kept."""
    shelf = Shelf()
    names = tuple(map(str, range(MAX_CHAIN)))
    assert shelf.keep(Kept("resp_1", names[1:]))
    assert not shelf.keep(Kept("resp_2", names))


def test_a_conversation_that_is_too_large_is_refused_as_such() -> None:
    """Its client has to begin anew, and is told so."""
    shelf = Shelf()
    half = b" " * (MAX_KEPT - 2)
    count = MAX_CHAIN_BYTES // MAX_KEPT + 1
    names = tuple(f"resp_{number}" for number in range(count))
    for number, name in enumerate(names):
        assert shelf.keep(Kept(name, names[:number], half, b"{}"))
    assert len(shelf.chain(names[-2])) == count - 1
    assert shelf.keep(Kept("resp_last", names))
    with pytest.raises(InvalidRequest) as caught:
        shelf.chain("resp_last")
    assert caught.value.param == "previous_response_id"


# --- Forgotten ---------------------------------------------------------------------------------------------


def test_an_answer_is_forgotten_on_request() -> None:
    """By its own account only, and once."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    with pytest.raises(NotFound):
        shelf.answers.remove((BOB,), "resp_1")
    shelf.answers.remove((BOB, ANN), "resp_1")
    assert not shelf.knows("resp_1")
    with pytest.raises(NotFound):
        shelf.answers.remove((ANN,), "resp_1")


@pytest.mark.parametrize("name", ["", "x" * 100_000, "\x00", "'; DROP TABLE item", "resp_\ud800"])
def test_a_name_of_any_look_is_not_found(name: str) -> None:
    """What is told of it is short."""
    shelf = Shelf()
    with pytest.raises(NotFound) as caught:
        shelf.chain(name)
    assert len(caught.value.message) < 200
    with pytest.raises(NotFound) as caught:
        shelf.answers.find((ANN,), name, OFFLOAD)
    assert len(caught.value.message) < 200


class Away(SqliteStore):
    """A store that can be read and not written."""

    def put(self, *_: object, **__: object) -> None:
        raise StateUnavailable


def test_a_store_that_takes_nothing_breaks_no_answer() -> None:
    """The answer is not kept; what is known stays readable."""
    shelf = Shelf()
    talk(shelf, "resp_1")
    away = Away(MEMORY, clock=shelf.clock)
    assert not Answers(away, ttl=TTL).keep((ANN,), Kept("resp_2"), OFFLOAD)
    away.get = shelf.store.get  # type: ignore[method-assign] # what another worker had written
    assert Answers(away, ttl=TTL).chain((ANN,), "resp_1", OFFLOAD)
