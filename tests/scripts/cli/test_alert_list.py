"""`hoursight alerts`: the list, one episode, the rules, and marks about them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scripts.cli import cli
from tests.conftest import LakeFixture
from tests.functions.module_lakes import house_at

NOW = datetime.now(UTC)
ROUTE = """
[routes]
critical = "mine"
[escalation]
mine = { to = ["pager"], after = "10m", then = "boss" }
boss = { to = ["boss"] }
"""
STATE = '{"opened_at":"2026-05-06T12:00:00Z","opened_as":"predicted"}'


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with an open warning, an open breach and an episode that ended yesterday."""
    with house_at(tmp_path_factory.mktemp("alerts")) as house:
        events = []
        for episode, phase, severity, age in (
            ("aa11", "predicted", "Warning", 1), ("ab22", "breached", "Critical", 2),
            ("cc33", "withdrawn", "Warning", 24),
        ):  # fmt: skip
            known: dict[str, Any] = {"episode": episode, "server": f"s-{episode}"}
            known |= {"metric": "mem_used_pct"}
            known |= {"rule": "breach", "severity": severity, "state": STATE, "value": 91.0}
            known |= {"p": 0.34, "lead_minutes": 60, "channels": "team", "reasons": ["it climbs"]}
            ts = NOW - timedelta(hours=age)
            events.append(known | {"ts": ts, "event": "opened", "phase": phase, "why": "odds rose"})
        house.put("alert_events", events)
        house.commit(NOW)
        yield house


def called(house: LakeFixture, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["alerts", "--data", str(house.folders.data), *arguments])


def test_the_open_alerts_are_listed_the_worst_first(house: LakeFixture) -> None:
    shown = called(house).stdout
    assert shown.index("ab22") < shown.index("aa11")
    assert "cc33" not in shown
    assert "mem_used_pct 91 %, 34 % within 1 h" in " ".join(shown.split())


def test_the_history_has_those_that_ended_too(house: LakeFixture) -> None:
    assert "cc33" in called(house, "list", "--history").stdout


def test_an_episode_is_shown_by_the_beginning_of_its_id(house: LakeFixture) -> None:
    shown = called(house, "show", "aa").stdout
    assert "episode aa11: s-aa11" in shown
    assert "it climbs" in shown


@pytest.mark.parametrize(
    ("beginning", "named"),
    [("zz", "no episode begins with 'zz'"), ("a", "several episodes begin with 'a': aa11, ab22")],
)
def test_an_id_that_fits_none_or_several_is_refused(
    house: LakeFixture, beginning: str, named: str
) -> None:
    assert named in str(called(house, "show", beginning).exception)


def test_an_answer_is_left_in_the_inbox_as_a_mark(house: LakeFixture) -> None:
    done = called(house, "ack", "aa", "--by", "ann", "--note", "seen")
    assert (done.exit_code, done.stdout) == (0, "acknowledged: s-aa11\n")
    house.commit(NOW + timedelta(seconds=1))
    (row,) = house.reader.query("SELECT kind, episode, made_by, note FROM marks").to_pylist()
    assert row == {"kind": "acknowledged", "episode": "aa11", "made_by": "ann", "note": "seen"}


def test_a_silence_says_until_when(house: LakeFixture) -> None:
    assert "silence: db* until 2" in called(house, "silence", "db*", "--for", "2h").stdout
    bad = called(house, "silence", "db*", "--for", "2 hours")
    assert (bad.exit_code, "'2 hours' is not a valid period" in bad.stderr) == (1, True)


def test_the_rules_are_shown_with_what_is_refused(house: LakeFixture) -> None:
    good = called(house, "rules")
    assert good.exit_code == 0
    assert "Nothing is sent: hoursight.toml has no channel" in good.stdout
    house.folders.alerts.mkdir(exist_ok=True)
    path: Path = house.folders.alerts / "mine.toml"
    path.write_text('[[rule]]\nname = "x"\nmetrics = ["nope"]\n' + ROUTE)
    bad = called(house, "rules")
    path.unlink()
    assert (bad.exit_code, "metrics has 'nope'" in bad.stderr) == (1, True)
    assert "Critical: pager → boss after 10 min" in bad.stdout
    assert not (house.folders.alerts / ".last-good").exists()


def test_a_lake_without_alerts_says_so(empty_lake: Path) -> None:
    done = CliRunner().invoke(cli, ["alerts", "--data", str(empty_lake)])
    assert done.stdout == "No open alerts.\n"
