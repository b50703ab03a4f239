import torch

from scripts.tools.bench.forecasters import flops, matmul_rate


def node(op: str, inputs: list[list[int]], output: list[int]) -> dict[str, object]:
    arguments = {
        "op_name": op,
        "input_type_shape": [{"float": shape} for shape in inputs],
        "output_type_shape": [{"float": output}],
    }
    return {"cat": "Node", "args": arguments}


def test_matrix_products_are_counted_in_any_order_of_their_operands() -> None:
    product = 2.0 * 16 * 64 * 448 * 21
    assert flops([node("MatMul", [[64, 21], [16, 21, 448]], [16, 64, 448])]) == product
    assert flops([node("FusedMatMul", [[16, 21, 64], [16, 21, 448]], [16, 64, 448])]) == product


def test_an_lstm_counts_both_its_products_and_other_steps_count_nothing() -> None:
    lstm = node("LSTM", [[96, 16, 32], [1, 256]], [96, 1, 16, 64])
    assert flops([lstm, node("Add", [[16, 64]], [16, 64])]) == 2.0 * 96 * 16 * 4 * 64 * (32 + 64)
    assert flops([{"cat": "Session", "args": {}}]) == 0


def test_the_rate_of_matrix_products_counts_two_operations_an_element() -> None:
    threads = torch.get_num_threads()
    try:
        assert matmul_rate()() == 50 * 2 * 16 * 64 * 64 * 448
    finally:
        torch.set_num_threads(threads)
