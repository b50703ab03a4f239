"""The views of alerts: what came of each episode, and of each rule."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import LakeFixture

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    ("opened_as", "breach_after", "outcome", "lead"),
    [
        ("predicted", 40, "right", 40),
        ("predicted", 0, "right", 0),
        ("predicted", -10, "missed", None),  # the breach had begun before the warning was given
        ("breached", -15, "missed", None),
    ],
)
def test_a_warning_is_right_only_if_it_came_before_its_breach(
    house: LakeFixture, opened_as: str, breach_after: int, outcome: str, lead: int | None
) -> None:
    opened = NOW - timedelta(hours=2)
    breached = opened + timedelta(minutes=breach_after)
    episode = {
        "episode": "e", "server": "a", "metric": "load_average", "rule": "breach", "state": "{}",
    }  # fmt: skip
    house.put("alert_events", [
        episode | {"ts": opened, "event": "opened", "phase": opened_as},
        episode | {
            "ts": max(opened, breached) + timedelta(minutes=15), "event": "changed",
            "phase": "breached", "breached_at": breached,
        },
    ])  # fmt: skip
    house.commit(NOW)
    (row,) = house.reader.query("SELECT outcome, lead_minutes FROM alerts").to_pylist()
    assert row == {"outcome": outcome, "lead_minutes": lead}
    (rule,) = house.reader.query("SELECT correct, missed FROM alert_quality").to_pylist()
    assert rule == {"correct": int(outcome == "right"), "missed": int(outcome == "missed")}
