"""The section on deliveries of docs/loop.md: its settings, its query and its numbers."""

import re
from pathlib import Path

from functions.delivery import fleet_liveness, heartbeat_thread, outbox
from functions.delivery.channels.alertmanager import CYCLES
from storage.config.channel_settings import CHANNEL_KINDS
from storage.config.settings import read_settings
from tests.conftest import LakeFixture

TEXT = (Path(__file__).parents[1] / "docs" / "loop.md").read_text()
SECTION = TEXT.partition("\n## Deliveries\n")[2].partition("\n## ")[0]
PROSE = " ".join(SECTION.split())


def fenced(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_settings_shown_are_valid_and_have_every_kind(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text(fenced("toml"))
    settings = read_settings(tmp_path)
    assert {each.kind for each in settings.channels.values()} == set(CHANNEL_KINDS)
    assert settings.heartbeat.is_set


def test_the_query_shown_runs(house: LakeFixture) -> None:
    assert house.reader.query(fenced("sql")).num_rows == 0


def test_the_numbers_shown_are_those_of_the_code() -> None:
    assert CYCLES == 3
    assert outbox.LEASE.total_seconds() == 120
    assert outbox.GIVE_UP_AFTER.total_seconds() == 24 * 3600
    assert (outbox.FIRST_PAUSE_S, outbox.LONGEST_PAUSE_S) == (5, 300)
    low, high = (round(100 * share) for share in fleet_liveness.COVERAGE_80)
    assert f"held {low} to {high} %" in PROSE
    assert f"at least {100 * fleet_liveness.LEAST_SHARE:.0f} % of the servers" in PROSE
    assert f"fewer than {fleet_liveness.LEAST_TARGETS:,} targets" in PROSE
    assert f"or {fleet_liveness.LEAST_HOURS} hours of them" in PROSE
    minutes = heartbeat_thread.OLD_JUDGEMENT.total_seconds() / 60
    assert f"the heartbeat stops after {minutes:.0f} minutes" in PROSE
