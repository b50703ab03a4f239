"""Renaming of names that an earlier release took and the rule of storage.model.names refuses.

A NUL in a name is the reason: DuckLake (1.5.5) writes a filter on `server` as text into its query
for the list of data files, and the catalog's parser ends at the NUL. Every query that compares
with such a name fails, for the whole fleet.
"""

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime

import pyarrow as pa

from storage.lake.erasure import erased_name
from storage.lake.transaction import WriteConnection
from storage.model.names import MAX_LENGTH, escaped, is_name, trimmed
from storage.model.schema import Column, Table

__all__ = ["new_names", "rename_invalid"]

log = logging.getLogger("writer")

MARK_LENGTH = 32  # left free for what tells two names apart


def rename_invalid(writer: WriteConnection) -> Mapping[str, str | None]:
    """Rename in every table the servers whose names are invalid; old and new names.

    Their sites and profiles are written anew too. Only `server_facts`, which has a row of every
    known server, is read where there is nothing to do.
    """
    facts = writer.schema.table("server_facts")
    names = {c.name: _distinct(writer, facts, c) for c in facts.columns if c.is_name}
    renamed = {c: new_names(v) if c == "server" else _spelled_out(v) for c, v in names.items()}
    if not any(renamed.values()):
        return {}
    began = datetime.now(UTC)
    writer.transaction(lambda: _rename_all(writer, renamed, began))
    for old, new in renamed["server"].items():
        log.warning("the server %r is now called %r: its old name was not valid", old, new)
    return renamed["server"]


def new_names(known: Iterable[str]) -> dict[str, str | None]:
    """A valid name for each of `known` that is not; no two and none of the others are the same."""
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
    """A valid spelling of each that is invalid; None for a blank one."""
    return {old: _spelling(old) or None for old in known if not is_name(old)}


def _free(old: str, taken: Collection[str]) -> str:
    name = _spelling(old)
    return name if name and name not in taken else f"{name}~{erased_name(old)[-16:]}"


def _spelling(old: str) -> str:
    return trimmed(old) or escaped(old)[: MAX_LENGTH - MARK_LENGTH].strip()


def _distinct(writer: WriteConnection, target: Table, column: Column) -> set[str]:
    return writer.column(
        f'SELECT DISTINCT "{column.name}" FROM {target.name} WHERE "{column.name}" IS NOT NULL'
    )


def _rename_all(
    writer: WriteConnection, renamed: Mapping[str, Mapping[str, str | None]], began: datetime
) -> None:
    for column, names in renamed.items():
        if not names:
            continue
        new = pa.array(list(names.values()), pa.string())
        rows = pa.table({"old": pa.array(list(names), pa.string()), "new": new})
        writer.stage("renamed", rows, "FROM incoming")
        for target in writer.schema.tables:
            if any(c.name == column and c.is_name for c in target.columns):
                # Compared as bytes, so that no name gets into the filter of DuckLake's own query.
                writer.run(
                    f'UPDATE {target.name} SET "{column}" = renamed.new FROM renamed '
                    f'WHERE encode({target.name}."{column}") = encode(renamed.old)'
                )
                writer.sync(target, began)
