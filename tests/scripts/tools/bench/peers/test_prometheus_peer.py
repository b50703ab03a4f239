import numpy as np

from functions.ingest.decompression import decompress
from functions.ingest.remote_write import read_series
from scripts.tools.bench.peers.prometheus_peer import _series, _snappy, series_of
from scripts.tools.bench.peers.tsbs_workload import FIELDS, STEP_S, readings
from tests.conftest import NOW


def test_snappy_literals_are_decompressed_to_the_same_bytes() -> None:
    content = bytes(range(256)) * 1000  # several literals
    assert decompress(_snappy(content), "snappy") == content


def test_our_own_remote_write_reads_the_series() -> None:
    now_ms = int(NOW.timestamp() * 1000)
    labels = {"__name__": "node_load1", "instance": "web1:9100"}
    body = _series(labels, np.array([now_ms - 5000, now_ms]), np.array([1.5, 2.5]))
    assert read_series(body, NOW)


def test_each_host_and_field_is_a_series_in_the_order_of_time() -> None:
    rows, span = readings(hosts=2, hours=0.1)
    series = list(series_of(rows))
    assert len(series) == 2 * len(FIELDS)
    for labels, times, values in series:
        assert labels["__name__"] == "cpu"
        assert (np.diff(times) == STEP_S * 1000).all()
        assert times[0] == span.since.timestamp() * 1000
        assert len(times) == len(values) == 36
