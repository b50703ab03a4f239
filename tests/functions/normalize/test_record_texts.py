"""Names of servers, sites and profiles out of records."""

import pyarrow as pa
import pytest

from functions.normalize.columns import columns_of
from functions.normalize.mapping import Text
from functions.normalize.record_texts import names_of, shown, texts_of
from storage.model.reject_log import RejectLog

RECORDS = [{"h": "web01:9100", "t": ["site:fra1"]}, {"h": None}, {"i": " web02 "}]


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (Text(field="h"), ["web01:9100", None, None]),
        (Text(field=("h", "i")), ["web01:9100", None, " web02 "]),
        (Text(field="h", pattern="([^:]+)"), ["web01", None, None]),
        (Text(field="h", pattern="^x(.)|:(.*)$"), ["9100", None, None]),
        (Text(field="h", pattern="(x)"), [None, None, None]),
        (Text(field="t", prefix="site:"), ["fra1", None, None]),
        (Text(field="t", prefix="site:", values={"fra1": "Frankfurt"}), ["Frankfurt", None, None]),
        (Text(fixed="web09"), ["web09", "web09", "web09"]),
    ],
)
def test_a_text_is_found_as_the_mapping_says(text: Text, texts: list[str | None]) -> None:
    assert texts_of(columns_of(RECORDS), text, 3) == texts


def test_texts_of_a_table_are_the_same() -> None:
    columns = columns_of(pa.table({"h": ["web01", "", None], "n": [1, 2, 3]}))
    assert texts_of(columns, Text(field="h"), 3) == ["web01", None, None]
    assert texts_of(columns, Text(field="n"), 3) == ["1", "2", "3"]


def test_a_field_that_no_record_has_is_none() -> None:
    assert texts_of(columns_of(RECORDS), Text(field="gone"), 3) is None


def test_names_are_trimmed_and_invalid_ones_refused() -> None:
    rejects = RejectLog()
    columns = columns_of([{"h": " a "}, {"h": "b\x00"}])
    assert names_of(columns, "server", Text(field="h"), rejects, 2) == ["a", None]
    assert rejects.count == 1


def test_a_long_value_is_cut_in_messages() -> None:
    assert len(shown("x" * 500)) == 60
