"""A page's rows as data: JSON, CSV and Parquet."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
from litestar import Response
from pyarrow import csv, parquet

__all__ = ["FORMS", "answer", "encode_json", "paths"]


def encode_json(value: Any) -> bytes:
    """JSON with times in ISO 8601."""
    return msgspec.json.encode(value)


def _json(rows: pa.Table) -> bytes:
    return encode_json(rows.to_pylist())


def _csv(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    csv.write_csv(_flat(rows), out)
    return out.getvalue()


def _flat(rows: pa.Table) -> pa.Table:
    """CSV has no nested values: they are written as JSON."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_nested(field.type):
            texts = [encode_json(v).decode() for v in rows.column(index).to_pylist()]
            rows = rows.set_column(index, field.name, pa.array(texts, pa.string()))
    return rows


def _parquet(rows: pa.Table) -> bytes:
    out = io.BytesIO()
    parquet.write_table(rows, out)
    return out.getvalue()


FORMS: dict[str, tuple[Callable[[pa.Table], bytes], str]] = {
    "json": (_json, "application/json"),
    "csv": (_csv, "text/csv"),
    "parquet": (_parquet, "application/vnd.apache.parquet"),
}


def paths(page: str) -> list[str]:
    """The addresses of a page's twins."""
    return [f"{page}.{form}" for form in FORMS]


def answer(rows: pa.Table, form: str, name: str) -> Response[bytes]:
    """The rows in one of the FORMS; a CSV or Parquet file is called `name`."""
    encode, media_type = FORMS[form]
    headers = {"Cache-Control": "no-store"}
    if form != "json":
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
        headers["Content-Disposition"] = f'attachment; filename="{safe}.{form}"'
    return Response(encode(rows), media_type=media_type, headers=headers)
