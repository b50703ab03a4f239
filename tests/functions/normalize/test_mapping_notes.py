"""What a mapping leaves unused is said once."""

from typing import Any

from functions.normalize.columns import columns_of
from functions.normalize.mapping import read_mapping
from functions.normalize.mapping_notes import MappingNotes

FLAT = {"server": "a", "timestamp": "t", "rx": 1}


def notes(mapping: dict[str, Any], records: list[dict[str, Any]], rows: int = 1) -> tuple[str, ...]:
    return MappingNotes(read_mapping(mapping)).of(columns_of(records), len(records), rows)


def test_a_field_that_is_no_metric_for_certain_is_named_with_the_reason() -> None:
    unmapped = [{"field": "rx", "why": "its unit is not known"}]
    assert notes({"unmapped": unmapped}, [FLAT]) == ("rx is not mapped: its unit is not known",)
    assert notes({"unmapped": unmapped}, [{"server": "a"}]) == ()


def test_a_field_that_the_user_has_mapped_is_not_named() -> None:
    unmapped = [{"field": "rx", "why": "its unit is not known"}]
    metrics = {"net_in_mb_s": {"field": "rx", "unit": "bytes_s"}}
    assert notes({"unmapped": unmapped, "metrics": metrics}, [FLAT]) == ()


def test_each_note_is_given_once() -> None:
    given = MappingNotes(read_mapping({"unmapped": [{"where": {"server": "a"}, "why": "x"}]}))
    assert given.of(columns_of([FLAT]), 1, 1) == ("server = a is not mapped: x",)
    assert given.of(columns_of([FLAT]), 1, 1) == ()


def test_without_any_row_a_filter_or_pattern_that_matches_nothing_is_named() -> None:
    assert notes({"where": {"server": "b"}}, [FLAT], rows=0) == (
        "no record matches mapping.where (server = b)",
    )
    wide = {"columns": {"pattern": "(?P<host>x.*)"}}
    assert notes(wide, [FLAT], rows=0) == (
        "no column matches mapping.columns.pattern (the columns are rx, server, timestamp)",
    )
    assert notes(wide, [FLAT], rows=1) == notes(wide, [], rows=0) == ()
