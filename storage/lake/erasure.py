"""Deleting a server: its rows go from every table, its name from every sentence and file."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.config.folders import Folders
from storage.lake.attach import SQL
from storage.lake.transaction import WriteConnection
from storage.model.schema import Table

__all__ = ["erase_rejected", "erase_servers", "erased_name", "rewrite_after_erasure"]


# What may stand beside a name that is the whole name: web-1 is neither web-10 nor my.web-1.
NO_NAME = r"[^A-Za-z0-9_.\-]"


def erased_name(server: str) -> str:
    """What stands for a deleted server where it has to be told from others."""
    return "deleted-" + hashlib.sha256(server.encode()).hexdigest()[:16]


def erase_servers(connection: WriteConnection, asked: pa.Table, began: datetime) -> None:
    """Delete the servers of `asked` (rows of the table deletions), inside of a transaction."""
    ledger = connection.schema.table("deletions")
    entries = []
    for request in asked.to_pylist():
        went = _delete(connection, request["server"], began)
        entries.append(request | {"server": erased_name(request["server"]), "went": went})
    connection.append(ledger, pa.Table.from_pylist(entries, ledger.arrow), began)
    for server in asked["server"].to_pylist():
        _scrub(connection, ledger, server)


def _delete(connection: WriteConnection, server: str, began: datetime) -> list[dict[str, object]]:
    went = []
    connection.run(
        "UPDATE truth SET caused_by = NULL WHERE caused_by IN "
        "(SELECT incident_id FROM truth WHERE server = $server)",
        server=server,
    )
    for each in connection.schema.tables:
        if each.name == "deletions":
            continue
        if "server" in each.names:
            rows = connection.value(
                f"DELETE FROM {each.name} WHERE server = $server", server=server
            )
            if rows:
                went.append({"table": each.name, "rows": rows})
        _scrub(connection, each, server)
        connection.sync(each, began)
    return went


def _scrub(connection: WriteConnection, target: Table, server: str) -> None:
    """Put the erased_name where sentences, such as reasons of refusals, name the server."""
    prose = {c.name: _scrubbed(f'"{c.name}"', c.type) for c in target.columns if c.prose}
    if not prose:
        return
    changes = ", ".join(f'"{name}" = {expression}' for name, expression in prose.items())
    named = " OR ".join(f'regexp_matches(CAST("{name}" AS VARCHAR), $whole)' for name in prose)
    told = {"whole": _whole(server), "instead": rf"\1{erased_name(server)}\2"}
    # Where two names have one sign between them, that sign belongs to the first match only.
    while connection.value(
        f"SELECT 1 FROM {target.name} WHERE {named} LIMIT 1", whole=told["whole"]
    ):
        connection.run(f"UPDATE {target.name} SET {changes} WHERE {named}", **told)


def _whole(server: str) -> str:
    return f"(^|{NO_NAME}){re.escape(server)}([.\\-]*(?:{NO_NAME}|$))"


def _scrubbed(value: str, kind: pa.DataType, depth: int = 0) -> str:
    """SQL for `value`, of a type that holds text, without the server's name."""
    if pa.types.is_string(kind):
        return f"regexp_replace({value}, $whole, $instead, 'g')"
    if pa.types.is_list(kind):
        inner = _scrubbed(f"x{depth}", kind.value_type, depth + 1)
        return f"list_transform({value}, lambda x{depth}: {inner})"
    if pa.types.is_struct(kind):
        fields = (f"{f.name} := {_scrubbed(f'{value}.{f.name}', f.type, depth)}" for f in kind)
        return f"struct_pack({', '.join(fields)})"
    return value


def rewrite_after_erasure(connection: WriteConnection, target: Table) -> None:
    """Write files anew from which a server was deleted: until then its rows are only masked.

    Readers need no guard: a replaced file stays listed for the snapshots that it belongs to.
    """
    if not connection.value((SQL / "masked.sql").read_text(), name=target.name):
        return
    before = datetime.now(UTC)

    def work() -> None:
        connection.run(
            "CALL ducklake_rewrite_data_files('lake', $name, delete_threshold => 0)",
            name=target.name,
        )
        connection.sync(target, before)

    connection.transaction(work)


def erase_rejected(folders: Folders, servers: Sequence[str]) -> None:
    """Remove files that were put aside and hold or name one of the servers, with their reasons."""
    for path in (*folders.rejected.glob("*.parquet"), *folders.committed.glob("*.parquet")):
        reason = path.with_suffix(".reason.txt")
        told = reason.read_text() if reason.exists() else ""
        if _holds(path, servers) or any(server in told for server in servers):
            path.unlink()
            reason.unlink(missing_ok=True)


def _holds(path: Path, servers: Iterable[str]) -> bool:
    """Whether a file has a row of one of the servers; one that cannot be read may have."""
    try:
        rows = pq.read_table(path)
        texts = [c for c in rows.columns if pa.types.is_string(c.type)]
        return any(pc.any(pc.is_in(c, pa.array(servers, c.type))).as_py() for c in texts)
    except (pa.ArrowException, OSError):
        return True
