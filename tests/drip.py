"""Dripping: the same bytes or text in all the ways in which a network may cut them must give the same result."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import AnyStr, TypeVar

Result = TypeVar("Result")

SMALL = 200
"""Length up to which every cut in two is tried."""


def random_chunks(data: AnyStr, chance: random.Random) -> list[AnyStr]:
    """Cut `data` at a few places; some of the chunks may be empty."""
    places: list[int] = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(1, 24)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def rechunkings(data: AnyStr, *, count: int = 50, seed: int = 1, small: int = SMALL) -> Iterator[list[AnyStr]]:
    """Give `data` whole, one by one, cut in two everywhere if it is small, and cut at random `count` times."""
    yield [data]
    yield [data[place : place + 1] for place in range(len(data))]
    if len(data) <= small:
        yield from ([data[:place], data[place:]] for place in range(len(data) + 1))
    chance = random.Random(seed)  # noqa: S311 # it cuts test data, and the same way each time
    yield from (random_chunks(data, chance) for _ in range(count))


def drip(
    read: Callable[[Sequence[AnyStr]], Result],
    data: AnyStr,
    *,
    trailing: AnyStr | None = None,
    count: int = 50,
    seed: int = 1,
    small: int = SMALL,
) -> Result:
    """Give what `read` makes of `data`, having asserted that no cut and nothing `trailing` changes it.

    `read` is a factory and a run in one: it makes a fresh decoder, feeds it the chunks, and gives what came out.
    """
    expected = read([data])
    for chunks in rechunkings(data, count=count, seed=seed, small=small):
        assert read(chunks) == expected, chunks[:10]
    if trailing:
        for chunks in rechunkings(data + trailing, count=count, seed=seed, small=small):
            assert read(chunks) == expected, chunks[-10:]
    return expected
