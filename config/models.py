"""Public model names and what they stand for; models.toml is the table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

_TABLE = Path(__file__).with_name("models.toml")
_AGENT = re.compile(r"[0-9a-z]{20}")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model as Kimi's site offers it: a row of GetAvailableModels or of the static table (protocol.md B5, B11).

    `thinking` is the switch's state where the site lists it as two models, else None.
    """

    scenario: str
    key: str = ""
    title: str = ""
    model: str | None = None
    kimiplus_id: str | None = None
    agent_mode: str | None = None
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    thinking: bool | None = None


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What a public name asks for. `base` is a row of the table, `agent` a Kimi+ id or None."""

    base: str
    agent: str | None = None
    search: bool = False
    list_sources: bool = False
    research: bool = False
    k1: bool = False
    math: bool = False
    silent: bool = False
    thinking: bool = False

    @property
    def kind(self) -> str:
        """What a refusal of Kimi's concerns, and what one conversation can serve: the model or agent asked for."""
        return "-".join(part for part in (self.base, self.agent, "research" * self.research, "k1" * self.k1) if part)


@dataclass(frozen=True, slots=True)
class _Base:
    keys: tuple[str, ...]
    static: ModelEntry


@dataclass(frozen=True, slots=True)
class ModelTable:
    """The public names. `default` is the base of every name that is not in the table."""

    words: Mapping[str, Mapping[str, bool]]
    bases: Mapping[str, _Base]
    research: ModelEntry
    k1_agent: str
    default: str = "kimi"

    def choose(self, name: str) -> ModelChoice:
        """What `name` asks for; a name that is not known here asks for the default model."""
        if _AGENT.fullmatch(name):
            return ModelChoice(base=self.default, agent=name)
        for base in sorted(self.bases, key=len, reverse=True):
            rest = name.removeprefix(base)
            words = rest.removeprefix("-").split("-") if rest else []
            if name.startswith(base) and rest[:1] in {"", "-"} and set(words) <= set(self.words):
                return self._with_words(base, words)
        return ModelChoice(base=self.default)

    def _with_words(self, base: str, words: list[str]) -> ModelChoice:
        choice = ModelChoice(base=base)
        for word in words:
            choice = replace(choice, **self.words[word])  # type: ignore[arg-type] # the words name flags only
        return choice

    def entry(self, choice: ModelChoice, offered: tuple[ModelEntry, ...]) -> ModelEntry:
        """The site's model for a choice: one of those offered to the account, else the static table's.

        Among several that fit, one whose thinking switch is as wanted comes first, then one that is no agent, then
        the site's own order, which begins with its default.
        """
        if choice.research:
            agents = [entry for entry in offered if entry.kimiplus_id == self.research.kimiplus_id]
            return agents[0] if agents else self.research
        base = self.bases[choice.base]
        fitting = [entry for entry in offered if _fits(entry, base.keys)]
        fitting.sort(
            key=lambda entry: (
                entry.thinking is not None and entry.thinking != choice.thinking,
                entry.kimiplus_id is not None,
            )
        )
        if choice.base == self.default and fitting and fitting[0].kimiplus_id is not None:
            return base.static  # only agents are offered: a plain chat is not one of them
        return fitting[0] if fitting else base.static

    def names(self, offered: tuple[ModelEntry, ...]) -> list[str]:
        """The names to list: every base that the account is offered (all, if `offered` is empty), with its words."""
        listed: list[str] = []
        for name, base in self.bases.items():
            if not offered or any(_fits(entry, base.keys) for entry in offered):
                listed += [name, f"{name}-thinking", f"{name}-search"]
        extras = ("research", "k1", "math", "search-silent", "thinking-search")
        return listed + [f"{self.default}-{extra}" for extra in extras]


def _fits(entry: ModelEntry, keys: tuple[str, ...]) -> bool:
    names = (entry.key.lower(), (entry.model or "").lower())
    return not keys or any(name.startswith(key) for name in names for key in keys)


def load_models(path: Path = _TABLE) -> ModelTable:
    """Read the table. Raises OSError, tomllib.TOMLDecodeError, KeyError or TypeError for a broken one."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    flags = {choice.name for choice in fields(ModelChoice)} - {"base", "agent"}
    for word, meaning in raw["word"].items():
        if not set(meaning) <= flags:
            raise KeyError(f"models.toml: word.{word} asks for something unknown")
    bases = {name: _Base(keys=tuple(row["keys"]), static=_entry(row["static"])) for name, row in raw["base"].items()}
    return ModelTable(
        words=raw["word"],
        bases=bases,
        research=_entry(raw["agent"]["research"]),
        k1_agent=raw["agent"]["k1"]["kimiplus_id"],
    )


def _entry(row: Mapping[str, object]) -> ModelEntry:
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
    return ModelEntry(**values)  # type: ignore[arg-type] # a wrong type shows when the tests load the table
