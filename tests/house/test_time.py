"""Only tests named `e2e` may wait for real time; the others have a clock of their own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(
    path.relative_to(TESTS)
    for path in TESTS.rglob("test_*.py")
    if path.relative_to(TESTS).parts[0] not in ("e2e", "bench")
)


def _is_e2e(node: ast.AST) -> bool:
    return any(isinstance(each, ast.Attribute) and each.attr == "e2e" for each in ast.walk(node))


def _sleeps(tree: ast.AST) -> Iterator[int]:
    """The lines of calls of `sleep` that wait."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        function = node.func
        waits = not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "sleep"
            and isinstance(function.value, ast.Name)
            and function.value.id in ("asyncio", "time", "anyio")
            and waits
        ):
            yield node.lineno


def real_waits(source: str) -> list[int]:
    """The lines on which a module waits for real time outside e2e tests."""
    tree = ast.parse(source)
    lines: list[int] = []
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and "pytestmark" in ast.dump(statement.targets[0]):
            if _is_e2e(statement.value):
                return []
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            # Helpers that wait are judged by the tests that use them.
            is_test = statement.name.startswith("test_")
            if is_test and not any(map(_is_e2e, statement.decorator_list)):
                lines += _sleeps(statement)
    return lines


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_only_e2e_tests_wait_for_real_time(module: Path) -> None:
    assert real_waits((TESTS / module).read_text()) == []


def test_a_real_wait_is_noticed() -> None:
    waiting = "async def test_it():\n    await asyncio.sleep(0)\n    await asyncio.sleep(0.1)\n"
    assert real_waits(waiting) == [3]
    assert real_waits("@pytest.mark.e2e\n" + waiting) == []
    assert real_waits("pytestmark = pytest.mark.e2e\n" + waiting) == []
