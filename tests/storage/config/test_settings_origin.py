"""Settings with their origin."""

from pathlib import Path

from storage.config.settings_origin import SettingOrigin, settings_with_origins


def test_settings_that_differ_from_the_defaults_come_first(tmp_path: Path) -> None:
    text = '[retention]\nmetrics = "3d"\n[web]\nport = 1\nhost = "127.0.0.1"\n'
    (tmp_path / "hoursight.toml").write_text(text)
    found = settings_with_origins(tmp_path)
    assert found[:2] == (
        SettingOrigin("web.port", "1", in_file=True, is_default=False),
        SettingOrigin("retention.metrics", '"3d"', in_file=True, is_default=False),
    )
    origins = {each.key: each.origin for each in found}
    assert origins["web.port"] == "the file"
    assert origins["web.host"] == "the file, as the default"
    assert origins["lake.catalog"] == "default"


def test_each_value_is_written_as_in_the_file(tmp_path: Path) -> None:
    values = {each.key: each.value for each in settings_with_origins(tmp_path)}
    assert (values["web.port"], values["web.host"]) == ("8080", '"127.0.0.1"')
    assert values["sources.host.enabled"] == "true"
    assert values["devices.volumes.include"] == "[]"
