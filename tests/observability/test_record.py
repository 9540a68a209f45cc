"""What is known of a request when its answer is over."""

from __future__ import annotations

import time

import pytest

from app.chat.events import (
    Annotation,
    Event,
    Failed,
    Finished,
    Opened,
    Served,
    Source,
    TextDelta,
    ThinkingDelta,
    Usage,
    Warned,
)
from app.errors import UpstreamBusy
from app.observability.record import RequestRecord

SOURCE = Source("https://a.example/", "A")


def test_a_record_tells_what_is_known_only() -> None:
    """Its id and how long it took, at least."""
    fields = RequestRecord("id-1").fields()
    assert fields.keys() == {"id", "duration"}
    assert fields["id"] == "id-1"


def test_usage_is_told_as_clients_are_billed() -> None:
    """Thinking counts as completion."""
    record = RequestRecord("id-1")
    record.saw([Usage(prompt=7, completion=3, reasoning=2), Finished()])
    fields = record.fields()
    assert [fields["prompt_tokens"], fields["completion_tokens"]] == [7, 5]


def test_no_tokens_are_tokens() -> None:
    """Zero is known."""
    record = RequestRecord("id-1")
    record.saw([Usage(prompt=0, completion=0, reasoning=0)])
    assert record.fields()["completion_tokens"] == 0


def test_a_failure_leaves_its_code() -> None:
    """Nothing of its message."""
    record = RequestRecord("id-1")
    record.saw([TextDelta("a"), Failed(UpstreamBusy("a sentence"))])
    assert record.fields()["code"] == "upstream_busy"
    assert "a sentence" not in str(record.fields())


@pytest.mark.parametrize("event", [TextDelta("a"), ThinkingDelta("a"), Annotation(SOURCE, 0, 0)])
def test_the_first_word_is_timed(event: Event) -> None:
    """Later ones are not."""
    record = RequestRecord("id-1", started=time.monotonic() - 10)
    record.saw([Opened("c"), event])
    first = record.first_word
    record.saw([event])
    assert record.first_word == first
    assert record.fields()["first_word"] == pytest.approx(10, abs=5)


@pytest.mark.parametrize("event", [Served("a", 0.5), Opened("c"), SOURCE, Failed(UpstreamBusy("no")), Usage(1, 1, 1)])
def test_what_is_no_word_is_not_timed(event: Event) -> None:
    """A conversation that opens is not an answer."""
    record = RequestRecord("id-1")
    record.saw([event])
    assert record.first_word is None


def test_the_account_and_its_line_are_told() -> None:
    """By the beginning of its name, which is enough to tell accounts apart."""
    record = RequestRecord("id-1")
    record.saw([Served("0123456789abcdef", 1.23456)])
    fields = record.fields()
    assert [fields["account"], fields["waited"]] == ["0123456789ab", 1.2346]


def test_no_wait_is_told_as_such() -> None:
    """Zero is known."""
    record = RequestRecord("id-1")
    record.saw([Served("a", 0.0)])
    assert record.fields()["waited"] == 0.0


def test_the_last_account_of_several_counts() -> None:
    """It is the one that answered."""
    record = RequestRecord("id-1")
    record.saw([Served("first", 3.0)])
    record.saw([Served("second", 0.0), Opened("c")])
    assert [record.fields()["account"], record.fields()["waited"]] == ["second", 0.0]


def test_no_content_is_kept() -> None:
    """The record becomes a log line."""
    record = RequestRecord("id-1")
    warned = Warned("bad_arguments:secret words")
    record.saw([TextDelta("secret words"), ThinkingDelta("secret words"), SOURCE, Opened("chat"), warned])
    assert "secret" not in repr(record)
    assert "a.example" not in repr(record)


def test_warnings_are_told_by_their_kind() -> None:
    """Each once; what follows the colon may be the model's."""
    record = RequestRecord("id-1")
    record.saw([Warned("schema:missing:city"), Warned("schema:type:days"), Warned("repaired")])
    assert record.fields()["warnings"] == ["repaired", "schema"]
    assert "warnings" not in RequestRecord("id-2").fields()
