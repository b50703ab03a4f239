import logging
import threading
from pathlib import Path

import pytest

from storage.config.settings import Settings, SettingsError, read_settings, settings_in_force
from storage.config.settings_file import SettingsFile, SettingsMonitor

SOON_S = 30.0
PORT = "[web]\nport = 8123\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "hoursight.toml").write_text("[web]\nport = 8001\n")
    return tmp_path / "hoursight.toml"


def opened(file: Path) -> SettingsFile:
    return SettingsFile(file.parent, read_settings(file.parent))


def test_an_edit_is_read_at_the_next_reload(file: Path) -> None:
    settings = opened(file)
    assert not settings.reload()
    file.write_text(PORT)
    assert settings.reload()
    assert settings.settings.web.port == 8123
    assert not settings.reload()


def test_a_comment_changes_nothing(file: Path) -> None:
    settings = opened(file)
    file.write_text(file.read_text() + "# said\n")
    assert not settings.reload()


def test_an_invalid_edit_is_reported_once_and_the_previous_settings_stay(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = opened(file)
    file.write_text("[web]\nport = 'eighty'\n")
    with caplog.at_level(logging.WARNING):
        assert not settings.reload()
        assert not settings.reload()
    assert settings.settings.web.port == 8001
    (record,) = caplog.records
    assert "port" in record.getMessage()
    assert str(file) in record.getMessage()
    file.write_text(PORT)
    assert settings.reload()


@pytest.mark.parametrize("absent", [True, False])
def test_a_file_that_an_editor_is_just_writing_is_not_taken_for_one_without_settings(
    file: Path, absent: bool
) -> None:
    settings = opened(file)
    file.unlink()
    if not absent:
        file.touch()
    assert not settings.reload()
    file.write_text(PORT)
    assert settings.reload()
    assert settings.settings.web.port == 8123


def test_a_file_that_stays_absent_means_the_defaults(file: Path) -> None:
    settings = opened(file)
    file.unlink()
    assert [settings.reload(), settings.reload()] == [False, True]
    assert settings.settings == Settings()


def test_a_process_keeps_the_last_valid_settings(file: Path) -> None:
    read_settings(file.parent)
    file.write_text("[web")
    assert settings_in_force(file.parent).web.port == 8001
    with pytest.raises(SettingsError):
        read_settings(file.parent)


def test_without_previous_valid_settings_an_error_is_raised(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[web")
    with pytest.raises(SettingsError):
        settings_in_force(tmp_path)


def test_only_a_change_of_its_own_sections_stops_a_process(file: Path) -> None:
    stops = {name: threading.Event() for name in ("web", "sources")}
    monitors = {name: SettingsMonitor(opened(file), (name,), stop) for name, stop in stops.items()}
    file.write_text(PORT)
    assert stops["web"].wait(SOON_S)
    assert monitors["web"].changed
    assert not stops["sources"].is_set()
    file.write_text(PORT + "[sources.host]\nenabled = false\n")
    assert stops["sources"].wait(SOON_S)
    assert monitors["sources"].changed


def test_a_process_that_is_stopped_for_another_reason_has_no_change(file: Path) -> None:
    stop = threading.Event()
    monitor = SettingsMonitor(opened(file), ("web",), stop)
    stop.set()
    file.write_text(PORT)
    assert not monitor.changed
