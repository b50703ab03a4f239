"""DuckDB extensions, loaded from their Python packages: a user without a home folder needs none."""

from importlib.util import find_spec
from pathlib import Path

import duckdb

from storage.errors import HoursightError

__all__ = ["ExtensionMissing", "load_extension"]


class ExtensionMissing(HoursightError):
    """A package that this kind of catalog needs is not installed; the message names it."""


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension from the file in its Python package. Raises ExtensionMissing."""
    path = _file_of(name)
    if path is None:
        extra = "[postgres]" if name == "postgres_scanner" else ""
        raise ExtensionMissing(
            f"DuckDB extension {name} is missing: pip install 'hoursight{extra}'"
        )
    quoted = str(path).replace("'", "''")
    connection.execute(f"LOAD '{quoted}'")


def _file_of(name: str) -> Path | None:
    """The file of an extension for this version of DuckDB; None if it is not installed."""
    spec = find_spec(f"duckdb_extension_{name}")
    version = f"v{duckdb.__version__}"
    for package in (spec.submodule_search_locations or []) if spec else []:
        path = Path(package, "extensions", version, f"{name}.duckdb_extension")
        if path.is_file():
            return path
    return None
