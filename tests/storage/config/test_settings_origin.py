"""Settings with their origin."""

from pathlib import Path

from storage.config.settings_origin import SettingOrigin, settings_with_origins


def test_settings_of_the_file_come_first_and_all_others_are_defaults(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text('[retention]\nmetrics = "3d"\n[web]\nport = 1\n')
    found = settings_with_origins(tmp_path)
    assert found[:2] == (
        SettingOrigin("web.port", "1", True),
        SettingOrigin("retention.metrics", '"3d"', True),
    )
    assert {each.key for each in found} >= {"web.host", "lake.catalog", "times.max_age"}
    assert not any(each.in_file for each in found[2:])


def test_each_value_is_written_as_in_the_file(tmp_path: Path) -> None:
    values = {each.key: each.value for each in settings_with_origins(tmp_path)}
    assert (values["web.port"], values["web.host"]) == ("8080", '"127.0.0.1"')
    assert values["sources.host.enabled"] == "true"
