"""What clients may send for a schema: any JSON, and JSON that looks much like one."""

from __future__ import annotations

from hypothesis import strategies as st

from app.toolcalls.vocabulary import TAKES, TYPES

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
NAMES = st.sampled_from(["a", "b", "c", "title", "$ref", "properties", "a/b", "~", ""]) | st.text(max_size=4)
VALUES: st.SearchStrategy[object] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value."""

REFERENCES = st.sampled_from(
    [
        *("#", "#/", "#/$defs/a", "#/definitions/b", "#/properties/a", "#/$defs/a/items", "#/allOf/0", "#/x/y"),
        *("#/properties/a~1b", "#/%24defs/a", "#a", "", "https://elsewhere.invalid/a.json", "a.json#/$defs/a"),
    ]
)
KEYWORDS = st.sampled_from([*TAKES, "nullable", "additionalItems", "any", "x"])
KINDS = st.sampled_from([*sorted(TYPES), "OBJECT", "STRING", "any", "TYPE_UNSPECIFIED", ""])
PATTERNS = st.sampled_from(["^a", "(a+)+$", "(", "\\p{L}", "(?R)", "a{999999}", "[a-", "^(a|aa)+$"])


def _schema(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    fitting = {
        "type": KINDS | st.lists(KINDS, max_size=3),
        "$ref": REFERENCES,
        "pattern": PATTERNS,
        "enum": st.lists(VALUES, max_size=3),
        "required": st.lists(NAMES, max_size=3),
        "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        "multipleOf": st.sampled_from([0, 1, 0.01, -1, 1e-300]),
        **dict.fromkeys(("properties", "$defs", "definitions"), st.dictionaries(NAMES, inner, max_size=3)),
        **dict.fromkeys(("dependentSchemas", "dependencies"), st.dictionaries(NAMES, inner, max_size=3)),
        **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), st.lists(inner, max_size=3)),
        **dict.fromkeys(("additionalProperties", "items", "contains", "not", "if", "then", "else"), inner),
        **dict.fromkeys(("propertyNames", "unevaluatedProperties", "unevaluatedItems"), inner),
        **dict.fromkeys(("minLength", "maxItems", "minContains", "minProperties"), st.integers(-1, 3)),
    }
    return st.fixed_dictionaries({}, optional=fitting) | st.dictionaries(KEYWORDS, VALUES | inner, max_size=4)


SCHEMAS: st.SearchStrategy[object] = VALUES | st.recursive(st.booleans() | st.just({}), _schema, max_leaves=10)
"""Anything that claims to be a schema."""

POINT = {
    "$defs": {
        "Place": {
            "additionalProperties": False,
            "properties": {
                "title": {"description": "What it is called.", "title": "Title", "type": "string"},
                "mode": {"default": "walk", "enum": ["walk", "ride"], "title": "Mode", "type": "string"},
            },
            "required": ["title"],
            "title": "Place",
            "type": "object",
        },
        "Node": {
            "properties": {
                "value": {"title": "Value", "type": "number"},
                "children": {"items": {"$ref": "#/$defs/Node"}, "title": "Children", "type": "array"},
            },
            "required": ["value"],
            "title": "Node",
            "type": "object",
        },
    },
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "additionalProperties": False,
    "properties": {
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None, "title": "Limit"},
        "place": {"$ref": "#/$defs/Place", "description": "Where to."},
        "tree": {"$ref": "#/$defs/Node"},
        "tags": {"items": {"type": "string"}, "maxItems": 2, "title": "Tags", "type": "array"},
    },
    "required": ["place"],
    "title": "Arguments",
    "type": "object",
}
"""A schema as pydantic writes it."""
