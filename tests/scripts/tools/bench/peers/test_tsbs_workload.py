from datetime import timedelta

import numpy as np

from scripts.tools.bench.peers.tsbs_workload import FIELDS, QUERIES, STEP_S, readings


def test_readings_are_whole_percents_of_each_host_and_step() -> None:
    rows, span = readings(hosts=3, hours=0.5)
    assert rows.num_rows == 3 * 1800 // STEP_S
    assert span.until - span.since == timedelta(hours=0.5)
    values = np.stack([rows[field].to_numpy() for field in FIELDS])
    assert (values == np.floor(values)).all()
    assert (values.min() >= 0, values.max() <= 100) == (True, True)


def test_the_same_seed_makes_the_same_values() -> None:
    first, second = (readings(2, 0.1)[0] for _ in range(2))
    assert first.select(FIELDS).equals(second.select(FIELDS))


def test_the_last_hours_of_a_span_never_begin_before_it() -> None:
    _, span = readings(1, 2)
    assert span.last(1).since == span.until - timedelta(hours=1)
    assert span.last(12) == span


def test_each_query_has_a_name_of_its_own() -> None:
    assert len({query.name for query in QUERIES}) == len(QUERIES) == 8
