from datetime import timedelta
from pathlib import Path

import pytest

from storage.config.sample_settings import (
    DeletionSettings,
    DevicePatterns,
    ServerSettings,
    TimeSettings,
    check_server_label,
)
from storage.config.settings import read_settings
from storage.model.profiles import STOCK_PATTERNS
from storage.model.time_limits import TimeLimits


def test_times_are_limits_as_periods() -> None:
    limits = TimeSettings(max_age="7d", max_ahead="1m").limits
    assert limits == TimeLimits(timedelta(days=7), timedelta(minutes=1))


@pytest.mark.parametrize("label", ["instance", ["cluster", "instance"]])
def test_a_server_is_named_by_one_label_or_several(label: str | list[str]) -> None:
    check_server_label(label)


@pytest.mark.parametrize("label", ["", "a-b", [], ["cluster", "9"]])
def test_what_is_not_a_label_is_refused(label: str | list[str]) -> None:
    with pytest.raises(ValueError, match="expected a label such as 'instance'"):
        check_server_label(label)


def test_each_section_names_the_value_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="new_per_hour is 0, expected 1 or more"):
        ServerSettings(new_per_hour=0)
    with pytest.raises(ValueError, match="returning is 'maybe', expected 'accept' or 'refuse'"):
        DeletionSettings(returning="maybe")
    with pytest.raises(ValueError, match=r"exclude has ' ', expected a pattern such as 'wg\*'"):
        DevicePatterns(exclude=[" "])
    with pytest.raises(ValueError, match="max_ahead is '2 apples', expected 1s to 1d"):
        TimeSettings(max_ahead="2 apples")


def test_patterns_replace_the_stock_ones_of_their_profile_only(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[profiles.patterns]\ndatabase = ['DB-*']\n")
    patterns = read_settings(tmp_path).profiles.all_patterns
    assert patterns["database"] == ("db-*",)
    assert patterns["web_api"] == STOCK_PATTERNS["web_api"]


def test_devices_that_count_are_settings(tmp_path: Path) -> None:
    text = "[devices.volumes]\ninclude = ['nfs4']\n[devices.links]\nexclude = ['wg*', 'tun0']\n"
    (tmp_path / "hoursight.toml").write_text(text)
    devices = read_settings(tmp_path).devices
    assert devices.volumes.include == ["nfs4"]
    assert devices.links.exclude == ["wg*", "tun0"]
