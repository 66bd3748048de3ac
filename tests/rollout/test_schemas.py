"""What is told of two schemas, keyword by keyword: `path: message | as an input, as an output`.

Each row is read forth and back: what breaks one way widens the other.
"""

from __future__ import annotations

from typing import Any

import pytest

from steadfaas.rollout.schemas import Effect, Finding, inputs, outputs
from tests.rollout.telling import told

STR, INT, NUM = {"type": "string"}, {"type": "integer"}, {"type": "number"}
NULL = {"type": "null"}
LOST, WON = "breaking, narrowed", "widened, breaking"
BOTH, UNKNOWN = "breaking, breaking", "unknown, unknown"


def obj(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def closed(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {**obj(required, **properties), "additionalProperties": False}


def arr(items: Any, **rules: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **rules}


def _patterned(rest: Any) -> dict[str, Any]:
    """A map whose names begin with `a`, and a rule that is written beside that."""
    names = {"patternProperties": {"^a": STR}, "additionalProperties": False}
    return {"type": "object", "allOf": [names, {"additionalProperties": rest}]}


# before, after, what is told on the way there, what on the way back
TABLE: dict[str, tuple[Any, Any, list[str], list[str]]] = {
    "no schema": (
        None,
        STR,
        [f"$: must be a string now, was anything | {LOST}"],
        [f"$: may be anything now | {WON}"],
    ),
    "true and false": (
        True,
        False,
        [f"$: is no longer allowed | {LOST}"],
        [f"$: is allowed now | {WON}"],
    ),
    "type": (
        STR,
        INT,
        [f"$: must be an integer now, was a string | {BOTH}"],
        [f"$: must be a string now, was an integer | {BOTH}"],
    ),
    "types in a list": (
        STR,
        {"type": ["string", "boolean", "null"]},
        [f"$: may be null or a boolean now | {WON}"],
        [f"$: may no longer be null or a boolean | {LOST}"],
    ),
    "option": (
        STR,
        {"anyOf": [STR, NULL]},
        [f"$: may be null now | {WON}"],
        [f"$: may no longer be null | {LOST}"],
    ),
    "nullable": (
        STR,
        {**STR, "nullable": True},
        [f"$: may be null now | {WON}"],
        [f"$: may no longer be null | {LOST}"],
    ),
    "integer and number": (
        INT,
        NUM,
        [f"$: may have fractions now | {WON}"],
        [f"$: must be an integer now | {LOST}"],
    ),
    "integer beside number": (
        {"anyOf": [INT, NUM]},
        INT,
        [f"$: no longer allows a number | {LOST}"],
        [f"$: allows a number now | {WON}"],
    ),
    "enum": (
        {"enum": ["red", "blue"]},
        {"enum": ["blue", "green", "grey"]},
        [f"$: no longer allows 'red' | {LOST}", f"$: allows 'green', 'grey' now | {WON}"],
        [f"$: no longer allows 'green', 'grey' | {LOST}", f"$: allows 'red' now | {WON}"],
    ),
    "enum and true": (
        {"enum": [1, 0]},
        {"enum": [1, True]},
        [
            f"$: may be true now | {WON}",
            f"$: no longer allows 0 | {LOST}",
        ],
        [
            f"$: may no longer be true | {LOST}",
            f"$: allows 0 now | {WON}",
        ],
    ),
    "const": (
        {"const": "v1"},
        {"const": "v2"},
        [f"$: no longer allows 'v1' | {LOST}", f"$: allows 'v2' now | {WON}"],
        [f"$: no longer allows 'v2' | {LOST}", f"$: allows 'v1' now | {WON}"],
    ),
    "enum opened": (
        {**STR, "enum": ["a", "b"]},
        STR,
        [f"$: is not limited to 'a', 'b' any more | {WON}"],
        [f"$: allows only 'a', 'b' now | {LOST}"],
    ),
    "a value of another type": (
        NUM,
        {"anyOf": [NUM, {"const": "auto"}]},
        [f"$: may be 'auto' now | {WON}"],
        [f"$: may no longer be 'auto' | {LOST}"],
    ),
    "bounds": (
        {**NUM, "minimum": 1, "maximum": 10},
        {**NUM, "minimum": 2, "maximum": 12},
        [f"$: minimum raised from 1 to 2 | {LOST}", f"$: maximum raised from 10 to 12 | {WON}"],
        [f"$: minimum lowered from 2 to 1 | {WON}", f"$: maximum lowered from 12 to 10 | {LOST}"],
    ),
    "exclusive bounds": (
        {**NUM, "minimum": 0},
        {**NUM, "exclusiveMinimum": 0},
        [f"$: minimum raised from 0 to 0 (exclusive) | {LOST}"],
        [f"$: minimum lowered from 0 (exclusive) to 0 | {WON}"],
    ),
    "exclusive bounds of draft 4": (
        {**NUM, "maximum": 5},
        {**NUM, "maximum": 5, "exclusiveMaximum": True},
        [f"$: maximum lowered from 5 to 5 (exclusive) | {LOST}"],
        [f"$: maximum raised from 5 (exclusive) to 5 | {WON}"],
    ),
    "a bound where none was": (
        NUM,
        {**NUM, "maximum": 5},
        [f"$: has a maximum of 5 now | {LOST}"],
        [f"$: maximum of 5 is gone | {WON}"],
    ),
    "multiples": (
        {**INT, "multipleOf": 2},
        {**INT, "multipleOf": 6},
        [f"$: must be a multiple of 6 now, was a multiple of 2 | {LOST}"],
        [f"$: must be a multiple of 2 now, was a multiple of 6 | {WON}"],
    ),
    "multiples that do not divide": (
        {**NUM, "multipleOf": 0.2},
        {**NUM, "multipleOf": 0.3},
        [f"$: must be a multiple of 0.3 now, was a multiple of 0.2 | {BOTH}"],
        [f"$: must be a multiple of 0.2 now, was a multiple of 0.3 | {BOTH}"],
    ),
    "length": (
        {**STR, "maxLength": 5},
        {**STR, "minLength": 1, "maxLength": 8},
        [
            f"$: has a minimum length of 1 now | {LOST}",
            f"$: maximum length raised from 5 to 8 | {WON}",
        ],
        [
            f"$: minimum length of 1 is gone | {WON}",
            f"$: maximum length lowered from 8 to 5 | {LOST}",
        ],
    ),
    "pattern": (
        STR,
        {**STR, "pattern": "^a"},
        [f"$: must have the pattern '^a' now | {LOST}"],
        [f"$: pattern '^a' is gone | {WON}"],
    ),
    "pattern for pattern": (
        {**STR, "pattern": "^a"},
        {**STR, "pattern": "^b"},
        [f"$: pattern changed from '^a' to '^b' | {UNKNOWN}"],
        [f"$: pattern changed from '^b' to '^a' | {UNKNOWN}"],
    ),
    "format": (
        STR,
        {**STR, "format": "date-time"},
        [f"$: must have the format 'date-time' now | {LOST}"],
        [f"$: format 'date-time' is gone | {WON}"],
    ),
    "format within a format": (
        {**STR, "format": "email"},
        {**STR, "format": "idn-email"},
        [f"$: format changed from 'email' to 'idn-email' | {WON}"],
        [f"$: format changed from 'idn-email' to 'email' | {LOST}"],
    ),
    "format of somebody's own": (
        STR,
        {**STR, "format": "iban"},
        ["$: must have the format 'iban' now | unknown, narrowed"],
        ["$: format 'iban' is gone | widened, unknown"],
    ),
    "format for format": (
        {**STR, "format": "date"},
        {**STR, "format": "uuid"},
        [f"$: format changed from 'date' to 'uuid' | {BOTH}"],
        [f"$: format changed from 'uuid' to 'date' | {BOTH}"],
    ),
    "format of a number": (
        {**INT, "format": "int32"},
        {**INT, "format": "int64"},
        [f"$: format changed from 'int32' to 'int64' | {UNKNOWN}"],
        [f"$: format changed from 'int64' to 'int32' | {UNKNOWN}"],
    ),
    "items": (
        arr(obj(zip=STR)),
        arr(obj(zip={"anyOf": [STR, INT]})),
        [f"$[*].zip: may be an integer now | {WON}"],
        [f"$[*].zip: may no longer be an integer | {LOST}"],
    ),
    "number of items": (
        arr(STR, minItems=1),
        arr(STR, minItems=2, maxItems=3),
        [
            f"$: minimum number of items raised from 1 to 2 | {LOST}",
            f"$: has a maximum number of items of 3 now | {LOST}",
        ],
        [
            f"$: minimum number of items lowered from 2 to 1 | {WON}",
            f"$: maximum number of items of 3 is gone | {WON}",
        ],
    ),
    "unique items": (
        arr(STR),
        arr(STR, uniqueItems=True),
        [f"$: items must be unique now | {LOST}"],
        [f"$: items may repeat now | {WON}"],
    ),
    "first items": (
        {"type": "array", "prefixItems": [STR, INT], "items": False},
        {"type": "array", "prefixItems": [STR, STR], "items": True},
        [
            f"$: maximum number of items of 2 is gone | {WON}",
            f"$[1]: must be a string now, was an integer | {BOTH}",
        ],
        [
            f"$: has a maximum number of items of 2 now | {LOST}",
            f"$[1]: must be an integer now, was a string | {BOTH}",
        ],
    ),
    "items after the first": (
        {"type": "array", "prefixItems": [STR], "items": STR},
        {"type": "array", "prefixItems": [STR], "items": INT},
        [f"$[1:]: must be an integer now, was a string | {BOTH}"],
        [f"$[1:]: must be a string now, was an integer | {BOTH}"],
    ),
    "required": (
        obj(name=STR),
        obj(("name",), name=STR),
        [f"$.name: is required now | {LOST}"],
        [f"$.name: may be missing now | {WON}"],
    ),
    "a new property of an open object": (
        obj(name=STR),
        obj(name=STR, nick=STR),
        [
            "$.nick: is new and optional (other values of that name were let through before, taken"
            " to be unused) | narrowed, narrowed"
        ],
        [
            "$.nick: is not declared any more (any value of that name is let through now)"
            " | widened, widened"
        ],
    ),
    "a new property that is required": (
        obj(name=STR),
        obj(("nick",), name=STR, nick=STR),
        [f"$.nick: is new and required | {LOST}"],
        [
            "$.nick: is not declared any more (any value of that name is let through now), and it"
            f" may be missing | {WON}"
        ],
    ),
    "a new property of a closed object": (
        closed(name=STR),
        closed(name=STR, nick=STR),
        [f"$.nick: is allowed now | {WON}"],
        [f"$.nick: is no longer allowed | {LOST}"],
    ),
    "a new property where others are welcome": (
        {**obj(), "additionalProperties": True},
        {**obj(nick=STR), "additionalProperties": True},
        [f"$.nick: must be a string now, was anything | {LOST}"],
        [f"$.nick: may be anything now | {WON}"],
    ),
    "a new property that others were like": (
        {**obj(), "additionalProperties": INT},
        {**obj(nick=NUM), "additionalProperties": INT},
        [f"$.nick: may have fractions now | {WON}"],
        [f"$.nick: must be an integer now | {LOST}"],
    ),
    "closing": (
        obj(name=STR),
        closed(name=STR),
        [f"$: no longer allows properties that it does not name | {LOST}"],
        [f"$: allows properties that it does not name now | {WON}"],
    ),
    "values of a map": (
        {"type": "object", "additionalProperties": INT},
        {"type": "object", "additionalProperties": STR},
        [f"$.*: must be a string now, was an integer | {BOTH}"],
        [f"$.*: must be an integer now, was a string | {BOTH}"],
    ),
    "names of a map": (
        {"type": "object", "propertyNames": {"enum": ["a", "b"]}},
        {"type": "object", "propertyNames": {"enum": ["a", "b", "c"]}},
        [f"${{names}}: allows 'c' now | {WON}"],
        [f"${{names}}: no longer allows 'c' | {LOST}"],
    ),
    "patterns of names": (
        {"type": "object", "patternProperties": {"^x-": STR}},
        {"type": "object", "patternProperties": {"^x-": {**STR, "maxLength": 3}}},
        [f"$[/^x-/]: has a maximum length of 3 now | {LOST}"],
        [f"$[/^x-/]: maximum length of 3 is gone | {WON}"],
    ),
    "a pattern of names changed": (
        {"type": "object", "patternProperties": {"^x-": STR}},
        {"type": "object", "patternProperties": {"^y-": STR}},
        [f"$: cannot be compared: the patterns of names changed from '^x-' to '^y-' | {UNKNOWN}"],
        [f"$: cannot be compared: the patterns of names changed from '^y-' to '^x-' | {UNKNOWN}"],
    ),
    "a pattern for a name": (
        {"type": "object", "patternProperties": {"^x-": STR}},
        {"type": "object", "patternProperties": {"^x-": STR}, "properties": {"x-a": INT}},
        [f'$["x-a"]: is no longer allowed | {LOST}'],
        [f'$["x-a"]: is allowed now | {WON}'],
    ),
    "number of properties": (
        {"type": "object", "minProperties": 1},
        {"type": "object", "maxProperties": 5},
        [
            f"$: minimum number of properties of 1 is gone | {WON}",
            f"$: has a maximum number of properties of 5 now | {LOST}",
        ],
        [
            f"$: has a minimum number of properties of 1 now | {LOST}",
            f"$: maximum number of properties of 5 is gone | {WON}",
        ],
    ),
    "one of several objects": (
        {"anyOf": [{**obj(("a",), a=STR), "title": "A"}, {**obj(("b",), b=STR), "title": "B"}]},
        {"anyOf": [{**obj(("a",), a=STR), "title": "A"}, {**obj(("b",), b=INT), "title": "B"}]},
        [f"$(B).b: must be an integer now, was a string | {BOTH}"],
        [f"$(B).b: must be a string now, was an integer | {BOTH}"],
    ),
    "one of several objects with a tag": (
        {"anyOf": [closed(k={"const": "a"}, v=STR), closed(k={"const": "b"}, v=STR)]},
        {"anyOf": [closed(k={"const": "b"}, v=INT), closed(k={"const": "a"}, v=STR)]},
        [f"$(k='b').v: must be an integer now, was a string | {BOTH}"],
        [f"$(k='b').v: must be a string now, was an integer | {BOTH}"],
    ),
    "one object more": (
        {"oneOf": [closed(("a",), a=STR)]},
        {"oneOf": [closed(("a",), a=STR), {**closed(("b",), b=STR), "title": "B"}]},
        [f"$: allows an object (B) now | {WON}"],
        [f"$: no longer allows an object (B) | {LOST}"],
    ),
    "oneOf with what it excludes": (
        {"oneOf": [{**STR, "maxLength": 3}, STR]},
        {"oneOf": [{**STR, "maxLength": 4}, STR]},
        [
            f"$(string): cannot be compared: 'oneOf' changed | {UNKNOWN}",
            f"$(string): maximum length raised from 3 to 4 | {WON}",
        ],
        [
            f"$(string): cannot be compared: 'oneOf' changed | {UNKNOWN}",
            f"$(string): maximum length lowered from 4 to 3 | {LOST}",
        ],
    ),
    "oneOf with tags that may be missing": (
        {"oneOf": [obj(k={"const": 1}), obj(k={"const": 2})]},
        {"anyOf": [obj(k={"const": 1}), obj(k={"const": 2})]},
        [f"$(k={tag}): the rule by 'oneOf' is gone | widened, unknown" for tag in (1, 2)],
        [f"$(k={tag}): has a rule by 'oneOf' now | unknown, narrowed" for tag in (1, 2)],
    ),
    "patterns of names that are combined": (
        _patterned({"maxLength": 3}),
        _patterned({"maxLength": 2}),
        [f"$: cannot be compared: patterns of names are combined | {UNKNOWN}"],
        [f"$: cannot be compared: patterns of names are combined | {UNKNOWN}"],
    ),
    "a property that had to be there must not": (
        obj(("a",), a=STR),
        obj(a=False),
        [f"$.a: is no longer allowed | {BOTH}"],
        [f"$.a: is required now | {BOTH}"],
    ),
    "allOf": (
        {"allOf": [obj(a=STR), obj(b=STR)]},
        {"allOf": [obj(a=STR), obj(("b",), b=STR)]},
        [f"$.b: is required now | {LOST}"],
        [f"$.b: may be missing now | {WON}"],
    ),
    "not": (
        STR,
        {**STR, "not": {"const": "root"}},
        ["$: has a rule by 'not' now | unknown, narrowed"],
        ["$: the rule by 'not' is gone | widened, unknown"],
    ),
    "if": (
        {**STR, "if": {"minLength": 3}, "then": {"pattern": "a"}},
        {**STR, "if": {"minLength": 3}, "then": {"pattern": "b"}},
        [f"$: cannot be compared: 'if' changed | {UNKNOWN}"],
        [f"$: cannot be compared: 'if' changed | {UNKNOWN}"],
    ),
    "what may be evaluated changed": (
        {**obj(a=STR), "unevaluatedProperties": False},
        {**obj(a=STR, b=STR), "unevaluatedProperties": False},
        [
            "$.b: is new and optional (other values of that name were let through before, taken"
            " to be unused) | narrowed, narrowed",
            f"$: cannot be compared: 'unevaluatedProperties' changed | {UNKNOWN}",
        ],
        [
            "$.b: is not declared any more (any value of that name is let through now)"
            " | widened, widened",
            f"$: cannot be compared: 'unevaluatedProperties' changed | {UNKNOWN}",
        ],
    ),
    "a keyword that nobody knows": (
        STR,
        {**STR, "isIban": True},
        ["$: has a rule by 'isIban' now | unknown, narrowed"],
        ["$: the rule by 'isIban' is gone | widened, unknown"],
    ),
    "a reference elsewhere": (
        STR,
        {"$ref": "https://example.com/name.json"},
        [
            "$: cannot be compared: it refers to 'https://example.com/name.json', which is not a"
            f" place in the schema | {UNKNOWN}"
        ],
        [
            "$: cannot be compared: it refers to 'https://example.com/name.json', which is not a"
            f" place in the schema | {UNKNOWN}"
        ],
    ),
    "a schema that is none": (
        STR,
        {"type": "text"},
        [f"$: cannot be compared: its 'type' has a value that it cannot have | {UNKNOWN}"],
        [f"$: cannot be compared: its 'type' has a value that it cannot have | {UNKNOWN}"],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_what_is_told(case: str) -> None:
    before, after, there, back = TABLE[case]
    assert told(before, after) == there
    assert told(after, before) == back


@pytest.mark.parametrize("case", TABLE)
def test_no_change_is_no_finding(case: str) -> None:
    for schema in TABLE[case][:2]:
        described = (
            {**schema, "title": "T", "examples": [1]} if isinstance(schema, dict) else schema
        )
        assert told(schema, described) == [] or "unevaluated" in str(schema) or case in _UNREADABLE


_UNREADABLE = ("a reference elsewhere", "a schema that is none")


# --- other words for the same ------------------------------------------------------------------

SAME: dict[str, tuple[Any, Any]] = {
    "nothing and true": (None, True),
    "true and an empty schema": (True, {}),
    "false and no values": (False, {"enum": []}),
    "an option, in three ways": ({"type": ["string", "null"]}, {"anyOf": [NULL, STR]}),
    "const and enum": ({"const": 1}, {"enum": [1.0]}),
    "enum and alternatives": (
        {"enum": ["a", "b"]},
        {"anyOf": [{"const": "b"}, {"const": "a"}, {"const": "b"}]},
    ),
    "values that the rest excludes": ({**STR, "enum": ["a", 1]}, {"const": "a"}),
    "integers, in two ways": (INT, {**NUM, "multipleOf": 1}),
    "bounds of integers": ({**INT, "exclusiveMinimum": 0}, {**INT, "minimum": 0.5}),
    "lengths of nothing": (STR, {**STR, "minLength": 0}),
    "both booleans": ({"type": "boolean"}, {"enum": [True, False]}),
    "a definition moved": (
        {"$defs": {"A": STR}, "$ref": "#/$defs/A"},
        {"definitions": {"a/b": STR}, "$ref": "#/definitions/a~1b"},
    ),
    "combined and written out": ({"allOf": [obj(a=STR), obj(("a",))]}, obj(("a",), a=STR)),
    "draft-07 and 2020-12": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **{"type": "array", "items": [STR, INT], "additionalItems": False},
        },
        {"type": "array", "prefixItems": [STR, INT], "maxItems": 2},
    ),
    "beside a reference in draft-07": (
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            **{"definitions": {"A": STR}, "$ref": "#/definitions/A", "maxLength": 3},
        },
        STR,
    ),
    "a property that may not be": (obj(a=False), {**obj(), "properties": {"a": {"enum": []}}}),
    "one and any": (
        {"oneOf": [obj(("k",), k={"const": 1}), obj(("k",), k={"const": 2})]},
        {"anyOf": [obj(("k",), k={"const": 1}), obj(("k",), k={"const": 2})]},
    ),
    "a rule that is not understood": (
        {**STR, "not": {"$ref": "#/$defs/A"}, "$defs": {"A": {"const": "x"}}},
        {**STR, "not": {"$ref": "#/$defs/B"}, "$defs": {"B": {"const": "x", "title": "B"}}},
    ),
    "annotations": (
        {**STR, "title": "A", "default": "a", "deprecated": True},
        {**STR, "description": "b", "examples": ["c"], "x-order": 1},
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_other_words_for_the_same_are_no_finding(case: str) -> None:
    before, after = SAME[case]
    assert told(before, after) == told(after, before) == []


# --- models that refer to themselves -----------------------------------------------------------


def tree(value: Any = STR) -> dict[str, Any]:
    node = obj(("value",), value=value, children=arr({"$ref": "#/$defs/Node"}))
    return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}


def test_what_differs_in_a_tree_is_told_once() -> None:
    after = tree(INT)
    assert told(tree(), after) == [f"$.value: must be an integer now, was a string | {BOTH}"]


def test_a_tree_written_out_once_more_is_the_same() -> None:
    once = tree()
    twice = {**once, "$defs": {**once["$defs"], "Twin": obj(("value",), value=STR)}}
    twice["$defs"]["Twin"]["properties"]["children"] = arr({"$ref": "#/$defs/Node"})
    twice["$defs"]["Node"] = {
        **obj(("value",), value=STR, children=arr({"$ref": "#/$defs/Twin"})),
        "title": "Node",
    }
    assert told(once, twice) == told(twice, once) == []


def test_what_differs_deep_in_turns_is_found() -> None:
    """Two models that refer to each other: the pair in progress is no excuse for the other one."""

    def turns(last: Any) -> dict[str, Any]:
        return {
            "$ref": "#/$defs/A",
            "$defs": {
                "A": obj(b={"anyOf": [{"$ref": "#/$defs/B"}, NULL]}, end=last),
                "B": obj(a={"anyOf": [{"$ref": "#/$defs/A"}, NULL]}),
            },
        }

    assert told(turns(INT), turns(NUM)) == [f"$.end: may have fractions now | {WON}"]


def test_what_was_assumed_in_a_vain_attempt_is_not_remembered() -> None:
    """Which alternative became which is found by trying. P1 is tried with P2, and Q1 with Q2 on the
    way, which differ in nothing as long as P1 and P2 do not. They do."""
    models = {
        "P1": obj(q={"$ref": "#/$defs/Q1"}, v=STR),
        "P2": obj(q={"$ref": "#/$defs/Q2"}, v=INT),
        "Q1": obj(p={"$ref": "#/$defs/P1"}),
        "Q2": obj(p={"$ref": "#/$defs/P2"}),
    }

    def document(y: str) -> dict[str, Any]:
        either = {"anyOf": [{"$ref": "#/$defs/P1"}, {"$ref": "#/$defs/P2"}]}
        return {**obj(x=either, y={"$ref": f"#/$defs/{y}"}), "$defs": models}

    assert told(document("Q1"), document("Q2")) == [
        f"$.y.p.v: must be an integer now, was a string | {BOTH}"
    ]


def test_a_schema_that_is_only_itself_is_unknown() -> None:
    loop = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    assert {each.effect for each in inputs(loop, STR)} == {Effect.UNKNOWN}
    assert {each.effect for each in outputs(STR, loop)} == {Effect.UNKNOWN}


# --- what a finding is -------------------------------------------------------------------------


def test_a_finding_for_people() -> None:
    (found,) = inputs(obj(**{"first name": STR}), obj(("first name",), **{"first name": STR}))
    assert found == Finding('$["first name"]', "is required now", Effect.BREAKING)
    assert str(found) == '$["first name"]: is required now (breaking)'
    assert not found.compatible


@pytest.mark.parametrize(
    ("effect", "compatible"),
    [
        (Effect.BREAKING, False),
        (Effect.UNKNOWN, False),
        (Effect.WIDENED, True),
        (Effect.NARROWED, True),
    ],
)
def test_what_is_compatible(effect: Effect, compatible: bool) -> None:
    assert Finding("$", "changed", effect).compatible is compatible


def test_long_lists_of_values_are_cut() -> None:
    many = {"enum": [f"value {number}" for number in range(9)]}
    (found,) = inputs(many, {"enum": ["value 0"]})
    assert found.message.endswith("'value 4', 'value 5' and 3 more")


def test_a_change_in_a_model_that_is_used_everywhere_is_told_for_a_few_places() -> None:
    def document(zip: Any) -> dict[str, Any]:
        used = {"$ref": "#/$defs/Address"}
        deep = obj(inner=obj(home=used))
        places = {name: used for name in ("billing", "shipping", "home", "work")}
        return {**obj(deep=deep, **places), "$defs": {"Address": obj(zip=zip)}}

    told_of = [line.partition(":")[0] for line in told(document(STR), document(INT))]
    assert sorted(told_of) == ["$.billing.zip", "$.home.zip", "$.work.zip"]
