"""How a service's interface differs between the version that takes requests and a new one.

Both sides come as the admin API shows a service: `GET /services/{name}` for what is there, and the
answer to a registration, or to its dry run, for what would be. Two judgements are kept apart. The
engine refuses a lost handler and a changed type by its own rule, unless it is told `breaking`. What
the schemas say is advice: the engine compares none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from steadfaas.rollout.schemas import Effect, Finding, inputs, outputs

Json = dict[str, Any]

# What the engine refuses, unless it is told `breaking`.
_BREAKING: Final = "breaking"


@dataclass(frozen=True, slots=True)
class HandlerChange:
    """What is different about one handler that is on both sides.

    `kind` is its kind before and after (`Exclusive`, `Shared`); `public` is whether it is public
    now, where it was not so before. None: the same as before.
    """

    handler: str
    kind: tuple[str, str] | None = None
    public: bool | None = None
    input: tuple[Finding, ...] = ()
    output: tuple[Finding, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is different."""
        return not self.facts

    @property
    def facts(self) -> tuple[Finding, ...]:
        """All that is different, each with its effect on who calls; paths begin with the side."""
        return tuple(self._facts())

    def _facts(self) -> Iterator[Finding]:
        if self.kind is not None:
            # What this means depends on what the handler does with its state.
            said = f"is {self.kind[1]} now, was {self.kind[0]}"
            yield Finding("kind", said, Effect.UNKNOWN)
        if self.public is not None:
            effect = Effect.WIDENED if self.public else Effect.BREAKING
            yield Finding("ingress", f"is {'public' if self.public else 'private'} now", effect)
        for side, findings in (("input", self.input), ("output", self.output)):
            for found in findings:
                yield Finding(f"{side} {found.path}", found.message, found.effect)


@dataclass(frozen=True, slots=True)
class ServiceDifference:
    """The difference of one service. Without `before_revision` the service is new."""

    service: str
    type: str  # as the new version serves it: `Service`, `VirtualObject`, `Workflow`
    before_revision: int | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    type_change: tuple[str, str] | None = None
    changed: tuple[HandlerChange, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether nobody serves it yet."""
        return self.before_revision is None

    @property
    def is_empty(self) -> bool:
        """Whether its interface is as it was."""
        return not (self.is_new or self.added or self.removed or self.type_change or self.changed)

    @property
    def breaking(self) -> bool:
        """Whether the engine refuses it by its own rule, unless it is told `breaking`."""
        return bool(self.removed or self.type_change)

    def has(self, effect: Effect) -> bool:
        """Whether anything about its handlers has this effect on who calls them. Advice only."""
        return any(fact.effect is effect for each in self.changed for fact in each.facts)


def difference(before: Json | None, after: Json) -> ServiceDifference:
    """The difference between a service as it is shown now, if it is there, and as it would be."""
    name, type = after["name"], after["ty"]
    new = _handlers(after)
    if before is None:
        return ServiceDifference(name, type, added=tuple(sorted(new)))
    old = _handlers(before)
    changes = (_handler_change(old[each], new[each]) for each in sorted(old.keys() & new.keys()))
    return ServiceDifference(
        name,
        type,
        before_revision=before["revision"],
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        type_change=None if before["ty"] == type else (before["ty"], type),
        changed=tuple(change for change in changes if not change.is_empty),
    )


# --- for people and programs -------------------------------------------------------------------


def lines(found: ServiceDifference) -> list[str]:
    """The difference for people, one line for each fact; `+` is new, `-` is gone, `~` differs."""
    told = [f"+ service {found.service} ({found.type})"] if found.is_new else []
    if found.type_change is not None:
        was, now = found.type_change
        told.append(f"~ type is {now} now, was {was} ({_BREAKING})")
    told += [f"+ handler {name}" for name in found.added]
    told += [f"- handler {name} ({_BREAKING})" for name in found.removed]
    return told + [f"~ {each.handler} {fact}" for each in found.changed for fact in each.facts]


def to_json(found: ServiceDifference) -> Json:
    """The difference for programs."""
    return {
        "service": found.service,
        "type": found.type,
        "new": found.is_new,
        "breaking": found.breaking,
        "before_revision": found.before_revision,
        "added": list(found.added),
        "removed": list(found.removed),
        "type_change": _pair(found.type_change),
        "changed": [_handler_json(each) for each in found.changed],
    }


def _handler_json(change: HandlerChange) -> Json:
    return {
        "handler": change.handler,
        "kind": _pair(change.kind),
        "public": change.public,
        "input": [_finding_json(found) for found in change.input],
        "output": [_finding_json(found) for found in change.output],
    }


def _finding_json(found: Finding) -> Json:
    return {"path": found.path, "message": found.message, "effect": found.effect.value}


def _pair(change: tuple[str, str] | None) -> Json | None:
    return None if change is None else {"before": change[0], "after": change[1]}


# --- one handler -------------------------------------------------------------------------------


def _handlers(service: Json) -> dict[str, Json]:
    return {handler["name"]: handler for handler in service["handlers"]}


def _handler_change(before: Json, after: Json) -> HandlerChange:
    # Handlers of plain services have none: that it comes or goes is told as the changed type.
    old_kind, kind = before.get("ty"), after.get("ty")
    was, is_now = before.get("public", True), after.get("public", True)
    return HandlerChange(
        after["name"],
        kind=(old_kind, kind) if old_kind and kind and old_kind != kind else None,
        public=None if was is is_now else is_now,
        input=tuple(_payload(before, after, "input")),
        output=tuple(_payload(before, after, "output")),
    )


def _payload(before: Json, after: Json, side: str) -> list[Finding]:
    """What is different about what a handler takes (`input`) or gives (`output`)."""
    schema, described = f"{side}_json_schema", f"{side}_description"
    old, new = before.get(schema), after.get(schema)
    was, now = before.get(described), after.get(described)
    compared = [side for side in (old, new) if side is not None]
    # No schema lets anything pass, unless it is no schema because there is nothing to describe.
    if len(compared) == 2 or (compared and "none" not in (was, now)):
        return inputs(old, new) if side == "input" else outputs(old, new)
    if compared or was != now:
        return [
            Finding("$", f"is {now or 'not told'} now, was {was or 'not told'}", Effect.UNKNOWN)
        ]
    return []
