"""Does the cases of a program one after the other, each as a user of its own, and prints what each gave.

Standard input is JSON: `base`, the gateway's URL; `tokens`, case → token; `image`, a PNG in base64. Standard output is
JSON: case → what it gave, or `raised`. A case is "DIALECT FUNCTION", or "DIALECT FUNCTION-FAULT" if its answer fails.
"""

import asyncio
import base64
import inspect
import json
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TASK = "How is the weather where Ann lives?"
"""What is asked where tools are at hand."""


@dataclass(frozen=True)
class Order:
    """One case: the gateway and the key to use, the dialect to speak, and an image to show."""

    base: str
    key: str
    dialect: str
    image: str

    @property
    def image_bytes(self) -> bytes:
        """The image itself."""
        return base64.b64decode(self.image)

    @property
    def image_url(self) -> str:
        """The image as a data URL."""
        return f"data:image/png;base64,{self.image}"


Case = Callable[[Order], Any]


def perform(*cases: Case, apart: Mapping[str, Sequence[Case]] | None = None) -> None:
    """Do the cases that are ordered, each by the function of its name.

    `apart` has the functions of dialects that are not spoken like the others. Coroutines are awaited, each in an event
    loop of its own.
    """
    ordered = json.load(sys.stdin)
    told = {}
    for name, key in ordered["tokens"].items():
        dialect, _, case = name.partition(" ")
        named = {function.__name__: function for function in (apart or {}).get(dialect, cases)}
        order = Order(ordered["base"], key, dialect, ordered["image"])
        told[name] = _told(named[case.partition("-")[0]], order)
    print(json.dumps(told))


def _told(case: Callable[[Order], Any], order: Order) -> Any:  # noqa: ANN401 # whatever a case gives
    try:
        given = case(order)
        return asyncio.run(given) if inspect.iscoroutine(given) else given
    except Exception as error:  # noqa: BLE001 # the test looks at it
        return {"raised": {"class": type(error).__name__, "text": str(error), "trace": traceback.format_exc()}}


def find_city(person: str) -> str:
    """Find the city that a person lives in."""
    return f"Home of {person}"


def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"Rain in {city} for {days} days"
