"""Random statements: filters, limits, orders, groups, joins and look-ups, over all tables.

Some have answers of which several are right: a LIMIT without an order, or the first of several that
are equal. `Statement.kind` says how two answers are to be compared.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.query.filled import DEPLOYMENTS, GONE, KEYS, NOW, World

_TEXTS: Final = {
    "status": ["completed", "paused", "ready", "backing-off", "inboxed", "invoked", "x"],
    "target_service_name": ["Shop", "my_shop", "shop", "Cart", "Ca", "Signup", "nobody"],
    "target_handler_name": ["buy", "add", "run", "status"],
    "target_service_key": KEYS,
    "target_service_ty": ["service", "virtual_object", "workflow"],
    "pinned_deployment_id": [*DEPLOYMENTS, GONE, "x"],
    "completion_result": ["success", "failure"],
    "invoked_by": ["service", "ingress", "restart_as_new"],
    "invoked_by_service_name": ["Signup"],
    "idempotency_key": ["order-7", "order-8"],
}
_OF_STATE_ONLY: Final = {
    "last_failure_error_code": ["RT0007", "RT0016"],
    "last_attempt_deployment_id": DEPLOYMENTS,
    "last_attempt_server": ["restate-sdk-python/1.0.0"],
}
_PATTERNS: Final = [
    "Shop/%", "my_shop/%", "Cart/%", "Ca%", "cart/%", "%/add", "Cart/a_b/%", "Cart/k/add",
    "%", "", "_a%", "%100\\%%", "%[k]%", "Cart/%_b/get", "my_shop", "Cart/a/b/%", "%\n%", "%*/%",
    "%\u00fc%", "Cart/__/%", "C_rt/k/%", "%nul%end/%",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """`kind`: `sequence` (one right answer), `bag` (in any order), `some` (any so many rows of
    `all`)."""

    text: str
    kind: str
    all: str = ""


class Statements:
    """Invents statements about a world."""

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._chance = random.Random(seed)

    def next(self) -> Statement:
        """One of many shapes."""
        shapes: list[Callable[[], Statement]] = [
            self._listed, self._listed, self._newest, self._some, self._counted, self._grouped,
            self._grouped, self._cut_first, self._looked_up, self._looked_up, self._joined,
            self._twice, self._of_a_key, self._of_a_journal, self._nested, self._distinct,
        ]  # fmt: skip
        return self._chance.choice(shapes)()

    # --- shapes --------------------------------------------------------------------------------

    def _listed(self) -> Statement:
        table = self._invocations()
        columns = ", ".join(self._chance.sample(self._columns(table), 3))
        where = self._where(table)
        return Statement(f"SELECT id, {columns} FROM {table} {where}", "bag")

    def _newest(self) -> Statement:
        table = self._invocations()
        column = self._chance.choice(["created_at", "modified_at", "target", "id"])
        order = self._chance.choice(["", "DESC", "ASC", "DESC NULLS LAST"])
        limit = f"LIMIT {self._chance.choice([0, 1, 5, 40, 9999])}"
        if self._chance.random() < 0.3:
            limit += f" OFFSET {self._chance.randrange(20)}"
        return Statement(
            f"SELECT id, status FROM {table} x {self._where(table)} ORDER BY x.{column} {order}, id"
            f" {limit}",
            "sequence",
        )

    def _some(self) -> Statement:
        table = self._invocations()
        text = f"SELECT id, target, status FROM {table} {self._where(table)}"
        return Statement(f"{text} LIMIT {self._chance.choice([1, 10, 100])}", "some", text)

    def _counted(self) -> Statement:
        table = self._invocations()
        what = self._chance.choice(
            ["count(*)", "count(1), count(target_service_key)", "count(DISTINCT target)"]
        )
        return Statement(f"SELECT {what} FROM {table} {self._where(table)}", "sequence")

    def _grouped(self) -> Statement:
        table = self._invocations()
        keys = self._chance.sample([*_GROUPED_BY], self._chance.randrange(3))
        chosen = self._chance.sample(_AGGREGATES, self._chance.randrange(1, 4))
        what = ", ".join([*keys, *chosen])
        by = f"GROUP BY {', '.join(keys)}" if keys else ""
        having = " HAVING count(*) > 2" if by and self._chance.random() < 0.2 else ""
        return Statement(f"SELECT {what} FROM {table} {self._where(table)} {by}{having}", "bag")

    def _cut_first(self) -> Statement:
        table = self._invocations()
        inner = f"SELECT * FROM {table} inv LIMIT 100000"
        return Statement(f"SELECT COUNT(1) FROM ({inner}) {self._where(table, 'inv.')}", "sequence")

    def _looked_up(self) -> Statement:
        table = self._invocations()
        word = self._chance.choice(["IN", "NOT IN"])
        column, other = self._chance.choice(
            [
                ("target_service_name", "select name from sys_service where ty = 'workflow'"),
                ("target_service_name", "select name from sys_service where revision > 1"),
                ("pinned_deployment_id", "select id from sys_deployment"),
                ("pinned_deployment_id", "select id from sys_deployment where ty = 'lambda'"),
                ("target_service_key", "select service_key from state where service_name='Cart'"),
                ("target", "select target from sys_invocation_status where status = 'inboxed'"),
                ("id", "select invocation_id from sys_keyed_service_status"),
                ("target_service_name", "select name from sys_service order by name limit 2"),
                ("target_service_name", "select max(name) from sys_service"),
                ("target_service_key", "select target_service_key from sys_invocation"
                 " group by 1 having count(*) > 20"),
            ]
        )  # fmt: skip
        where = self._where(table)
        more = f"{where} AND" if where else "WHERE"
        not_null = f"{column} IS NOT NULL AND " if self._chance.random() < 0.5 else ""
        text = f"SELECT id FROM {table} {more} {not_null}{column} {word} ({other})"
        if self._chance.random() < 0.5:
            return Statement(f"{text} ORDER BY created_at, id LIMIT 7", "sequence")
        return Statement(text, "bag")

    def _joined(self) -> Statement:
        kind = self._chance.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
        return Statement(
            "SELECT inv.id, dp.id IS NOT NULL as x, dp.ty FROM sys_invocation inv"
            f" {kind} sys_deployment dp ON dp.id = inv.pinned_deployment_id"
            f" {self._where('sys_invocation', 'inv.')} ORDER BY inv.created_at, inv.id, dp.id"
            f" LIMIT {self._chance.choice([5, 500])}",
            "sequence",
        )

    def _twice(self) -> Statement:
        one, other = self._where("sys_invocation"), self._where("sys_invocation")
        union = self._chance.choice(["UNION ALL", "UNION", "EXCEPT", "INTERSECT"])
        return Statement(
            f"SELECT id, status FROM sys_invocation {one} {union}"
            f" SELECT id, status FROM sys_invocation {other}",
            "bag",
        )

    def _of_a_key(self) -> Statement:
        key = self._quoted(self._chance.choice(KEYS))
        service = self._chance.choice(["Cart", "Signup"])
        tables = ["state", "sys_promise", "sys_inbox", "sys_keyed_service_status"]
        table = self._chance.choice(tables)
        names = {"state": " AND key != 'n'", "sys_promise": " AND NOT completed"}
        more = names.get(table, "") if self._chance.random() < 0.5 else ""
        where = f"WHERE service_name = '{service}' AND service_key = {key}{more}"
        return Statement(f"SELECT * FROM {table} {where}", "bag")

    def _of_a_journal(self) -> Statement:
        id = self._chance.choice(self._world.facts).id
        where = self._chance.choice(
            [
                f"id = '{id}'",
                f"id = '{id}' AND index > 0",
                "entry_type LIKE 'Command:%'",
                "index = 1",
            ]
        )
        return Statement(
            "SELECT id, index, entry_type, name, version, entry_json, appended_at FROM sys_journal"
            f" WHERE {where} ORDER BY index DESC, id LIMIT {self._chance.choice([2, 100])}",
            "sequence",
        )

    def _nested(self) -> Statement:
        where = self._where("sys_invocation")
        return Statement(
            self._chance.choice(
                [
                    "SELECT a.status, b.n FROM (SELECT status, count(*) n FROM sys_invocation"
                    f" {where} GROUP BY status) b JOIN (SELECT DISTINCT status FROM sys_invocation)"
                    " a ON a.status = b.status",
                    "SELECT id FROM sys_invocation WHERE created_at = (SELECT max(created_at) FROM"
                    f" sys_invocation {where})",
                    "SELECT id, created_at as id2, (SELECT count(*) FROM sys_deployment) FROM"
                    f" (SELECT id, created_at, status AS target FROM sys_invocation {where}) q"
                    " WHERE target = 'completed'",
                    "SELECT t, count(*) FROM (SELECT target_service_name AS t, status AS s FROM"
                    f" sys_invocation {where}) q WHERE s != 'paused' GROUP BY t",
                    "SELECT id, row_number() OVER (PARTITION BY status ORDER BY created_at, id)"
                    f" FROM sys_invocation {where}",
                    "SELECT x.id FROM (SELECT id, created_at FROM sys_invocation"
                    f" {where} ORDER BY created_at, id LIMIT 20) x WHERE x.id LIKE '%A%'",
                    "SELECT s.id, s.status FROM sys_invocation_status s WHERE EXISTS (SELECT 1 FROM"
                    " sys_invocation_state t WHERE t.id = s.id AND t.in_flight)",
                ]
            ),
            "bag",
        )

    def _distinct(self) -> Statement:
        table = self._invocations()
        columns = ", ".join(self._chance.sample(self._columns(table), 2))
        return Statement(f"SELECT DISTINCT {columns} FROM {table} {self._where(table)}", "bag")

    # --- conditions ----------------------------------------------------------------------------

    def _invocations(self) -> str:
        return self._chance.choice(["sys_invocation", "sys_invocation", "sys_invocation_status"])

    def _texts(self, table: str) -> dict[str, list[str]]:
        return {**_TEXTS, **_OF_STATE_ONLY} if table == "sys_invocation" else _TEXTS

    def _columns(self, table: str) -> list[str]:
        more = ["created_at", "journal_size", "journal_commands_size", "running_at", "target"]
        return [*self._texts(table), *more]

    def _where(self, table: str, prefix: str = "") -> str:
        if self._chance.random() < 0.15:
            return ""
        return f"WHERE {self._condition(table, prefix, 2)}"

    def _condition(self, table: str, prefix: str, depth: int) -> str:
        draw = self._chance.random()
        if depth and draw < 0.5:
            number = self._chance.randrange(2, 4)
            parts = [self._condition(table, prefix, depth - 1) for _ in range(number)]
            word = self._chance.choice([" AND ", " AND ", " OR "])
            return f"({word.join(parts)})"
        if depth and draw < 0.58:
            return f"NOT {self._condition(table, prefix, depth - 1)}"
        return self._leaf(table, prefix)

    def _leaf(self, table: str, prefix: str) -> str:
        texts = self._texts(table)
        name = self._chance.choice(list(texts))
        values = self._chance.choices(texts[name], k=self._chance.choice([1, 2, 5]))
        one, many = self._quoted(values[0]), ", ".join(map(self._quoted, values))
        column = f"{prefix}{name}"
        word = self._chance.choice(["", "NOT "])
        at = NOW + self._chance.randrange(-5, 205)
        when = f"to_timestamp_millis({at})"
        fact = self._chance.choice(self._world.facts)
        operator = self._chance.choice(["=", "!=", "<", "<=", ">", ">="])
        target = self._quoted(fact.target)
        return self._chance.choice(
            [
                f"{column} {self._chance.choice(['=', '==', '!=', '<>'])} {one}",
                f"{column} {operator} {one}",
                f"{column} {word}IN ({many})",
                f"{column} IS {word}NULL",
                f"{prefix}target {word}LIKE {self._quoted(self._chance.choice(_PATTERNS))}",
                f"{column} {word}LIKE {self._quoted(self._chance.choice(['%o%', '_uy', 'C%']))}",
                f"{column} ILIKE {one}",
                f"{prefix}target = {target}",
                f"{prefix}target {word}IN ({target}, 'Shop/buy', 'Cart/add', 'x')",
                f"{prefix}created_at {operator} {when}",
                f"{prefix}modified_at {operator} {when}",
                f"{prefix}id {word}IN ('{fact.id}', '{self._chance.choice(self._world.facts).id}')",
                f"{prefix}id = '{fact.id}'",
                f"{prefix}target_service_name = {prefix}target_handler_name",
                f"lower({prefix}target_service_name) = 'shop'",
                f"{prefix}journal_size {operator} 2",
                f"{prefix}scheduled_start_at IS {word}NULL",
                f"{column} IN ({many}, NULL)",
            ]
        )

    @staticmethod
    def _quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"


_GROUPED_BY: Final = (
    "status", "target_service_name", "target_handler_name", "target_service_key", "target",
    "target_service_ty", "pinned_deployment_id", "completion_result", "invoked_by",
)  # fmt: skip
_AGGREGATES: Final = [
    "count(*)", "count(1) AS n", "min(created_at)", "max(created_at) AS latest",
    "sum(journal_size)",
    "count(target_service_key)", "count(completion_result)", "min(target_service_key)",
    "max(modified_at)", "first_value(created_at ORDER BY created_at ASC) AS oldest",
    "first_value(created_at ORDER BY created_at DESC) AS newest", "sum(1)", "min(status) AS least",
    "count(*) FILTER (WHERE status = 'completed') AS done", "count(DISTINCT target) AS targets",
    "first_value(status ORDER BY status)", "avg(journal_size)", "max(target_handler_name)",
]  # fmt: skip
