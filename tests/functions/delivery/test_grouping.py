from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from functions.delivery.grouping import Group, event_of, groups_of
from functions.delivery.message_context import MessageContext
from functions.delivery.routing import GroupEvent
from functions.engine.window import Window
from storage.model.schema import table
from tests.functions.delivery.memory_lakes import memory_lake, put
from tests.functions.delivery.messages import NOW

CONTEXT = MessageContext({}, {}, {}, {}, {}, "")


def row(episode: str, phase: str = "predicted", **fields: Any) -> dict[str, Any]:
    after = timedelta(minutes=fields.pop("after", 0))
    known = dict.fromkeys(table("alert_events").names) | {
        "episode": episode, "ts": NOW + after, "event": "opened", "phase": phase, "server": episode,
        "severity": "warning", "group_id": "first", "channels": "hook", "reasons": [],
    }  # fmt: skip
    return known | fields


def group(*rows: dict[str, Any]) -> Group:
    events = tuple(event_of(each) for each in rows)
    return Group(GroupEvent(events[:1], events), rows)


@pytest.mark.parametrize(
    "rows",
    [
        [row("worst", severity="critical"), row("low", likely=NOW)],
        [row("worst", "breached"), row("warned", likely=NOW)],
        [row("worst", likely=NOW), row("later", likely=NOW + timedelta(hours=1))],
        [row("worst"), row("ended", "over", severity="imminent")],
        [row("worst"), row("elsewhere", severity="critical", channels="mail",
                           state='{"opened_at": "2026-01-01T00:00:00Z", "sent_to": ["mail"]}')],
    ],
)  # fmt: skip
def test_a_message_is_about_the_worst_that_its_channel_hears_of(
    rows: list[dict[str, Any]],
) -> None:
    assert group(*rows).worst("hook")["episode"] == "worst"
    assert group(*reversed(rows)).worst("hook")["episode"] == "worst"


def test_a_message_shows_ten_and_counts_all() -> None:
    rows = [row(f"s{n:02}") for n in range(14)]
    made = group(*rows, row("ended", "over")).message(CONTEXT, "hook")
    assert (made.server, len(made.companions), made.others, made.ended) == ("s00", 9, 13, 1)


def test_events_of_one_time_and_group_are_one_and_know_the_others_as_of_then(
    tmp_path: Path,
) -> None:
    first, second = row("first", group_id=None), row("second")
    ended, stranger = row("first", "over", group_id=None, after=5), row("x", group_id=None)
    rows = [first, second, ended, stranger]
    with memory_lake(tmp_path) as lake:
        put(lake, "alert_events", rows)
        groups = groups_of(Window(lake.reader, NOW + timedelta(minutes=9)), rows)
    seen = [
        ([e.episode for e in each.happened.events],
         {r["episode"]: r["phase"] for r in each.rows})
        for each in groups
    ]  # fmt: skip
    assert seen == [
        (["first", "second"], {"first": "predicted", "second": "predicted"}),
        (["x"], {"x": "predicted"}),
        (["first"], {"first": "over", "second": "predicted"}),
    ]
