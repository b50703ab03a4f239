"""Peers of the served model: the same forecast by pytorch-forecasting, torch and other exports.

Needs the `train` extra. Weights are untrained where that takes the same time as trained ones.
"""

import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd  # type: ignore[import-untyped]  # comes without types
import torch
from numpy.typing import NDArray
from pytorch_forecasting import MultiNormalizer, TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data import EncoderNormalizer
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from torch import Tensor, nn

from model_export.network import ForecastNetwork
from storage.model.grid import CONTEXT_STEPS, HORIZON_STEPS, QUANTILES
from storage.model.metrics import METRIC_NAMES

__all__ = [
    "FiveMinuteTft", "direct_export", "flops", "matmul_rate", "onnx_run", "torch_forward",
]  # fmt: skip

Inputs = dict[str, NDArray[Any]]

_BATCH = 16


logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class FiveMinuteTft:
    """pytorch-forecasting's transformer at 5-minute steps: 288 → 96, 14 targets, 7 quantiles."""

    def __init__(self, context: NDArray[Any]) -> None:
        self.servers = len(context)
        self._frame = _frame(context)
        self._network = TemporalFusionTransformer.from_dataset(
            self.data(), hidden_size=32, attention_head_size=4, hidden_continuous_size=8,
            loss=MultiLoss([QuantileLoss(list(QUANTILES))] * len(METRIC_NAMES)),
        ).eval()  # fmt: skip

    def data(self) -> TimeSeriesDataSet:
        """Return a dataset of one window a server, as users make it for each forecast."""
        return TimeSeriesDataSet(
            self._frame, time_idx="step", target=list(METRIC_NAMES), group_ids=["server"],
            max_encoder_length=CONTEXT_STEPS, min_encoder_length=CONTEXT_STEPS,
            max_prediction_length=HORIZON_STEPS, static_categoricals=["profile"],
            time_varying_known_reals=["day_sin", "day_cos", "week_sin", "week_cos"],
            time_varying_unknown_reals=list(METRIC_NAMES), predict_mode=True,
            target_normalizer=MultiNormalizer([EncoderNormalizer() for _ in METRIC_NAMES]),
        )  # fmt: skip

    def predict(self) -> None:
        """Run `model.predict` for quantiles, with making the dataset."""
        trainer = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Lightning's own calls into torch
            self._network.predict(
                self.data(), mode="quantiles", batch_size=64, trainer_kwargs=trainer, num_workers=0
            )

    def export(self, path: Path) -> Inputs:
        """Export directly to ONNX; return the inputs of one batch."""
        batch, _ = next(iter(self.data().to_dataloader(train=False, batch_size=_BATCH)))
        names = ("encoder_cont", "decoder_cont", "encoder_cat", "decoder_cat")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer; only the time counts here
            torch.onnx.export(
                _WithFixedInputs(self._network, batch), tuple(batch[n] for n in names), str(path),
                input_names=list(names), opset_version=17, dynamo=False,
            )  # fmt: skip
        return {name: batch[name].numpy() for name in names}


class _WithFixedInputs(nn.Module):
    """A network whose dictionary of inputs is fixed except for four tensors."""

    def __init__(self, network: nn.Module, batch: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.rest = network, batch

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        names = ("encoder_cont", "decoder_cont", "encoder_cat", "decoder_cat")
        output = self.network({**self.rest, **dict(zip(names, inputs, strict=True))})
        return tuple(output.prediction)


def _frame(context: NDArray[Any]) -> pd.DataFrame:
    """Return the context in long form, followed by placeholders for the horizon."""
    servers, steps = len(context), CONTEXT_STEPS + HORIZON_STEPS
    ahead = np.repeat(context[:, -1:], HORIZON_STEPS, axis=1)
    values = np.concatenate([context, ahead], 1).reshape(servers * steps, -1)
    step = np.tile(np.arange(steps), servers)
    frame = pd.DataFrame(values, columns=list(METRIC_NAMES))
    for name, period in (("day", 288), ("week", 2016)):
        frame[f"{name}_sin"] = np.sin(2 * np.pi * step / period)
        frame[f"{name}_cos"] = np.cos(2 * np.pi * step / period)
    names = np.array([f"host{i}" for i in range(servers)])
    return frame.assign(step=step, server=np.repeat(names, steps), profile="generic")


def direct_export(network: ForecastNetwork, path: Path, inputs: Inputs) -> None:
    """Export our own network directly to ONNX, without the optimised inference network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), tuple(torch.from_numpy(v) for v in inputs.values()), str(path),
            input_names=list(inputs), opset_version=17, dynamo=False,
        )  # fmt: skip


def onnx_run(path: Path, inputs: Inputs, batches: int) -> Callable[[], None]:
    """Return a function that runs a graph `batches` times, in two threads with one session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    fed = {name: values for name, values in inputs.items() if name in wanted}

    def run() -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: session.run(None, fed), range(batches)))

    return run


def torch_forward(network: ForecastNetwork, inputs: Inputs) -> Callable[[], None]:
    """Return a function that runs the forward pass in torch."""
    tensors = [torch.from_numpy(values) for values in inputs.values()]

    def run() -> None:
        with torch.no_grad():
            network(*tensors)

    return run


def matmul_rate() -> Callable[[], float]:
    """Return a function that runs matrix products of the fusion's shape and returns their FLOPs."""
    left, right = torch.randn(_BATCH, 64, 64), torch.randn(_BATCH, 64, 448)
    torch.set_num_threads(1)

    def run() -> float:
        for _ in range(50):
            torch.bmm(left, right)
        return 50.0 * 2 * _BATCH * 64 * 64 * 448

    return run


def flops(events: list[dict[str, Any]]) -> float:
    """Return the FLOPs of all matrix products in an ONNX profile, from the shapes it contains."""
    total = 0.0
    for event in events:
        arguments = event.get("args", {})
        if event.get("cat") != "Node" or "output_type_shape" not in arguments:
            continue
        first = _shape(arguments["input_type_shape"][0]) if arguments["input_type_shape"] else []
        out = _shape(arguments["output_type_shape"][0]) if arguments["output_type_shape"] else []
        if (
            arguments["op_name"] in ("MatMul", "FusedMatMul", "Gemm", "FusedGemm")
            and len(first) > 1
        ):
            total += 2.0 * np.prod(out) * first[-1] * first[-2] / out[-2]
        elif arguments["op_name"] == "LSTM":
            steps, batch, size = first
            total += 2.0 * steps * batch * 4 * out[-1] * (size + out[-1])
    return float(total)


def _shape(by_type: dict[str, list[int]]) -> list[int]:
    return next(iter(by_type.values()))
