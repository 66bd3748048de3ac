"""DataFusion's expressions as conditions. What we do not understand is None, never a guess."""

from __future__ import annotations

from typing import Any, cast

import pyarrow as pa
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from steadfaas.query.conditions import (
    COMPARISONS,
    Compare,
    Condition,
    Every,
    Flag,
    IsNull,
    Known,
    Like,
    Not,
    OneOf,
    Some,
    Value,
)

_TURNED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def conjuncts(predicate: Expr) -> list[Condition | None]:
    """The parts of a filter that must all be true; None stands for one that is not understood."""
    return [_condition(part) for part in _spine(predicate, "AND")]


def column_name(expression: Expr) -> str | None:
    """The name of a column, if the expression is one; its table is not looked at."""
    kind, variant = variant_of(expression)
    return cast("str", variant.name()) if kind == "Column" else None


def variant_of(node: Expr | LogicalPlan) -> tuple[str, Any]:
    """What kind of expression or plan it is, and itself as that kind; "" for one that the binding
    has no class for, such as a call of a function."""
    try:
        variant = node.to_variant()
    except Exception:  # whatever the reason, and the binding names none: it is not understood
        return "", None
    return type(variant).__name__, variant


def _spine(expression: Expr, operator: str) -> list[Expr]:
    """The operands of `a AND b AND …`, however long, without recursion."""
    found: list[Expr] = []
    waiting = [expression]
    while waiting:
        next_one = waiting.pop()
        kind, variant = variant_of(next_one)
        if kind == "BinaryExpr" and variant.op() == operator:
            waiting += [variant.right(), variant.left()]
        else:
            found.append(next_one)
    return found


def _condition(expression: Expr) -> Condition | None:
    kind, variant = variant_of(expression)
    match kind:
        case "BinaryExpr":
            return _binary(expression, variant)
        case "Column":
            return Flag(variant.name())
        case "Literal":
            value = _literal(expression)
            return Known(value) if value is None or isinstance(value, bool) else None
        case "Not":
            part = _condition(variant.expr())
            return None if part is None else Not(part)
        case "IsNull" | "IsNotNull":
            column = column_name(variant.expr())
            return None if column is None else IsNull(column, negated=kind == "IsNotNull")
        case "InList":
            return _one_of(variant)
        case "Like":
            return _like(expression, variant)
    return None


def _binary(expression: Expr, variant: Any) -> Condition | None:
    operator = variant.op()
    if operator in ("AND", "OR"):
        parts = [_condition(part) for part in _spine(expression, operator)]
        if None in parts:
            return None
        known = cast("tuple[Condition, ...]", tuple(parts))
        return Every(known) if operator == "AND" else Some(known)
    if operator not in COMPARISONS:
        return None
    left, right = variant.left(), variant.right()
    if column_name(left) is None:
        left, right, operator = right, left, _TURNED[operator]
    column = column_name(left)
    if column is None or not _is_literal(right):
        return None
    value = _literal(right)
    return Known(None) if value is None else Compare(column, operator, value)


def _one_of(variant: Any) -> Condition | None:
    column = column_name(variant.expr())
    items = variant.list()
    if column is None or not all(map(_is_literal, items)):
        return None
    return OneOf(column, tuple(map(_literal, items)), negated=variant.negated())


def _like(expression: Expr, variant: Any) -> Condition | None:
    column, pattern = column_name(variant.expr()), variant.pattern()
    if column is None or variant.escape_char() is not None or not _is_literal(pattern):
        return None
    negated = bool(variant.negated())
    # ILIKE is the same variant; only its text tells.
    word = "NOT LIKE" if negated else "LIKE"
    if not expression.canonical_name().startswith(f"{variant.expr().canonical_name()} {word} "):
        return None
    text = _literal(pattern)
    return Like(column, text, negated=negated) if isinstance(text, str) else None


def _is_literal(expression: Expr) -> bool:
    return variant_of(expression)[0] == "Literal" and _literal(expression) is not _STRANGE


class _Strange:
    """A literal of a type that none of our columns has."""


_STRANGE: Any = _Strange()


def _literal(expression: Expr) -> Value:
    scalar: Any = expression.python_value()
    if not isinstance(scalar, pa.Scalar):
        return cast("Value", scalar) if scalar is None else _STRANGE
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(scalar.type):
        return cast("int", scalar.value) if scalar.type.unit == "ms" else _STRANGE
    value = scalar.as_py()
    return value if isinstance(value, (str, int, bytes)) else _STRANGE
