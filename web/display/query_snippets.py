"""A query as other programs run it: curl, Python and DuckDB."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

__all__ = ["query_snippets"]


def query_snippets(sql: str, site: str, data: Path) -> Mapping[str, str]:
    """Return by name what to paste into a shell, Python or DuckDB.

    `site` is the address of the site with its prefix, without a slash at the end.
    """
    url = f"{site}/sql.csv?{urlencode({'q': sql})}"
    quoted = sql.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    catalog = str(data / "catalog.sqlite").replace("'", "''")
    files = str(data / "lake").replace("'", "''")
    return {
        "curl": f'curl -H "X-API-Key: $HOURSIGHT_KEY" {shlex.quote(url)}',
        "Python": (
            f'import hoursight\n\nrows = hoursight.connect({str(data)!r}).sql("""\n{quoted}\n""")'
        ),
        "DuckDB": (
            "INSTALL ducklake; INSTALL sqlite;\n"
            f"ATTACH 'ducklake:sqlite:{catalog}' AS lake\n"
            f"    (DATA_PATH '{files}/', OVERRIDE_DATA_PATH true, META_JOURNAL_MODE 'WAL', "
            "READ_ONLY);\n"
            f"USE lake;\n{sql};"
        ),
    }
