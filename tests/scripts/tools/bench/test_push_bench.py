import json
import socket
from datetime import UTC, datetime

from functions.ingest.telegraf import TelegrafReader
from scripts.tools.bench import push_bench
from storage.model.metrics import METRIC_NAMES


def test_the_lines_of_a_body_are_all_taken() -> None:
    body = push_bench._body(0).decode()
    read = TelegrafReader(METRIC_NAMES).read(body, "ns", datetime.now(UTC))
    assert len(body.splitlines()) == push_bench.LINES
    assert (read.lines, read.used) == (push_bench.LINES, push_bench.LINES)


def test_no_two_bodies_have_a_sample_in_common() -> None:
    bodies = [push_bench._body(number).decode().splitlines() for number in (0, 1)]
    first, second = ({(line.split()[0], line.split()[-1]) for line in body} for body in bodies)
    assert len(first) == push_bench.LINES
    assert not first & second


def test_records_have_all_metrics() -> None:
    records = push_bench._some_records()
    assert len(json.dumps(records)) > 100_000
    assert len(records) == push_bench.RECORDS
    assert set(METRIC_NAMES) <= set(records[0])


def test_a_port_listens_once_somebody_does() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not push_bench._listens(port)
        server.listen()
        assert push_bench._listens(port)
