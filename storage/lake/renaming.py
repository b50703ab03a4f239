"""Renaming of stored names that are not valid by storage.model.names.

An earlier release accepted them. DuckLake (1.5.5) writes a filter on `server` as text into its
query for the list of data files, and the catalog's parser ends at a NUL. So every query that
compares with a name that has one fails, for the whole fleet.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

import pyarrow as pa

from storage.lake.transaction import WriteConnection
from storage.model.names import MAX_LENGTH, erased_name, is_name, trimmed
from storage.model.schema import Table
from storage.platform.printable import printable

__all__ = ["new_names", "rename_invalid"]

log = logging.getLogger(__name__)

SUFFIX_LENGTH = 32  # left free for a suffix that makes names distinct


def rename_invalid(connection: WriteConnection) -> Mapping[str, str | None]:
    """Rename servers with invalid names in every table; returns the new name by old name.

    Invalid sites, profiles and sources are corrected too. If nothing is to be done, only
    `server_facts`, which has a row for every server, is read.
    """
    facts = connection.schema.table("server_facts")
    names = _distinct(connection, facts)
    renamed = {c: new_names(v) if c == "server" else _spelled_out(v) for c, v in names.items()}
    if not any(renamed.values()):
        return {}
    began = datetime.now(UTC)
    connection.transaction(lambda: _rename_all(connection, renamed, began))
    for old, new in renamed["server"].items():
        log.warning("server %r renamed to %r: its old name is not valid", old, new)
    return renamed["server"]


def new_names(known: Iterable[str]) -> dict[str, str | None]:
    """A valid name for each invalid one of `known`, distinct from all other names."""
    known = sorted(known)
    taken = {name for name in known if is_name(name)}
    renamed: dict[str, str | None] = {}
    for old in known:
        if not is_name(old):
            new = _free(old, taken)
            renamed[old] = new
            taken.add(new)
    return renamed


def _spelled_out(known: Iterable[str]) -> dict[str, str | None]:
    """A valid spelling of each invalid name; None for a blank one."""
    return {old: _spelling(old) or None for old in known if not is_name(old)}


def _free(old: str, taken: Collection[str]) -> str:
    name = _spelling(old)
    return name if name and name not in taken else f"{name}~{erased_name(old)[-16:]}"


def _spelling(old: str) -> str:
    return trimmed(old) or printable(old)[: MAX_LENGTH - SUFFIX_LENGTH].strip()


def _distinct(connection: WriteConnection, target: Table) -> dict[str, set[str]]:
    """The values of each column of names, by one scan of the table."""
    names = [c.name for c in target.columns if c.is_name]
    lists = ", ".join(f'list(DISTINCT "{name}") FILTER ("{name}" IS NOT NULL)' for name in names)
    [row] = connection.run(f"SELECT {lists} FROM {target.name}").fetchall()
    return {name: set(values or ()) for name, values in zip(names, row, strict=True)}


def _rename_all(
    connection: WriteConnection, renamed: Mapping[str, Mapping[str, str | None]], began: datetime
) -> None:
    for column, names in renamed.items():
        if not names:
            continue
        new = pa.array(list(names.values()), pa.string())
        rows = pa.table({"old": pa.array(list(names), pa.string()), "new": new})
        connection.stage("renamed", rows, "FROM incoming")
        for target in connection.schema.tables:
            if any(c.name == column and c.is_name for c in target.columns):
                # Compared as bytes, so that DuckLake does not put the name into its own query.
                connection.run(
                    f'UPDATE {target.name} SET "{column}" = renamed.new FROM renamed '
                    f'WHERE encode({target.name}."{column}") = encode(renamed.old)'
                )
                connection.sync(target, began)
