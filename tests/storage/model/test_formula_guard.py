"""CSV for a spreadsheet: nothing that a sender named is calculated, and nothing is lost."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from storage.model.formula_guard import guarded

# As docs/sql.md has it.
GUARDED = re.compile("'['\\s]*[=+\\-@\uff1d\uff0b\uff0d\uff20]")
FORMULAS = [
    "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "'=1", "''=1", "' =1",
    "\uff1d1", "=", "-",
]  # fmt: skip
HARMLESS = ["web-1", "a=b", "'quoted'", "", " ", "it's", "5 - 3", "\u2212", "1e-5", "-5", "+1.5e-3"]


def restored(text: str) -> str:
    return text[1:] if GUARDED.match(text) else text


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_calculates_gets_a_quote(text: str) -> None:
    assert guarded(pa.table({"server": [text]}))["server"].to_pylist() == ["'" + text]


@pytest.mark.parametrize("text", FORMULAS + HARMLESS)
def test_the_original_is_restored_by_removing_one_quote(text: str) -> None:
    shown = guarded(pa.table({"server": [text]}))["server"][0].as_py()
    assert restored(shown) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    rows = pa.table({"server": [text, None]})
    assert guarded(rows).equals(rows)


def test_numbers_stay_numbers_and_dictionaries_of_text_are_guarded() -> None:
    rows = pa.table(
        {"x": [-1.5, None], "name": pa.array(["=1", "a"]).dictionary_encode(), "=cmd": ["a", "b"]}
    )
    assert guarded(rows).to_pydict() == {
        "x": [-1.5, None], "name": ["'=1", "a"], "'=cmd": ["a", "b"],
    }  # fmt: skip


def test_the_documentation_has_the_rule_and_its_reverse() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
    assert "one `'` before" in text
    assert "JSON and Parquet are exact" in text
