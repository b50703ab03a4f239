from pathlib import Path
from typing import Any

import pytest

from storage.config.metric_settings import MetricSettings, check_limit, stock_limits
from storage.config.settings import read_settings
from storage.model.metrics import Levels


def test_an_own_metric_is_one_of_the_model_with_its_levels() -> None:
    metric = MetricSettings("queue", warn=50, critical=100, bad_when="high").metric()
    assert (metric.name, metric.label, metric.levels) == ("queue", "queue", Levels(50, 100))
    assert MetricSettings("queue").metric().levels is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"name": "GPU %"}, "name is 'GPU %', expected lower-case letters"),
        ({"name": "ts"}, "name is 'ts', which is reserved"),
        ({"name": "gpu", "highest": 0.0}, "highest of gpu is 0, expected more than 0"),
        ({"name": "gpu", "critical": 9.0}, "gpu has one of warn and critical"),
    ],
)
def test_a_metric_that_cannot_be_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        MetricSettings(**fields)


def test_a_limit_is_of_a_metric_without_a_natural_one_and_over_0() -> None:
    for name, limit in stock_limits().items():
        check_limit(name, limit)
    with pytest.raises(ValueError, match="limits has 'mem_used_pct', expected one of"):
        check_limit("mem_used_pct", 120)


def test_a_limit_replaces_that_of_its_metric_only(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text("[limits]\nuptime_days = 40000\n")
    limits = {m.name: m.bounds[1] for m in read_settings(tmp_path).schema().metrics}
    assert (limits["uptime_days"], limits["net_in_mb_s"], limits["mem_used_pct"]) == (4e4, 1e5, 100)
