"""Citations in Google's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from app.chat.events import Annotation, Source
from app.dialects.gemini.grounding import grounding_metadata

ONE, TWO = Source("https://a.example/", "One"), Source("https://b.example/", "Two")
CHUNKS = [
    {"web": {"uri": "https://a.example/", "title": "One"}},
    {"web": {"uri": "https://b.example/", "title": "Two"}},
]
TEXT = "水 is wet 🌊 and the sky is blue."


def told(text: str, *annotations: Annotation) -> list[tuple[str, list[int]]]:
    """The text of each segment, which its bytes have to be, and the numbers of its pages."""
    supports: Any = grounding_metadata(text, annotations)["groundingSupports"]
    for support in supports:
        start, end = support["segment"]["startIndex"], support["segment"]["endIndex"]
        assert text.encode()[start:end].decode() == support["segment"]["text"]
    return [(support["segment"]["text"], support["groundingChunkIndices"]) for support in supports]


def at(place: int, source: Source = ONE, width: int = 0) -> Annotation:
    """A citation."""
    return Annotation(source, place, place + width)


def test_a_citation_is_a_page_and_a_segment_in_bytes() -> None:
    """Of the text between the citation before it and itself."""
    wet = {"startIndex": 0, "endIndex": 15, "text": "水 is wet 🌊"}
    blue = {"startIndex": 16, "endIndex": 35, "text": "and the sky is blue"}
    assert grounding_metadata(TEXT, [at(10), at(30, TWO)]) == {
        "groundingChunks": CHUNKS,
        "groundingSupports": [
            {"segment": wet, "groundingChunkIndices": [0]},
            {"segment": blue, "groundingChunkIndices": [1]},
        ],
    }


def test_the_part_is_named_where_it_is_not_the_first() -> None:
    """Google's own JSON has no zeros."""
    supports: Any = grounding_metadata(TEXT, [at(10)], part=1)["groundingSupports"]
    assert supports[0]["segment"]["partIndex"] == 1


@pytest.mark.parametrize(
    ("text", "annotations", "segments"),
    [
        ("a b", [at(3), at(3, TWO)], [("a b", [0, 1])]),
        ("a b", [at(3), at(3)], [("a b", [0])]),
        ("a[1][2] b[1]", [at(1, ONE, 3), at(4, TWO, 3), at(9, ONE, 3)], [("a", [0, 1]), ("b", [0])]),
        ("One.\n\nTwo. Three.", [at(16)], [("Two. Three", [0])]),
        ("One.\n\n", [at(6)], [("One.", [0])]),
        ("One. ", [at(4), at(5, TWO)], [("One.", [0, 1])]),
        ("One", [at(0)], [("", [0])]),
        ("", [at(0), at(0, TWO)], [("", [0, 1])]),
        ("a b", [at(99)], [("a b", [0])]),
        ("a b", [at(3), at(1, TWO)], [("a b", [0, 1])]),
    ],
    ids=["two pages", "twice", "written", "line", "space behind", "space between", "start", "no text", "far", "back"],
)
def test_a_segment_is_what_was_said_before_the_citation(
    text: str, annotations: list[Annotation], segments: list[tuple[str, list[int]]]
) -> None:
    """On its line, since the last one; citations side by side share it."""
    assert told(text, *annotations) == segments


@given(
    st.text(),
    st.lists(st.builds(Annotation, st.sampled_from([ONE, TWO]), st.integers(0, 40), st.integers(0, 40)), min_size=1),
)
def test_every_segment_is_true(text: str, annotations: list[Annotation]) -> None:
    """Its bytes are its text, it points to pages that are there, and Google's own types take it."""
    told(text, *annotations)
    metadata: Any = grounding_metadata(text, annotations)
    types.GroundingMetadata.model_validate_json(json.dumps(metadata), strict=True)
    cited = {index for support in metadata["groundingSupports"] for index in support["groundingChunkIndices"]}
    assert cited == set(range(len(metadata["groundingChunks"])))
