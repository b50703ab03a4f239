"""A query for other programs."""

import ast
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from web.display.query_snippets import query_snippets

SQL = "SELECT 'it''s \"\"\" $x \\n'\nFROM metrics"
SNIPPETS = query_snippets(SQL, "https://hs.example/prefix", Path("/srv/o'neil"))


def test_curl_asks_for_the_same_query() -> None:
    words = shlex.split(SNIPPETS["curl"])
    url = urlsplit(words[-1])
    assert url.path == "/prefix/sql.csv"
    assert parse_qs(url.query) == {"q": [SQL]}


def test_python_has_the_query_as_it_is() -> None:
    calls = [node for node in ast.walk(ast.parse(SNIPPETS["Python"])) if isinstance(node, ast.Call)]
    texts = [a.value for call in calls for a in call.args if isinstance(a, ast.Constant)]
    assert [str(text).strip() for text in texts] == [SQL, "/srv/o'neil"]


def test_duckdb_attaches_the_catalog() -> None:
    assert "'ducklake:sqlite:/srv/o''neil/catalog.sqlite'" in SNIPPETS["DuckDB"]
    assert SNIPPETS["DuckDB"].endswith(f"USE lake;\n{SQL};")
