from scripts.tools.bench.measure import Figure
from scripts.tools.bench.model_bench import PEER_SERVERS, compared


def test_a_peer_that_forecast_some_servers_is_compared_by_servers_a_cpu_second() -> None:
    figure: Figure = compared("a peer", 5, servers=1000, ours_s=0.5, peer_s=PEER_SERVERS / 400)
    assert (figure.ratio, figure.met) == (5.0, True)
    assert not compared("a peer", 5, servers=1000, ours_s=0.51, peer_s=PEER_SERVERS / 400).met
