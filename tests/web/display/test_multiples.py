"""One metric of every server: texts, order and own metrics."""

import re

from storage.config.folders import Folders
from tests.web.conftest import Client
from web.display.metric_display import display_of
from web.display.multiples import metric_displays, multiple


def names(page: str) -> list[str]:
    return re.findall(r'<a href="/servers/[^"]*#\w+" title="([^"]*)"', page)


def test_a_mirrored_metric_has_its_change_mirrored_too() -> None:
    texts = multiple(
        {"present": 70.0, "change_1h": -5.0, "ahead": 60.0}, display_of("cpu_idle_pct")
    )
    assert (texts.value, texts.change, texts.ahead) == ("30 %", "+5.0 % in 1 h", "40 % in 8 h")


def test_what_is_not_known_has_no_text() -> None:
    texts = multiple({"present": 1.0, "change_1h": None, "ahead": None}, display_of("load_average"))
    assert (texts.change, texts.ahead) == ("", "")


def test_servers_are_sorted_by_the_metric(client: Client) -> None:
    assert names(client.get("/?view=mem_used_pct").text)[0] == "web-07.shop"
    assert names(client.get("/?view=disk_usage_pct&sort=ahead").text)[0] == "ppdb-orders-1"
    assert names(client.get("/?view=disk_usage_pct&sort=change").text)[0] == "ppdb-orders-1"


def test_the_metrics_of_the_settings_are_among_them(tmp_path) -> None:
    folders = Folders.at(tmp_path)
    folders.settings.write_text('[[metrics]]\nname = "queue_length"\nlabel = "Queue"\n')
    assert metric_displays(folders)["queue_length"].label == "Queue"
