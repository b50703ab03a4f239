"""Erasure of a server: its rows in every table, and its name in every text and file."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storage.config.folders import Folders
from storage.lake.attach import SQL, merge_lock
from storage.lake.transaction import WriteConnection
from storage.model.names import erased_name
from storage.model.schema import Table

__all__ = ["erase_rejected", "erase_servers", "names_server", "rewrite_masked", "without_name"]


# Characters that end a name: web-1 is neither web-10 nor my.web-1, nor a letter of any script.
NAME_BOUNDARY = r"[^\p{L}\p{N}_.\-]"


def erase_servers(connection: WriteConnection, requests: pa.Table, began: datetime) -> None:
    """Erase the servers of `requests` (rows of the table deletions), inside a transaction."""
    deletions = connection.schema.table("deletions")
    entries = []
    for request in requests.to_pylist():
        went = _delete(connection, request["server"], began)
        entries.append(request | {"server": erased_name(request["server"]), "went": went})
    connection.append(deletions, pa.Table.from_pylist(entries, deletions.arrow), began)
    for server in requests["server"].to_pylist():
        _replace_name(connection, deletions, server)


def _delete(connection: WriteConnection, server: str, began: datetime) -> list[dict[str, object]]:
    """Delete the server's rows; returns the number of rows by table."""
    went = []
    connection.run(
        "UPDATE truth SET caused_by = NULL WHERE caused_by IN "
        "(SELECT incident_id FROM truth WHERE server = $server)",
        server=server,
    )
    for each in connection.schema.tables:
        if each.name == "deletions":
            continue
        if each.of_server:
            rows = connection.value(
                f"DELETE FROM {each.name} WHERE {each.of_server}", server=server
            )
            if rows:
                went.append({"table": each.name, "rows": rows})
        _replace_name(connection, each, server)
        connection.sync(each, began)
    return went


def _replace_name(connection: WriteConnection, target: Table, server: str) -> None:
    """Replace the server's name in sentences, such as reasons of rejections, by its pseudonym."""
    prose = {c.name: _replaced(f'"{c.name}"', c.type) for c in target.columns if c.prose}
    if not prose:
        return
    changes = ", ".join(f'"{name}" = {expression}' for name, expression in prose.items())
    named = " OR ".join(f'regexp_matches(CAST("{name}" AS VARCHAR), $whole)' for name in prose)
    pattern = _pattern(server)
    # One character between two names belongs to the first match only, so the update is repeated.
    while connection.value(f"SELECT 1 FROM {target.name} WHERE {named} LIMIT 1", whole=pattern):
        connection.run(
            f"UPDATE {target.name} SET {changes} WHERE {named}",
            whole=pattern, instead=rf"\1{erased_name(server)}\2",
        )  # fmt: skip


def names_server(text: str, server: str) -> bool:
    """Return True if a text has the name of a server, and not only as a part of another name."""
    return bool(_whole_name(server).search(text))


def without_name(text: str, server: str) -> str:
    """Return a text with the name of a server replaced by its pseudonym."""
    return _whole_name(server).sub(erased_name(server), text)


def _whole_name(server: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.\-]){re.escape(server)}(?![.\-]*\w|:\d)")


def _pattern(server: str) -> str:
    return f"(^|{NAME_BOUNDARY}){re.escape(server)}([.\\-]*(?:{NAME_BOUNDARY}|$))"


def _replaced(value: str, kind: pa.DataType, depth: int = 0) -> str:
    """SQL expression for `value`, of any type, with the name replaced in its text."""
    if pa.types.is_string(kind):
        return f"regexp_replace({value}, $whole, $instead, 'g')"
    if pa.types.is_list(kind):
        inner = _replaced(f"x{depth}", kind.value_type, depth + 1)
        return f"list_transform({value}, lambda x{depth}: {inner})"
    if pa.types.is_struct(kind):
        fields = (f"{f.name} := {_replaced(f'{value}.{f.name}', f.type, depth)}" for f in kind)
        return f"struct_pack({', '.join(fields)})"
    return value


def rewrite_masked(connection: WriteConnection, target: Table, patience_s: float) -> None:
    """Rewrite files with rows that were erased, completed or replaced; until then they are masked.

    A file with masked rows is never merged. Raises ReadersBusy, with nothing changed, if readers
    leave no gap within `patience_s`: one that plans a query during the COMMIT would miss rows.
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

    connection.transaction(work, lambda: merge_lock(connection.folders, patience_s))


def erase_rejected(folders: Folders, servers: Sequence[str]) -> None:
    """Remove rejected and damaged files, and their reasons, that contain or name such a server."""
    for path in (*folders.rejected.glob("*.parquet"), *folders.committed.glob("*.parquet")):
        _erase_file(path, path.with_suffix(".reason.txt"), servers)
    for record in folders.damaged.glob("*.json"):
        _erase_file(record.with_suffix(""), record, servers)


def _erase_file(path: Path, reason: Path, servers: Sequence[str]) -> None:
    text = reason.read_text() if reason.exists() else ""
    if _contains(path, servers) or any(names_server(text, server) for server in servers):
        path.unlink(missing_ok=True)
        reason.unlink(missing_ok=True)


def _contains(path: Path, servers: Iterable[str]) -> bool:
    """Return True if a file has a row of one of the servers, or cannot be read."""
    try:
        rows = pq.read_table(path)
        texts = [c for c in map(_plain, rows.columns) if pa.types.is_string(c.type)]
        return any(pc.any(pc.is_in(c, pa.array(servers, c.type))).as_py() for c in texts)
    except (pa.ArrowException, OSError):
        return True


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return text of any Arrow type as strings, and other columns as they are."""
    kind = column.type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    wanted = pa.string() if is_text else kind
    return column if column.type == wanted else column.cast(wanted)
