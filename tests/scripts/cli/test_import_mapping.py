"""The mapping of an import by its options."""

from pathlib import Path

import pytest

from scripts.cli.import_mapping import ImportOptions, UnknownMapping, mapping_source


def test_without_options_the_stock_names_are_read() -> None:
    assert mapping_source(None, ImportOptions()) == {
        "kind": "files", "connection": {}, "mapping": {},
    }  # fmt: skip


def test_a_metric_is_the_value_of_the_export() -> None:
    options = ImportOptions(metric="cpu_idle_pct", unit="fraction", time_zone="UTC")
    mapping = mapping_source("grafana", options)["mapping"]
    assert mapping["metrics"]["cpu_idle_pct"] == {
        "field": ("value", "Value"), "unit": "fraction",
    }  # fmt: skip
    assert mapping["time"] == {"field": "Time", "zone": "UTC"}


def test_a_source_file_gives_its_mapping_site_and_the_form_of_its_files(tmp_path: Path) -> None:
    like = tmp_path / "shop.toml"
    like.write_text(
        'kind = "files"\nsite = "fra"\n[connection]\ndelimiter = ";"\n'
        '[mapping]\ntime = { field = "t", zone = "UTC" }\n'
    )
    raw = mapping_source(like, ImportOptions(server="a", time_format="epoch_s"))
    assert raw["connection"] == {"delimiter": ";"}
    assert raw["site"] == "fra"
    assert raw["mapping"]["server"] == {"fixed": "a"}
    assert raw["mapping"]["time"] == {"field": "t", "zone": "UTC", "format": "epoch_s"}


def test_a_name_that_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownMapping, match="or one of azure, cloudwatch"):
        mapping_source(str(tmp_path / "gone.toml"), ImportOptions())


def test_the_form_of_a_file_is_stated_by_options() -> None:
    raw = mapping_source(None, ImportOptions(decimal=",", delimiter=";", encoding="latin-1"))
    assert raw["connection"] == {"delimiter": ";", "encoding": "latin-1"}
    assert raw["mapping"] == {"decimal": ","}
