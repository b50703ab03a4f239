"""Settings by section: meanings, filters, and changed values first."""

import pytest

from storage.config.settings_origin import SettingOrigin
from web.display.settings_sections import meaning_of, settings_sections

PORT = SettingOrigin("web.port", "8080", False, True)
IDLE = SettingOrigin("web.sessions.idle", '"1h"', True, False)
LIMIT = SettingOrigin("limits.load_average", "4194304.0", False, True)
METRICS = SettingOrigin("metrics", "[]", False, True)
ALL = (IDLE, PORT, LIMIT, METRICS)


def test_sections_with_changed_values_come_first() -> None:
    sections = settings_sections(ALL)
    assert [each.name for each in sections] == ["web.sessions", "limits", "metrics", "web"]
    assert [each.changed for each in sections] == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("query", "changed_only", "keys"),
    [
        ("PORT 8080", False, ["web.port"]), ("the file", False, ["web.sessions.idle"]),
        ("stays logged in", False, ["web.sessions.idle"]), ("nix", False, []),
        ("", True, ["web.sessions.idle"]), ("port", True, []),
    ],
)  # fmt: skip
def test_a_filter_looks_at_key_value_origin_and_meaning(
    query: str, changed_only: bool, keys: list[str]
) -> None:
    sections = settings_sections(ALL, query, changed_only)
    assert [setting.key for each in sections for setting in each.settings] == keys


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("web.sessions", "How long somebody stays logged in"), ("limits", "The largest value"),
        ("channels.mail", "Where messages"), ("nix", ""), ("web.port", ""),
    ],
)  # fmt: skip
def test_a_section_means_what_its_settings_say(section: str, words: str) -> None:
    assert meaning_of(section).startswith(words)
