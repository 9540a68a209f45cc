"""Name servers for tests: what a guard asks them, and what they answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scripts.serving import ROOT

PUBLIC = "93.184.216.34"


class Names:
    """A resolver: each look-up of a name gets the next of its answers, from then on the last; `asked` are all of them.

    A name that is not listed gets `otherwise`; no addresses at all mean that there is no such name.
    """

    def __init__(
        self, answers: Mapping[str, Sequence[Sequence[str]]] | None = None, *, otherwise: Sequence[str] = ()
    ) -> None:
        self.asked: list[tuple[str, int]] = []
        self._answers = {name: list(given) for name, given in (answers or {}).items()}
        self._otherwise = otherwise

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        left = self._answers.get(host, [self._otherwise])
        answer = left.pop(0) if len(left) > 1 else left[0]
        if not answer:
            raise OSError("Name or service not known")
        return answer


@dataclass(frozen=True)
class Row:
    """A line of the corpus: a URL, what its name resolves to at each look-up, and whether it may be followed."""

    url: str
    category: str
    why: str
    allow: bool
    answers: Sequence[Sequence[str]]

    @property
    def names(self) -> Names:
        """Answers as the row has them for its own name and any other."""
        return Given(self.answers)


class Given(Names):
    """A resolver that gives these answers one after the other, whatever it is asked for."""

    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        super().__init__()
        self._given = list(answers)

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self._answers = {host: self._given}
        return super().__call__(host, port)


def corpus() -> list[Row]:
    """All rows of tests/corpora/ssrf_urls.jsonl.

    A name of which a row tells no address resolves to a public one: it must be refused for what it is. Only "no such
    name" has none.
    """
    rows = []
    for line in (ROOT / "tests/corpora/ssrf_urls.jsonl").read_text(encoding="utf-8").splitlines():
        given = json.loads(line)
        answers = [part.split() for part in " ".join(given.get("dns", [PUBLIC])).split("then")]
        if given["why"] == "no such name":
            answers = [[]]
        rows.append(Row(given["url"], given["category"], given["why"], given["expect"] == "allow", answers))
    return rows
