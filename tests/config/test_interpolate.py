"""`${NAME}` in texts: what is replaced, what stays, what is refused."""

from __future__ import annotations

import pytest

from steadfaas.config.interpolate import Unresolved, interpolate

ENVIRON = {
    "A": "one",
    "EMPTY": "",
    "INNER": "<${A}>",
    "OUTER": "${INNER}$$",
    "SELF": "${SELF}",
    "X": "${Y}",
    "Y": "-${Z}",
    "Z": "${X}",
    "IN": "${X}",
    "BROKEN": "${NOPE}",
    "HALF": "a${A",
}

REPLACED = [
    ("", ""),
    ("plain", "plain"),
    ("${A}", "one"),
    ("a${A}b${A}c", "aonebonec"),
    ("${EMPTY}", ""),
    ("${INNER}", "<one>"),
    ("${OUTER}", "<one>$"),
    ("${NOPE:-else}", "else"),
    ("${NOPE:-}", ""),
    ("${EMPTY:-else}", "else"),
    ("${A:-else}", "one"),
    ("${A:-${NOPE}}", "one"),
    ("${NOPE:-${INNER}}!", "<one>!"),
    ("${NOPE:-${EMPTY:-a}}", "a"),
    ("${NOPE:-a:-b}", "a:-b"),
    ("${NOPE:-$$}", "$"),
    ("$$", "$"),
    ("$$$$", "$$"),
    ("$${A}", "${A}"),
    ("$$${A}", "$one"),
    ("lambda:greeter@$LATEST", "lambda:greeter@$LATEST"),
    ("a$", "a$"),
    ("$A {A} }", "$A {A} }"),
]

REFUSED = [
    ("${NOPE}", "the variable NOPE is not set; write ${NOPE:-…} for a default"),
    ("${BROKEN}", "the variable NOPE, which BROKEN names, is not set"),
    ("${NOPE:-${NOPE}}", "the variable NOPE is not set"),
    ("${SELF}", "a circle: SELF -> SELF"),
    ("${X}", "a circle: X -> Y -> Z -> X"),
    ("${IN}", "a circle: X -> Y -> Z -> X"),
    ("${A", "a '${' has no '}'"),
    ("${HALF}", "a '${' has no '}'"),
    ("${}", "the name of a variable"),
    ("${a-b}", "the name of a variable"),
    ("${1A}", "the name of a variable"),
    ("${A }", "the name of a variable"),
    ("${:-a}", "the name of a variable"),
]


@pytest.mark.parametrize(("text", "result"), REPLACED)
def test_replaces(text: str, result: str) -> None:
    assert interpolate(text, ENVIRON) == result


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refuses(text: str, reason: str) -> None:
    with pytest.raises(Unresolved) as refusal:
        interpolate(text, ENVIRON)
    assert reason in str(refusal.value)
