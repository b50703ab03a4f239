"""Names of the functions and tables in one SQL statement, as DuckDB parses it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import duckdb

from storage.errors import HoursightError

__all__ = ["NotOneRead", "StatementNames", "explained_part", "names_of"]

SELECT, EXPLAIN, CREATE = (
    duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.CREATE,
)  # fmt: skip
KEYWORD, IDENTIFIER = duckdb.token_type.keyword, duckdb.token_type.identifier
WORD = re.compile(r""""(?:[^"]|"")*"|'(?:[^']|'')*'|[\w$]+""")
# Keywords before a parenthesis that are not functions.
CLAUSES = frozenset({
    "columns", "exclude", "filter", "include", "over", "pivot", "rename", "replace", "unpivot",
    "values", "within", "materialized",
})  # fmt: skip
TOO_DEEP = "its expressions are nested too deeply to be checked"


class NotOneRead(HoursightError):
    """The text is not one SELECT or EXPLAIN; the message says what it is and what is expected."""

    def __init__(self, what: str, expected: str) -> None:
        super().__init__(what, expected)
        self.what, self.expected = what, expected


@dataclass(frozen=True, slots=True)
class StatementNames:
    """The names in a statement, in lower case.

    `either` are functions that may be table functions or not.
    """

    functions: frozenset[str]
    table_functions: frozenset[str]
    tables: frozenset[str]
    either: frozenset[str] = frozenset()


def names_of(connection: duckdb.DuckDBPyConnection, sql: str) -> StatementNames:
    """The names in `sql`, which must be one SELECT, or EXPLAIN of one.

    Raises NotOneRead, and duckdb.ParserException for invalid SQL.
    """
    statements = connection.extract_statements(sql.rstrip().rstrip(";"))
    types = [statement.type for statement in statements]
    if types == [SELECT]:
        return _names_in_tree(_tree(connection, sql))
    if types == [EXPLAIN]:
        return names_of(connection, _explained(connection, sql))
    if _is_pivot(statements):
        return _names_in_tokens(sql)
    if len(types) == 1:
        raise NotOneRead(f"{types[0].name} statement", "one SELECT or EXPLAIN is expected")
    raise NotOneRead(f"text of {len(types)} statements", "one SELECT or EXPLAIN is expected")


def _is_pivot(statements: list[duckdb.Statement]) -> bool:
    """Return True for a PIVOT that takes its columns from the data.

    The parser turns it into several statements without text: all but the last create a temporary
    type from the columns' names.
    """
    types = [statement.type for statement in statements]
    return (
        len(types) > 1
        and types == [CREATE] * (len(types) - 1) + [SELECT]
        and not any(statement.query for statement in statements)
    )


def explained_part(connection: duckdb.DuckDBPyConnection, sql: str) -> str | None:
    """The SELECT that EXPLAIN shows the plan of: `sql` itself, or what comes after its EXPLAIN.

    None for a PIVOT that takes its columns from the data, of which there is no single plan.
    """
    statements = connection.extract_statements(sql.rstrip().rstrip(";"))
    if _is_pivot(statements):
        return None
    return _explained(connection, sql) if statements[0].type == EXPLAIN else sql


def _explained(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The statement after EXPLAIN and its options."""
    rest = _tokens(sql)[1:]
    while rest and rest[0].text.lower() in ("analyze", "verbose"):
        rest = rest[1:]
    text = sql[rest[0].at :] if rest else ""
    if text.startswith("(") and not _is_select(connection, text):
        text = sql[next(token.at for token in rest if token.text == ")") + 1 :]
    if not _is_select(connection, text):
        raise NotOneRead("EXPLAIN of another statement", "EXPLAIN of one SELECT is expected")
    return text


def _is_select(connection: duckdb.DuckDBPyConnection, sql: str) -> bool:
    try:
        return [s.type for s in connection.extract_statements(sql)] == [SELECT]
    except duckdb.ParserException:
        return False


def _tree(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    # A literal: a parameter would make the client load pandas.
    literal = "'" + sql.replace("'", "''") + "'"
    row = connection.execute(f"SELECT json_serialize_sql({literal})").fetchone()
    assert row is not None
    try:
        tree = json.loads(row[0])
    except RecursionError:
        raise NotOneRead("this statement", TOO_DEEP) from None
    if tree["error"]:
        raise NotOneRead("this statement", f"it cannot be checked ({tree['error_message']})")
    return tree


def _names_in_tree(tree: Any) -> StatementNames:
    functions, in_from, tables = set(), set(), set()
    for node in _nodes(tree):
        if node.get("type") == "TABLE_FUNCTION":
            in_from.add(str(node["function"].get("function_name", "")).lower())
        elif "function_name" in node:
            functions.add(str(node["function_name"]).lower())
        if node.get("table_name"):
            tables.add(str(node["table_name"]).lower())
    return StatementNames(frozenset(functions - in_from), frozenset(in_from), frozenset(tables))


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Every object of a JSON tree; without recursion, because statements may be nested deeply."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            yield node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    kind: Any
    text: str


def _tokens(sql: str) -> list[_Token]:
    raw = sql.encode()
    tokens = []
    start = before = 0
    for at, kind in duckdb.tokenize(sql):  # in bytes; a comment belongs to the token before it
        start, before = start + len(raw[before:at].decode()), at
        match = WORD.match(sql, start)
        tokens.append(_Token(start, kind, match[0] if match else sql[start]))
    return tokens


def _names_in_tokens(sql: str) -> StatementNames:
    """All words that may be names: possibly more than the statement uses, never fewer."""
    tokens = _tokens(sql)
    names = {_plain(token.text) for token in tokens}
    called = {
        _plain(token.text)
        for token, after in pairwise(tokens)
        if token.kind in (IDENTIFIER, KEYWORD) and after.text == "("
    }
    called -= CLAUSES | _reserved()
    return StatementNames(frozenset(), frozenset(), frozenset(names), frozenset(called))


def _plain(name: str) -> str:
    quote = name[0]
    if quote in "\"'":
        name = name[1:-1].replace(quote * 2, quote)
    return name.lower()


@cache
def _reserved() -> frozenset[str]:
    """Keywords that cannot name a function."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        ).fetchall()
    return frozenset(name for (name,) in rows)
