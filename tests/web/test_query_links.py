"""Links to the query behind a figure."""

from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.site_lakes import SiteLakeWriter
from web.lake_session import LakeSession
from web.query_links import literal, query_text, query_url

NOW = datetime(2026, 5, 6, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"), (True, "TRUE"), (3, "3"), (0.5, "0.5"), ("it's", "'it''s'"),
        (NOW, "TIMESTAMPTZ '2026-05-06 12:30:00+00:00'"), (date(2026, 5, 6), "DATE '2026-05-06'"),
        (["a", "b"], "['a', 'b']"),
    ],
)  # fmt: skip
def test_a_value_is_written_as_sql(value: object, expected: str) -> None:
    assert literal(value) == expected


def test_a_value_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes has no literal"):
        literal(b"x")


def test_the_query_of_a_link_answers_as_the_one_of_the_page(fleet: SiteLakeWriter) -> None:
    session = LakeSession(fleet.folders.data)
    now = datetime.now(UTC)
    link = query_url("server", server="<b>x</b>", now=now, erased="x")
    (text,) = parse_qs(urlsplit(link).query)["q"]
    with session.snapshot() as reader:
        rows = reader.query(text).to_pylist()
    session.close()
    assert [row["server"] for row in rows] == ["<b>x</b>"]
    assert "$" not in query_text("server", server="it's", now=now, erased="x")
