import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from scripts.tools.postgres_server import Cluster, Proxy, kill_server, missing

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster()
    yield cluster
    cluster.close()


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def accepts(port: int) -> bool:
    probe = ["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "hoursight", "-c", "select 1"]
    return subprocess.run([*probe, "template1"], capture_output=True, check=False).returncode == 0


def test_a_killed_server_is_started_again(cluster: Cluster) -> None:
    first = cluster.pid
    kill_server(first)
    until(lambda: cluster.pid != first)
    cluster.await_ready()
    assert accepts(cluster.port)


def test_a_server_that_was_taken_down_stays_down_until_it_is_brought_up(cluster: Cluster) -> None:
    cluster.take_down()
    assert not accepts(cluster.port)
    cluster.bring_up()
    assert accepts(cluster.port)


def test_a_proxy_passes_on_and_cuts_off_nothing_while_it_is_not_armed(cluster: Cluster) -> None:
    cluster.await_ready()
    proxy = Proxy(cluster)
    try:
        assert accepts(proxy.port)
        proxy.arm("cut")
        assert accepts(proxy.port)  # it writes no snapshot
        assert not proxy.triggered()
    finally:
        proxy.close()


def test_killing_a_server_that_has_ended_does_nothing() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    kill_server(ended.pid)
