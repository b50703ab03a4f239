from scripts.tools.bench.forecasters import flops
from scripts.tools.bench.measure import Figure
from scripts.tools.bench.model_bench import PEER_SERVERS, compared


def node(op: str, inputs: list[list[int]], output: list[int]) -> dict[str, object]:
    told = {
        "op_name": op,
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
    }
    return {"cat": "Node", "args": told}


def test_the_products_of_a_profile_are_counted_whichever_way_they_lie() -> None:
    product = 2.0 * 16 * 64 * 448 * 21
    assert flops([node("MatMul", [[64, 21], [16, 21, 448]], [16, 64, 448])]) == product
    assert flops([node("FusedMatMul", [[16, 21, 64], [16, 21, 448]], [16, 64, 448])]) == product


def test_an_lstm_counts_both_its_products_and_other_steps_count_nothing() -> None:
    lstm = node("LSTM", [[96, 16, 32], [1, 256]], [96, 1, 16, 64])
    assert flops([lstm, node("Add", [[16, 64]], [16, 64])]) == 2.0 * 96 * 16 * 4 * 64 * (32 + 64)
    assert flops([{"cat": "Session", "args": {}}]) == 0


def test_a_peer_that_forecast_some_servers_is_compared_by_servers_a_cpu_second() -> None:
    figure: Figure = compared("a peer", 5, servers=1000, ours_s=0.5, peer_s=PEER_SERVERS / 400)
    assert (figure.ratio, figure.met) == (5.0, True)
    assert not compared("a peer", 5, servers=1000, ours_s=0.51, peer_s=PEER_SERVERS / 400).met
