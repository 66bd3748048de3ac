"""Nothing that breaks is called compatible, whatever the schemas are; and nothing makes it fail.

What a schema allows is asked of the `jsonschema` package, instance by instance.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from steadfaas.rollout.schemas import Effect, Finding, inputs, outputs
from tests.rollout.generated import SCALARS, documents, instances, pairs

SLOW = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

# What every pair is tried with, beside instances of its own.
USUAL: tuple[Any, ...] = (
    *SCALARS,
    *([], [1], ["a"], [1, "a"], [None], [1, 1], [[]], [{}], [{"a": 1}]),
    *({}, {"a": 1, "b": "a"}, {"a": "a", "b": 1, "c": None}, {"a": {"b": "a"}}, {"a": [1]}),
    *({name: scalar} for name in "ab" for scalar in SCALARS),
    *({"c": tag, "a": scalar} for tag in "ab" for scalar in (None, 1, "a")),
)


@SLOW
@given(pairs(), st.lists(instances, max_size=10))
@example(({"required": ["a"]}, {"properties": {"a": False}}), [])
@example(({"allOf": [{"properties": {"a": False}}]}, {"properties": {"a": True}}), [])
def test_what_is_called_compatible_is(pair: tuple[Any, Any], own: list[Any]) -> None:
    before, after = pair
    old, new = Draft202012Validator(before), Draft202012Validator(after)
    for narrow, wide, findings in (
        (old, new, inputs(before, after)),
        (new, old, outputs(before, after)),
    ):
        if not all(each.compatible for each in findings):
            continue
        assumed = _assumed(findings)
        for instance in (*USUAL, *own):
            if narrow.is_valid(instance) and not wide.is_valid(instance):
                # The one assumption: nobody sends a property that the schema does not declare.
                assert assumed & _names(instance), instance


def _assumed(findings: list[Finding]) -> set[str]:
    said = ("is new and optional", "is not declared any more (")
    return {
        each.path.rpartition(".")[2]
        for each in findings
        if any(one in each.message for one in said)
    }


def _names(instance: Any) -> set[str]:
    if isinstance(instance, dict):
        return set(instance) | {name for each in instance.values() for name in _names(each)}
    return (
        {name for each in instance for name in _names(each)}
        if isinstance(instance, list)
        else set()
    )


@SLOW
@given(documents)
def test_a_schema_is_no_different_from_itself(document: Any) -> None:
    assert inputs(document, copy.deepcopy(document)) == []
    assert outputs(document, copy.deepcopy(document)) == []


@SLOW
@given(documents, documents)
def test_inputs_and_outputs_mirror_each_other(before: Any, after: Any) -> None:
    """What breaks who sends on the way there is what breaks who receives on the way back."""

    def count(findings: list[Finding]) -> dict[Effect, bool]:
        seen = {each.effect for each in findings}
        return {effect: effect in seen for effect in (Effect.BREAKING, Effect.UNKNOWN)}

    assert count(inputs(before, after)) == count(outputs(after, before))


# --- anything at all ---------------------------------------------------------------------------

KEYWORDS = (
    *(
        "$ref",
        "$defs",
        "$id",
        "$schema",
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "items",
    ),
    *(
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "prefixItems",
        "anyOf",
        "oneOf",
    ),
    *("allOf", "not", "if", "minimum", "exclusiveMaximum", "multipleOf", "maxLength", "pattern"),
    *("format", "discriminator", "minItems", "unevaluatedProperties", "nullable", "#/$defs/a"),
)
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(("#", "#/$defs/a", "#/$defs", "string", "object", "(", "[")),
        st.sampled_from(KEYWORDS),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(KEYWORDS), st.text(max_size=3)), inner),
    ),
    max_leaves=30,
)


@SLOW
@given(anything, anything)
def test_any_two_documents_can_be_asked_about(before: Any, after: Any) -> None:
    for findings in (inputs(before, after), outputs(before, after)):
        for each in findings:
            assert each.path.startswith("$")
            assert each.message


def _nested(depth: int, keyword: str, innermost: Any) -> Any:
    schema = innermost
    for _ in range(depth):
        inside = {"a": schema} if keyword == "properties" else schema
        schema = {keyword: [inside] if keyword in ("allOf", "anyOf") else inside}
    return schema


def _chain(length: int, innermost: Any) -> Any:
    links = {
        str(place): {"properties": {"a": {"$ref": f"#/$defs/{place + 1}"}}}
        for place in range(length)
    }
    return {"$ref": "#/$defs/0", "$defs": {**links, str(length): innermost}}


def _doubling(depth: int, innermost: Any) -> Any:
    """A union of two, each of them a union of two, and so on: 2 ** depth ways to read it."""
    defs = {
        str(place): {
            "properties": {"a": {"anyOf": [{"$ref": f"#/$defs/{place + 1}"}] * 2}},
            "minProperties": place,
        }
        for place in range(depth)
    }
    return {"$ref": "#/$defs/0", "$defs": {**defs, str(depth): innermost}}


def test_nesting_without_end_is_unknown() -> None:
    for depth in (40, 300, 5_000):
        for keyword in ("properties", "items", "allOf", "anyOf", "not", "if", "enum"):
            one, other = (_nested(depth, keyword, inner) for inner in ("x", "y"))
            found = inputs(one, other)
            assert {each.effect for each in found} <= {Effect.UNKNOWN, Effect.BREAKING}
            assert found, keyword


def test_a_long_chain_of_references_is_unknown() -> None:
    found = inputs(_chain(500, {"type": "string"}), _chain(500, {"type": "integer"}))
    assert {each.effect for each in found} == {Effect.UNKNOWN}


def test_a_union_of_unions_of_unions_ends() -> None:
    found = inputs(_doubling(25, {"type": "string"}), _doubling(25, {"type": "integer"}))
    assert found
    assert not all(each.compatible for each in found)


def test_more_alternatives_than_anybody_writes_are_unknown() -> None:
    many = {"allOf": [{"anyOf": [{"minLength": n}, {"maxLength": n}]} for n in range(20)]}
    assert {each.effect for each in inputs(many, True)} == {Effect.UNKNOWN}


def test_numbers_that_no_json_has_are_unknown() -> None:
    for number in (float("nan"), float("inf"), 10**5_000):
        found = inputs({"maximum": 1}, {"maximum": number})
        assert {each.effect for each in found} == {Effect.UNKNOWN}


def test_many_models_that_use_one_another_are_compared() -> None:
    """More ways than could be walked lead to the one change."""

    def models(last: Any) -> Any:
        count = 30
        defs = {
            f"M{place}": {
                "properties": {
                    "next": {"$ref": f"#/$defs/M{place + 1}"},
                    "back": {"$ref": f"#/$defs/M{place // 2}"},
                    "also": {"items": {"$ref": f"#/$defs/M{place + 1}"}},
                },
            }
            for place in range(count)
        }
        return {"$ref": "#/$defs/M0", "$defs": {**defs, f"M{count}": {"const": last}}}

    found = inputs(models(1), models(2))
    assert {each.effect for each in found} == {Effect.BREAKING, Effect.WIDENED}
    assert len(found) <= 12
