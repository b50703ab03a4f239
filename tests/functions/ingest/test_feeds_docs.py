"""The example of docs/feeds.md is what it says."""

import json
import re
from pathlib import Path

from functions.ingest.json_records import validate_records
from functions.ingest.sender_conflicts import MAX_WATCHED
from functions.ingest.telegraf import INPUTS
from storage.model.metrics import METRICS
from tests.conftest import NOW
from web import uploads
from web.api.ingest_api import MAX_IN_FLIGHT, MAX_WAIT_S

FEEDS = (Path(__file__).parents[3] / "docs" / "feeds.md").read_text()


def test_the_record_that_is_shown_is_taken_whole() -> None:
    shown = re.search(r"-d '\n(.*?)'\n```", FEEDS, re.DOTALL)
    assert shown is not None
    taken = validate_records(json.loads(shown[1]), METRICS, NOW, "s", "feed")
    assert (taken.refused, taken.values_refused, taken.ignored) == (0, 0, ())
    assert taken.facts["ppdb001"].profile == "database"


def test_every_input_of_telegraf_that_is_mapped_is_listed() -> None:
    table = FEEDS.split("| input |")[1].split("\n\n")[0]
    assert set(INPUTS) == set(re.findall(r"`(\w+)`", table)) & set(INPUTS)


def test_the_limits_that_are_named_are_those_of_the_code() -> None:
    assert (
        f"beyond {MAX_IN_FLIGHT} at once waits for its turn, for at most {MAX_WAIT_S:g} s" in FEEDS
    )
    feeds = " ".join(FEEDS.split())
    kilobytes = uploads.WINDOW_BYTES // 1000
    assert (
        f"A body has {uploads.WINDOW_S:g} seconds for every {kilobytes} kB (1 kB/s) and "
        f"{uploads.WHOLE_S:g} seconds in all" in feeds
    )
    assert (
        f"beyond {uploads.MAX_PER_SENDER} unfinished bodies of one address, "
        f"{uploads.MAX_UPLOADS} of all, or {uploads.MAX_BYTES >> 20} MiB" in feeds
    )
    assert f"Up to {MAX_WATCHED:,} pairs of server and metric are watched" in FEEDS
