"""Exports of a page's rows: JSON, CSV, Parquet and Arrow."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
from anyio import to_thread
from litestar import Request, Response
from pyarrow import csv, parquet

from storage.model.formula_guard import guarded
from storage.platform.printable import printable_json

__all__ = [
    "FORMATS", "MEDIA_TYPES", "encode_json", "export_response", "exported", "file_response",
    "paths",
]  # fmt: skip


def encode_json(value: Any) -> bytes:
    """Encode dataclasses, dicts and lists as JSON, times as ISO 8601.

    What does not print, such as a character that changes the direction of text, is \\uXXXX.
    """
    return printable_json(msgspec.json.encode(value).decode()).encode()


def _json(rows: pa.Table) -> bytes:
    return encode_json(rows.to_pylist())


def _csv(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    csv.write_csv(_flat(guarded(rows)), out)
    return out.getvalue()


def _flat(rows: pa.Table) -> pa.Table:
    """Return the table with nested values as JSON text, because CSV has none."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            texts = [encode_json(v).decode() for v in rows.column(index).to_pylist()]
            rows = rows.set_column(index, field.name, pa.array(texts, pa.string()))
    return rows


def _arrow(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, rows.schema) as file:
        file.write_table(rows)
    return out.getvalue()


def _parquet(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    parquet.write_table(rows, out)
    return out.getvalue()


# Encoder and media type by file extension.
FORMATS: dict[str, tuple[Callable[[pa.Table], bytes], str]] = {
    "json": (_json, "application/json"),
    "csv": (_csv, "text/csv"),
    "parquet": (_parquet, "application/vnd.apache.parquet"),
    "arrow": (_arrow, "application/vnd.apache.arrow.file"),
}
MEDIA_TYPES = tuple(media_type for _, media_type in FORMATS.values())


def paths(page: str) -> list[str]:
    """Return the paths of a page's exports: `/fleet.json` and so on."""
    return [f"{page}.{extension}" for extension in FORMATS]


def export_response(rows: pa.Table, extension: str, name: str) -> Response[bytes]:
    """Return the rows in one of the FORMATS; all but JSON are downloads named after `name`."""
    encode, media_type = FORMATS[extension]
    return file_response(encode(rows), extension, name, media_type)


def file_response(
    content: bytes, extension: str, name: str, media_type: str, **more: str
) -> Response[bytes]:
    """Return what was encoded already; `more` are further headers."""
    headers = {"Cache-Control": "no-store", **more}
    if extension != "json":
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        headers["Content-Disposition"] = f'attachment; filename="{safe}.{extension}"'
    return Response(content, media_type=media_type, headers=headers)


async def exported(
    request: Request[Any, Any, Any], name: str, read: Callable[[], pa.Table]
) -> Response[bytes]:
    """Return the rows of `read` in the format with which the path ends; both run in a thread."""
    extension = request.url.path.rpartition(".")[2]
    return await to_thread.run_sync(lambda: export_response(read(), extension, name))
