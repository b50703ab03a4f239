from pathlib import Path

import pytest

from functions.replay.prometheus_rules import RulesUnreadable, read_rules

RULES = """
groups:
- name: node
  interval: 1m
  rules:
  - alert: DiskWillFill
    expr: predict_linear(node_filesystem_avail_bytes[6h], 4*3600) < 0
    for: 1h30m
    labels: {severity: page}
    annotations: {summary: "{{ $labels.instance }}"}
  - record: job:load
    expr: sum(node_load1)
- name: empty
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rules.yml"
    path.write_text(text)
    return path


def test_all_rules_of_all_groups_are_read_in_order(tmp_path) -> None:
    disk, load = read_rules(written(tmp_path, RULES))
    assert (disk.name, disk.for_minutes, disk.keep_minutes) == ("DiskWillFill", 90.0, 0.0)
    assert disk.labels == {"severity": "page"}
    assert (load.name, load.alert) == ("job:load", None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("groups: [", "not a file of Prometheus's rules"),
        ("rules: []", "missing required field `groups`"),
        ("groups: [{name: a, rules: [{alert: b}]}]", "missing required field `expr`"),
        ("groups: [{name: a, rules: [{alert: b, expr: x, for: 5 apples}]}]",
         "alert b: for is '5 apples'"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_refused_with_place_and_reason(tmp_path, text, reason):
    with pytest.raises(RulesUnreadable) as error:
        read_rules(written(tmp_path, text))
    assert reason in str(error.value)
    assert "rules.yml" in str(error.value)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RulesUnreadable, match=r"no\.yml: cannot be read \(No such file"):
        read_rules(tmp_path / "no.yml")
