"""Public model names."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.models import ModelChoice, ModelEntry, load_models

TABLE: Final = load_models()
WORDS: Final = ("search", "research", "k1", "math", "silent", "thinking")
BASES: Final = ("kimi", "kimi-k2", "kimi-k2.5", "kimi-k2.6", "kimi-k3")
AGENT: Final = "cn9cs5ajmbmts4m7t56g"
DEFAULT: Final = ModelChoice(base="kimi")


# --- Names ---------------------------------------------------------------------------------------------


def test_the_words_of_the_contract() -> None:
    """The words are those that are promised."""
    assert set(TABLE.words) == set(WORDS)


def test_the_bases_of_the_contract() -> None:
    """The named models are those that are promised."""
    assert set(TABLE.bases) == set(BASES)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kimi", DEFAULT),
        ("kimi-search", ModelChoice("kimi", search=True, list_sources=True)),
        ("kimi-research", ModelChoice("kimi", research=True)),
        ("kimi-k1", ModelChoice("kimi", k1=True, thinking=True)),
        ("kimi-math", ModelChoice("kimi", math=True, thinking=True)),
        ("kimi-silent", ModelChoice("kimi", silent=True)),
        ("kimi-thinking", ModelChoice("kimi", thinking=True)),
        (
            "kimi-k1-search-silent",
            ModelChoice("kimi", search=True, list_sources=True, k1=True, silent=True, thinking=True),
        ),
        ("kimi-k2", ModelChoice("kimi-k2")),
        ("kimi-k2.5", ModelChoice("kimi-k2.5")),
        ("kimi-k2.6-thinking", ModelChoice("kimi-k2.6", thinking=True)),
        ("kimi-k3-thinking-search", ModelChoice("kimi-k3", search=True, list_sources=True, thinking=True)),
        (AGENT, ModelChoice("kimi", agent=AGENT)),
    ],
)
def test_names(name: str, expected: ModelChoice) -> None:
    """Each form of a name asks for what the contract says."""
    assert expected == TABLE.choose(name)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("count", range(1, 4))
def test_words_in_any_order(base: str, count: int) -> None:
    """Any of the words may follow any base, and their order does not matter."""
    for words in itertools.combinations(WORDS, count):
        choices = {TABLE.choose("-".join([base, *order])) for order in itertools.permutations(words)}
        (choice,) = choices
        assert choice.base == base
        assert choice != ModelChoice(base)


def test_all_words_at_once() -> None:
    """All words together ask for everything."""
    choice = TABLE.choose("-".join(["kimi", *WORDS]))
    flags = dataclasses.asdict(choice)
    assert (flags.pop("base"), flags.pop("agent")) == ("kimi", None)
    assert all(flags.values())


def test_word_twice() -> None:
    """A word that is said twice means the same."""
    assert TABLE.choose("kimi-search-search") == TABLE.choose("kimi-search")


@pytest.mark.parametrize(
    "name",
    [
        "gpt-4o",
        "claude-sonnet-4-5",
        "",
        "kimi-",
        "kimi--search",
        "kimi-search-",
        "kimi-unknown",
        "kimi-search-unknown",
        "kimisearch",
        "kimi-k2.55",
        "kimi-k4",
        "search",
        "-search",
        "moonshot-v1-8k",
        AGENT.upper(),
        AGENT + "0",
        AGENT[:-1],
        AGENT + "\n",
        "models/gemini-2.5-pro",
    ],
)
def test_unknown_names(name: str) -> None:
    """Any other name asks for the default model, and for nothing else."""
    assert TABLE.choose(name) == DEFAULT


@given(st.text(max_size=40))
def test_any_name(name: str) -> None:
    """No name is refused."""
    assert TABLE.choose(name).base in BASES


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kimi", "kimi"),
        ("gpt-4o", "kimi"),
        ("kimi-k3", "kimi-k3"),
        ("kimi-research", "kimi-research"),
        ("kimi-k2-research-search", "kimi-k2-research"),
        ("kimi-k1", "kimi-k1"),
        ("kimi-k1-research", "kimi-research-k1"),
        (AGENT, f"kimi-{AGENT}"),
    ],
)
def test_the_kind_of_a_choice_is_its_model_or_agent(name: str, kind: str) -> None:
    """A refusal of Kimi's concerns no more than that."""
    assert TABLE.choose(name).kind == kind


@pytest.mark.parametrize("words", ["search", "silent", "thinking", "math", "search-silent-thinking"])
@pytest.mark.parametrize("base", BASES)
def test_how_a_model_is_asked_is_not_its_kind(base: str, words: str) -> None:
    """One conversation can serve a turn with search and one without."""
    assert TABLE.choose(f"{base}-{words}").kind == base


def test_choices_of_different_models_are_of_different_kinds() -> None:
    """Also an agent's, whose id says nothing of a model."""
    names = [*BASES, *(f"{base}-{word}" for base in BASES for word in ("research", "k1")), AGENT]
    assert len({TABLE.choose(name).kind for name in names}) == len(names)


# --- Entries ------------------------------------------------------------------------------------------------


def entry(key: str, model: str | None = None, **more: str | bool) -> ModelEntry:
    """An entry of the site's list."""
    return ModelEntry(scenario=f"S-{key}", key=key, model=model, **more)  # type: ignore[arg-type] # each as it should be


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("kimi", "SCENARIO_K2D5"),
        ("kimi-k2", "SCENARIO_K2"),
        ("kimi-k2.5", "SCENARIO_K2D5"),
        ("kimi-k2.6", "SCENARIO_K2D5"),
        ("kimi-k3", "SCENARIO_K3"),
        ("kimi-research", "SCENARIO_OK_COMPUTER"),
        (AGENT, "SCENARIO_K2D5"),
        ("gpt-4o", "SCENARIO_K2D5"),
    ],
)
def test_static_table(name: str, scenario: str) -> None:
    """Without a list each name has its scenario."""
    assert scenario == TABLE.entry(TABLE.choose(name), ()).scenario


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("kimi", "k2d6"),
        ("kimi-k2.5", "k2d5"),
        ("kimi-k2.6", "k2d6"),
        ("kimi-k3", "k3"),
        ("kimi-k2", "k2d6"),
        ("gpt-4o", "k2d6"),
    ],
)
def test_offered_by_key(name: str, key: str) -> None:
    """An offered model is found by the beginning of its key."""
    offered = (entry("k2d6"), entry("k2d5"), entry("k3"))
    assert key == TABLE.entry(TABLE.choose(name), offered).key


def test_offered_by_id() -> None:
    """An offered model is found by the beginning of its id too, in any case."""
    assert TABLE.entry(TABLE.choose("kimi-k3"), (entry("x", "K3-agent"),)).key == "x"


def test_chat_before_agent() -> None:
    """Of two that fit, the one that is no agent is taken."""
    offered = (entry("k3-agent", kimiplus_id="ok-computer"), entry("k3-chat"))
    assert TABLE.entry(TABLE.choose("kimi-k3"), offered).key == "k3-chat"


def test_default_is_no_agent() -> None:
    """Where only agents are offered, the default stays a plain chat."""
    offered = (entry("k3", kimiplus_id="ok-computer"),)
    assert TABLE.entry(TABLE.choose("kimi"), offered).scenario == "SCENARIO_K2D5"
    assert TABLE.entry(TABLE.choose("kimi-k3"), offered).key == "k3"


# --- The list of names ------------------------------------------------------------------------------------


def test_listed_names() -> None:
    """Without a list every base is named, each with words that are known."""
    names = TABLE.names(())
    assert set(BASES) <= set(names)
    assert len(names) == len(set(names))
    assert all(TABLE.choose(name) != DEFAULT for name in names if name != "kimi")


def test_listed_names_of_an_account() -> None:
    """What an account is not offered is not named."""
    names = TABLE.names((entry("k2d6", "k2d6-chat"),))
    assert "kimi" in names
    assert "kimi-k2.6-thinking" in names
    assert not any(name.startswith(("kimi-k3", "kimi-k2.5")) for name in names)


# --- The file ---------------------------------------------------------------------------------------------


def test_word_for_something_unknown(tmp_path: Path) -> None:
    """A word that asks for something unknown is refused when the table is read."""
    table = tmp_path / "models.toml"
    table.write_text("[word.fly]\nwings = true\n", encoding="utf-8")
    with pytest.raises(KeyError, match=r"word\.fly"):
        load_models(table)


@pytest.mark.parametrize("word", ["base", "agent"])
def test_word_is_a_flag(tmp_path: Path, word: str) -> None:
    """A word cannot choose a base or an agent."""
    table = tmp_path / "models.toml"
    table.write_text(f"[word.x]\n{word} = true\n", encoding="utf-8")
    with pytest.raises(KeyError):
        load_models(table)


def test_entries_are_typed() -> None:
    """What the table's static entries hold has the type that it should have."""
    for static in [base.static for base in TABLE.bases.values()] + [TABLE.research]:
        assert isinstance(static.scenario, str)
        assert isinstance(static.efforts, tuple)
        assert static.default_effort is None or static.default_effort in static.efforts
    assert len(TABLE.k1_agent) == 20
