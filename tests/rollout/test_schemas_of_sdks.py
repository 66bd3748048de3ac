"""Schemas as SDKs write them: pydantic models through the Python SDK's discovery, and zod's.

The zod documents are what zod 4.6 (`toJSONSchema`) and zod-to-json-schema 3.25 gave, shortened.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from tests.house.checkout import ROOT
from tests.rollout.announced import schemas_of
from tests.rollout.telling import told

LOST, WON = "breaking, narrowed", "widened, breaking"
BOTH, UNKNOWN = "breaking, breaking", "unknown, unknown"
NEW = (
    "is new and optional (other values of that name were let through before, taken to be unused)"
    " | narrowed, narrowed"
)
GONE = "is not declared any more (any value of that name is let through now) | widened, widened"


def model(title: str = "Order", /, *, closed: bool = False, **fields: Any) -> Any:
    """A model; a field is its type, or its type and its default."""
    config = ConfigDict(extra="forbid") if closed else None
    written = {
        field: said if isinstance(said, tuple) else (said, ...) for field, said in fields.items()
    }
    return create_model(title, __config__=config, **written)  # type: ignore[call-overload]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class MoreColors(Enum):
    RED = "red"
    BLUE = "blue"
    GREEN = "green"


Address: Any = model("Address", zip=int)
NewAddress: Any = model("Address", zip=str)
Cat: Any = model("Cat", kind=Literal["cat"], lives=(int, 9))
Dog: Any = model("Dog", kind=Literal["dog"])
Eel: Any = model("Eel", kind=Literal["eel"])
OlderCat: Any = model("Cat", kind=Literal["cat"], lives=(int, 9), age=int)
Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
MorePets = Annotated[OlderCat | Dog | Eel, Field(discriminator="kind")]
LazyCat: Any = model("Cat", kind=(Literal["cat"], "cat"), name=str)
LazyDog: Any = model("Dog", kind=(Literal["dog"], "dog"), name=str)
NamedCat: Any = model("Cat", kind=(Literal["cat"], "cat"), name=(str | None, None))
LazyPet = Annotated[LazyCat | LazyDog, Field(discriminator="kind")]
LazyPets = Annotated[NamedCat | LazyDog, Field(discriminator="kind")]


class Node(BaseModel):
    children: list[Node] = []


OldNode = Node


class Node(BaseModel):  # type: ignore[no-redef]
    children: list[Node] = []
    weight: int


# before, after, what is told: as an input, as an output
PYDANTIC: dict[str, tuple[Any, Any, list[str]]] = {
    "nothing": (model(name=str), model(name=str), []),
    "only words": (
        model(name=Annotated[str, Field(description="a")]),
        model(name=Annotated[str, Field(title="b", examples=["c"])]),
        [],
    ),
    "only a default": (model(n=(int, 1)), model(n=(int, 2)), []),
    "the model's name": (model("Order", name=str), model("Purchase", name=str), []),
    "an optional field": (
        model(name=str),
        model(name=str, note=(str | None, None)),
        [f"$.note: {NEW}"],
    ),
    "a field that is needed": (
        model(name=str),
        model(name=str, zip=str),
        [f"$.zip: is new and required | {LOST}"],
    ),
    "a field less": (model(name=str, note=(str, "")), model(name=str), [f"$.note: {GONE}"]),
    "a field less that was promised": (
        model(name=str, total=int),
        model(name=str),
        [
            "$.total: is not declared any more (any value of that name is let through now), and it"
            f" may be missing | {WON}"
        ],
    ),
    "a field renamed": (
        model(name=str),
        model(full_name=str),
        [
            "$.name: is not declared any more (any value of that name is let through now), and it"
            f" may be missing | {WON}",
            f"$.full_name: is new and required | {LOST}",
        ],
    ),
    "an optional field, nothing else allowed": (
        model(closed=True, name=str),
        model(closed=True, name=str, note=(str, "")),
        [f"$.note: is allowed now | {WON}"],
    ),
    "extra fields forbidden": (
        model(name=str),
        model(closed=True, name=str),
        [f"$: no longer allows properties that it does not name | {LOST}"],
    ),
    "needed no more": (
        model(name=str),
        model(name=(str, "x")),
        [f"$.name: may be missing now | {WON}"],
    ),
    "None allowed": (
        model(name=str),
        model(name=str | None),
        [f"$.name: may be null now | {WON}"],
    ),
    "int to float": (model(n=int), model(n=float), [f"$.n: may have fractions now | {WON}"]),
    "int to str": (
        model(n=int),
        model(n=str),
        [f"$.n: must be a string now, was an integer | {BOTH}"],
    ),
    "one more type": (
        model(n=int),
        model(n=int | str),
        [f"$.n: may be a string now | {WON}"],
    ),
    "str to datetime": (
        model(at=str),
        model(at=datetime),
        [f"$.at: must have the format 'date-time' now | {LOST}"],
    ),
    "a value of an enum": (
        model(color=Color),
        model(color=MoreColors),
        [f"$.color: allows 'green' now | {WON}"],
    ),
    "a literal": (
        model(v=Literal["a", "b"]),
        model(v=Literal["a"]),
        [f"$.v: no longer allows 'b' | {LOST}"],
    ),
    "limits": (
        model(n=Annotated[int, Field(gt=0, le=10)]),
        model(n=Annotated[int, Field(gt=1, le=5)]),
        [
            f"$.n: minimum raised from 1 to 2 | {LOST}",
            f"$.n: maximum lowered from 10 to 5 | {LOST}",
        ],
    ),
    "deep inside": (
        model(customer=model("Customer", address=list[Address])),
        model(customer=model("Customer", address=list[NewAddress])),
        [f"$.customer.address[*].zip: must be a string now, was an integer | {BOTH}"],
    ),
    "a tagged union": (
        model(pet=Pet),
        model(pet=MorePets),
        [
            f"$.pet(Cat).age: is new and required | {LOST}",
            f"$.pet: allows an object (Eel) now | {WON}",
        ],
    ),
    "a tagged union whose tags have defaults": (
        model(pet=LazyPet),
        model(pet=LazyPets),
        [
            f"$.pet(Cat).name: may be missing now | {WON}",
            f"$.pet(Cat).name: may be null now | {WON}",
        ],
    ),
    "a union without tags": (
        model(pet=model("A", a=int) | model("B", b=int)),
        model(pet=model("A", a=int) | model("B", b=str)),
        [f"$.pet(B).b: must be a string now, was an integer | {BOTH}"],
    ),
    "a list instead of one": (
        model(tags=str),
        model(tags=list[str]),
        [f"$.tags: must be an array now, was a string | {BOTH}"],
    ),
    "a set": (
        model(tags=list[str]),
        model(tags=set[str]),
        [f"$.tags: items must be unique now | {LOST}"],
    ),
    "a tuple": (
        model(pos=tuple[int, int]),
        model(pos=tuple[int, int, int]),
        [
            f"$.pos: minimum number of items raised from 2 to 3 | {LOST}",
            f"$.pos: maximum number of items raised from 2 to 3 | {WON}",
        ],
    ),
    "values of a dict": (
        model(counts=dict[str, int]),
        model(counts=dict[str, float]),
        [f"$.counts.*: may have fractions now | {WON}"],
    ),
    "keys of a dict": (
        model(counts=dict[MoreColors, int]),
        model(counts=dict[Color, int]),
        [f"$.counts{{names}}: no longer allows 'green' | {LOST}"],
    ),
    "a model that holds itself": (
        OldNode,
        Node,
        [f"$.weight: is new and required | {LOST}"],
    ),
    "from no model": (Any, model(name=str), [f"$: must be an object now, was anything | {LOST}"]),
    "plain types": (int, str, [f"$: must be a string now, was an integer | {BOTH}"]),
    "lists of what the SDK does not describe": (
        list[Cat],
        list[Dog],
        [],
    ),
}


@pytest.mark.parametrize("case", PYDANTIC)
def test_models_of_pydantic(case: str) -> None:
    before, after, expected = PYDANTIC[case]
    for side in (0, 1):
        assert told(schemas_of(before, before)[side], schemas_of(after, after)[side]) == expected


# --- the page about it -------------------------------------------------------------------------

DOCUMENTED = (
    (model(note=str), model(note=str | None)),
    (model(), model(zip=str)),
    (model(color=Color), model(color=MoreColors)),
    (model(n=Annotated[int, Field(le=10)]), model(n=Annotated[int, Field(le=5)])),
    (
        model(id=Annotated[str, Field(pattern="^a")]),
        model(id=Annotated[str, Field(pattern="^b")]),
    ),
)


def test_the_page_tells_what_is_told() -> None:
    page = (ROOT / "core/docs/interfaces.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\$.*)` \| (\w+) \| (\w+) \|$", page, re.MULTILINE)
    assert [f"{said} | {sent}, {received}" for said, sent, received in rows] == [
        line
        for before, after in DOCUMENTED
        for line in told(schemas_of(before, before)[0], schemas_of(after, after)[0])
    ]


# --- zod ---------------------------------------------------------------------------------------

ZOD_4 = json.loads("""{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"properties":{"name":{"type":"string"},"t":{"type":"array","prefixItems":[{"type":"string"},
{"type":"number"}],"items":false,"minItems":2,"maxItems":2},"o":{"type":"string"},
"nul":{"type":["string","null"]},"u":{"type":["string","number"]},"lit":{"anyOf":[{"type":"string",
"const":"a"},{"type":"string","const":"b"}]},"en":{"type":"string","enum":["x","y"]},
"rec":{"type":"object","propertyNames":{"type":"string"},"additionalProperties":{"type":"number"}},
"d":{"oneOf":[{"type":"object","properties":{"k":{"type":"string","const":"c"},"v":{"type":"number"}},
"required":["k","v"],"additionalProperties":false},{"type":"object","properties":{"k":{"type":"string",
"const":"d"}},"required":["k"],"additionalProperties":false}]},"def":{"default":"q","type":"string"},
"loose":{"type":"object","properties":{},"additionalProperties":{}}},
"required":["name","t","nul","u","lit","en","rec","d","def","loose"],"additionalProperties":false}""")
ZOD_3 = json.loads("""{"type":"object","properties":{"name":{"type":"string"},"t":{"type":"array",
"minItems":2,"maxItems":2,"items":[{"type":"string"},{"type":"number"}]},"o":{"type":"string"},
"nul":{"type":["string","null"]},"u":{"type":["string","number"]},"lit":{"type":"string",
"enum":["a","b"]},"en":{"type":"string","enum":["x","y"]},"rec":{"type":"object",
"additionalProperties":{"type":"number"}},"d":{"anyOf":[{"type":"object","properties":{"k":{
"type":"string","const":"c"},"v":{"type":"number"}},"required":["k","v"],"additionalProperties":false},
{"type":"object","properties":{"k":{"type":"string","const":"d"}},"required":["k"],
"additionalProperties":false}]},"def":{"type":"string","default":"q"},"loose":{"type":"object",
"properties":{},"additionalProperties":true}},"required":["name","t","nul","u","lit","en","rec","d",
"def","loose"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#"}""")
ZOD_TREE = json.loads("""{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object",
"properties":{"v":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#"}}},
"required":["v","kids"],"additionalProperties":false}""")


def test_one_model_in_the_words_of_zod_3_and_of_zod_4() -> None:
    assert told(ZOD_3, ZOD_4) == told(ZOD_4, ZOD_3) == []


def changed(schema: Any, *path: str | int, to: Any) -> Any:
    """A copy of the schema with another value at one place."""
    copied = json.loads(json.dumps(schema))
    *way, last = path
    place = copied
    for step in way:
        place = place[step]
    place[last] = to
    return copied


ZOD: dict[str, tuple[Any, Any, list[str]]] = {
    "z.tuple": (
        ZOD_4,
        changed(ZOD_4, "properties", "t", "prefixItems", 0, to={"type": "boolean"}),
        [f"$.t[0]: must be a boolean now, was a string | {BOTH}"],
    ),
    "z.tuple in draft-07": (
        ZOD_3,
        changed(ZOD_3, "properties", "t", "items", 0, to={"type": "boolean"}),
        [f"$.t[0]: must be a boolean now, was a string | {BOTH}"],
    ),
    "z.union of literals": (
        ZOD_4,
        changed(ZOD_4, "properties", "lit", "anyOf", 1, "const", to="c"),
        [f"$.lit: no longer allows 'b' | {LOST}", f"$.lit: allows 'c' now | {WON}"],
    ),
    "z.discriminatedUnion": (
        ZOD_4,
        changed(ZOD_4, "properties", "d", "oneOf", 0, "properties", "v", "type", to="string"),
        [f"$.d(k='c').v: must be a string now, was a number | {BOTH}"],
    ),
    "z.looseObject": (
        ZOD_4,
        changed(ZOD_4, "properties", "loose", "properties", "x", to={"type": "string"}),
        [f"$.loose.x: must be a string now, was anything | {LOST}"],
    ),
    "a new key, in the closed objects that zod writes": (
        ZOD_4,
        changed(ZOD_4, "properties", "more", to={"type": "string"}),
        [f"$.more: is allowed now | {WON}"],
    ),
    "z.lazy": (
        ZOD_TREE,
        changed(ZOD_TREE, "properties", "v", "maxLength", to=3),
        [f"$.v: has a maximum length of 3 now | {LOST}"],
    ),
}


@pytest.mark.parametrize("case", ZOD)
def test_models_of_zod(case: str) -> None:
    before, after, expected = ZOD[case]
    assert told(before, after) == expected
