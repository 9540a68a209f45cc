"""The answer that is given when nothing was planned: what somebody who tries the demo will read."""

from dataclasses import replace

from emulator.answers import Answer
from emulator.values import Json

_QUOTED = 60
_DELAY = 0.02
_TEXT = (
    "Hello! I am the emulator of Kimi, not Kimi itself: a small program on this machine that "
    "speaks the same protocol. You wrote: \u201c{quoted}\u201d. I cannot think about that, but "
    "the way my words reach you is the real one, piece by piece through the gateway."
)
_CITED = " Two example pages stand behind this sentence{{cite:0}}{{cite:1}}."
_THINKING = "The user wants an answer. I am only an emulator, so I will say that kindly and quote."
_SEARCH: tuple[Json, ...] = (
    {
        "title": "An example page",
        "url": "https://example.com/one",
        "siteName": "example.com",
        "snippet": "The first of two pages that do not exist.",
    },
    {
        "title": "Another example page",
        "url": "https://example.com/two",
        "siteName": "example.com",
        "snippet": "The second of two pages that do not exist.",
    },
)


def default_answer(user_text: str, *, thinking: bool, search: bool) -> Answer:
    """Compose the default answer to the user's last words (at most 60 characters are quoted)."""
    text = _TEXT.format(quoted=user_text.strip()[:_QUOTED])
    return Answer(
        text=text + _CITED if search else text,
        thinking=_THINKING if thinking else "",
        search=_SEARCH if search else (),
        piece=0,
        delay=_DELAY,
    )


def with_text(answer: Answer, default: Answer) -> Answer:
    """Complete a planned answer that has faults but no text of its own."""
    if answer.text is not None:
        return answer
    plain = default.text if answer.search else (default.text or "").removesuffix(_CITED)
    return replace(answer, text=plain)
