"""The alert function over a real lake, with the real writer: two hours of a fleet, told once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from functions.alert import alert
from functions.engine.runner import Run, Runner
from functions.mark import mark
from storage.config.channel_settings import WebhookSettings
from storage.config.settings import MetricSettings, Settings, schema_of, write_settings
from storage.model.grid import LEAD_MINUTES, STEP, floor_step
from storage.model.views import as_of_now
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at

ORIGIN = floor_step(NOW)
MEMORY = "mem_used_pct"
TICKS = 24
# A memory of 99 is a breach; the odds warn in the first steps of all servers but the calm one.
MEMORIES = {"warned": [80] * 3 + [99] * 4 + [70] * (TICKS - 7), "silent": [80] * 3}
ODDS = {"warned": [0.3] * 7 + [0.01] * (TICKS - 7), "calm": [0.001] * TICKS, "silent": [0.3] * 3}
SERVERS = ("warned", "acted", "booted", "dropped", "silent", "calm")
BAD_RULE = '[[rule]]\nname = "x"\nmetrics = ["nope"]\n'


def tick(number: int) -> datetime:
    return NOW + number * STEP


def odds_rows(server: str) -> list[dict[str, Any]]:
    known = {"server": server, "metric": MEMORY, "level": 98.0, "origin": "bands", "model": "m1"}
    return [
        known | {"issued_at": ORIGIN + i * STEP, "checked": True, "drivers": ["it climbs"]}
        | {f"{kind}_{lead}m": p for kind in ("p", "any") for lead in LEAD_MINUTES}
        for i, p in enumerate(ODDS.get(server, [0.3] * 3 + [0.01] * (TICKS - 3)))
    ]  # fmt: skip


def steps(server: str) -> list[dict[str, Any]]:
    """The steps from ORIGIN on; a server is booted in its fourth."""
    return [
        {
            "server": server, "ts": ORIGIN + i * STEP, "mem_used_pct_mean": value,
            "uptime_days_mean": 0.01 if server == "booted" and i >= 3 else 30.0,
            "queue_mean": 120.0 if server == "calm" and i < 3 else 1.0,
        }
        for i, value in enumerate(MEMORIES.get(server, [80] * TICKS))
    ]  # fmt: skip


@dataclass
class Story:
    """The lake after the story, and the runs by their time."""

    house: LakeFixture
    runner: Runner
    runs: dict[int, Run] = field(default_factory=dict)

    def prepare(self) -> None:
        """Put two hours of steps and odds, of which each run sees what was before it."""
        facts = {"ts": NOW - timedelta(days=1), "profile": "generic", "site": "fra"}
        self.house.put("server_facts", [{"server": s} | facts for s in SERVERS])
        self.house.put("odds", [row for s in SERVERS for row in odds_rows(s)])
        schema = schema_of(self.house.folders).table("metrics_5m").arrow
        rows = [row for s in SERVERS for row in steps(s)]
        self.house.put("metrics_5m", pa.Table.from_pylist(rows, schema))
        risk = {"severity": "Warning", "score": 63.0, "now_score": 20.0, "p_breach_480m": 0.4}
        risk |= {"server": "silent", "issued_at": tick(2), "breach_metric": MEMORY}
        self.house.put("risks", [risk])
        self.house.put("metrics", [
            {"server": s, "ts": tick(i), MEMORY: 50.0}
            for i in range(TICKS) for s in SERVERS if s != "silent" or i < 3
        ])  # fmt: skip
        self.commit(TICKS)

    def run(self, number: int) -> None:
        """Run the function as of a tick."""
        self.runs[number] = self.runner.run(alert, "test", tick(number))
        assert self.runs[number].error is None

    def commit(self, number: int) -> None:
        self.house.commit(tick(number) + timedelta(seconds=1))

    def one(self, server: str, column: str, metric: str = MEMORY) -> Any:
        where = f"server = '{server}' AND metric IS NOT DISTINCT FROM {metric!r}"
        return self.house.one(f"SELECT {column} FROM alerts WHERE {where}")

    def events(self, server: str) -> list[tuple[str, str, str | None]]:
        rows = self.house.reader.query(
            "SELECT event, phase, channels FROM alert_events WHERE server = $server "
            "AND metric = 'mem_used_pct' AND event NOT IN ('changed', 'acknowledged') ORDER BY ts",
            server=server,
        ).to_pylist()  # fmt: skip
        return [(row["event"], row["phase"], row["channels"]) for row in rows]


def _write_bad_rule(house: LakeFixture) -> None:
    house.folders.alerts.mkdir(exist_ok=True)
    (house.folders.alerts / "mine.toml").write_text(BAD_RULE)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    data = tmp_path_factory.mktemp("alerts")
    hook = WebhookSettings(url="https://alerts.example/hook", secret_env="HOOK")  # noqa: S106 - a variable
    settings = Settings(
        metrics=[MetricSettings("queue", warn=50, critical=100, bad_when="high")],
        channels={"team": hook, "on-call": hook},
    )
    write_settings(data, settings)
    with house_at(data) as house:
        story = Story(house, Runner(house.folders, settings))
        story.runs[0] = story.runner.run(alert, "test", NOW)
        _write_bad_rule(house)
        story.prepare()
        story.run(1)
        # Before its rows are committed it runs again, here and in a process that was restarted.
        story.runs[-1] = story.runner.run(alert, "test", tick(1) + timedelta(minutes=1))
        other = Runner(house.folders, settings)
        story.runs[-2] = other.run(alert, "test", tick(1) + timedelta(minutes=1))
        story.commit(1)
        body = {"kind": "acting", "episode": story.one("acted", "episode"), "made_by": "ann"}
        story.runs[-3] = story.runner.run(mark, "test", tick(1), body=body)
        story.commit(1)
        for number in (4, 9, 14):
            story.run(number)
            story.commit(number)
        yield story


def test_a_warning_becomes_a_breach_and_ends_with_one_id(story: Story) -> None:
    assert story.events("warned") == [
        ("opened", "predicted", "team"), ("breached", "breached", "on-call"),
        ("closed", "over", "team,on-call"),
    ]  # fmt: skip
    assert story.one("warned", "count(*)") == 1
    assert story.one("warned", "opened_as") == "predicted"
    assert story.one("warned", "lead_minutes") == 10  # from 12:05:30 to 12:15


def test_a_warning_without_a_breach_is_withdrawn(story: Story) -> None:
    assert [phase for _, phase, _ in story.events("dropped")] == ["predicted", "withdrawn"]
    assert "the forecast changed" in story.one("dropped", "why")
    assert story.events("calm") == []


def test_what_somebody_says_about_an_episode_averts_it(story: Story) -> None:
    assert [event for event, *_ in story.events("acted")] == ["opened", "acting", "closed"]
    assert story.one("acted", "phase") == "averted"
    assert story.one("acted", "answered_by") == "ann"
    (row,) = story.runs[-3].batch.rows["marks"].to_pylist()
    assert (row["server"], row["metric"]) == ("acted", MEMORY)  # which scores leave out


def test_an_answer_to_one_of_a_group_answers_for_those_that_were_sent_with_it(
    story: Story,
) -> None:
    group = story.house.one("SELECT DISTINCT group_id FROM alert_events WHERE group_id IS NOT NULL")
    assert story.one("acted", "coalesce(group_id, episode)") == group
    assert story.one("dropped", "coalesce(group_id, episode)") == group
    assert story.one("dropped", "answered_by") == "ann"
    assert not story.one("dropped", "acted_on")  # it still counts as right or wrong


def test_a_reboot_averts_and_is_a_mark_for_the_scores(story: Story) -> None:
    assert [event for event, *_ in story.events("booted")] == ["opened", "reboot", "closed"]
    assert story.one("booted", "phase") == "averted"
    boot = story.house.one("SELECT starts_at FROM marks WHERE kind = 'reboot'")
    assert boot == ORIGIN + 3 * STEP


def test_a_silent_server_keeps_its_warning_and_says_the_last_belief(story: Story) -> None:
    assert story.one("silent", "phase") == "predicted"
    (row,) = story.house.reader.query(
        "SELECT phase, reasons FROM alerts WHERE metric IS NULL"
    ).to_pylist()
    assert row["phase"] == "no data"
    assert row["reasons"] == [
        "last scored 63, Warning", "odds of a breach of Memory used: 40 % within 8 h",
        "Memory used stays predicted",
    ]  # fmt: skip


def test_a_run_that_is_repeated_before_the_commit_writes_nothing(story: Story) -> None:
    assert [story.runs[i].batch.row_count for i in (1, -1, -2)] == [5, 0, 0]


def test_a_metric_of_ones_own_has_level_rules_and_no_odds(story: Story) -> None:
    assert story.one("calm", "opened_as", "queue") == "breached"
    assert story.one("calm", "threshold", "queue") == 100.0
    assert story.one("calm", "p", "queue") is None


def test_a_rule_that_cannot_be_used_is_told_once(story: Story) -> None:
    assert [story.runs[i].batch.refused for i in (1, 4)] == [1, 0]
    assert "metrics has 'nope', which no metric matches" in story.runs[1].batch.reasons[0]
    refusals = story.house.one("SELECT refusals FROM segments WHERE rows_refused > 0")
    assert "nope" in str(refusals)


def test_the_quality_of_a_rule_counts_what_came_of_its_warnings(story: Story) -> None:
    rows = _quality(story)
    counts = {
        name: rows[name] for name in ("warnings", "correct", "withdrawn", "averted", "missed")
    }
    assert counts == {"warnings": 5, "correct": 1, "withdrawn": 1, "averted": 2, "missed": 1}
    assert (rows["precision"], rows["recall"]) == (0.5, 0.5)
    assert (rows["still_open"], rows["averted_share"]) == (1, 0.5)
    host_days = story.house.one("SELECT count(*) / 288 FROM metrics_5m WHERE ts <= $t", t=tick(15))
    assert (rows["median_lead_minutes"], rows["host_days"]) == (10, pytest.approx(host_days))
    assert rows["false_per_host_day"] == pytest.approx(1 / host_days)
    assert 0 < rows["share_of_time_warned"] < 1


def test_days_before_the_rules_ran_do_not_count_as_quiet(house: LakeFixture) -> None:
    story = {"episode": "e", "server": "a", "metric": MEMORY, "rule": "breach", "state": "{}"}
    house.put("alert_events", [story | {"ts": NOW, "event": "opened", "phase": "predicted"}])
    house.put("metrics_5m", [{"server": "a", "ts": ORIGIN - i * STEP} for i in range(288)])
    run = {"run_id": "r", "function": "alert", "outcome": "ok", "ts": ORIGIN - 71 * STEP}
    house.put("runs", [run])
    house.commit()
    sql = as_of_now("SELECT host_days FROM {alert_quality} AS v")
    assert house.one(sql, now=NOW) == 0.25


def _quality(story: Story) -> dict[str, Any]:
    """The quality of the stock rule as of the end of the story."""
    sql = as_of_now("SELECT * FROM {alert_quality} AS v WHERE rule = 'breach'")
    rows: list[dict[str, Any]] = story.house.reader.query(sql, now=tick(15)).to_pylist()
    return rows[0]


def test_an_empty_lake_has_nothing_to_alert_of(story: Story) -> None:
    assert (story.runs[0].outcome, story.runs[0].error) == ("nothing", None)
