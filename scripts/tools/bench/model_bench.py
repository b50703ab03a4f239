"""Benchmark of the model: `python -m scripts.tools.bench model`."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from functions.engine.forecaster import SHIPPED, Forecaster
from model_export.parity_check import awkward_windows
from model_export.train import load_checkpoint
from scripts.python_process import module_command, module_environment
from scripts.tools.bench import forecasters as peers
from scripts.tools.bench.forecast_cycle import lake_of
from scripts.tools.bench.measure import Figure, stopwatch

__all__ = ["PEER_SERVERS", "compared", "figures"]


class Spent(NamedTuple):
    """Wall and CPU time, each the least of several rounds."""

    wall_s: float
    cpu_s: float


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PEER_SERVERS = 256  # forecast by a slow peer, whose time is scaled up
ROUNDS = 3  # the best one counts: other work on the machine only adds time
_START = """
import time; began = time.perf_counter()
from functions.engine.forecaster import SHIPPED, Forecaster
Forecaster.open(SHIPPED)
print(time.perf_counter() - began)
"""


def figures(servers: int) -> Iterator[Figure]:
    """Measure the model alone beside its peers, then whole cycles."""
    folder = Path(tempfile.mkdtemp(prefix="hoursight-bench-"))
    try:
        yield from alone(folder, servers)
        for count, goal in ((1000, 1.5), (servers, 10.0)):
            yield from cycle(folder / f"lake{count}", count, goal)
        yield Figure("cold start: import, open, self-test", _start_s(), "s", 0.5)
        yield Figure("model file", SHIPPED.stat().st_size / 1e6, "MB", 5)
    finally:
        shutil.rmtree(folder)


def alone(folder: Path, servers: int) -> Iterator[Figure]:
    """Measure from windows in memory to quantiles in memory, and the same of the peers."""
    model = Forecaster.open(SHIPPED)
    windows = awkward_windows(PEER_SERVERS, 1)
    context = np.resize(windows.context, (servers, *windows.context.shape[1:]))
    places = np.resize(windows.profile, servers)
    ours = _best(lambda: model.predict(context, NOON, places), 2)
    worst = max(model.card["parity_sigma"].values())
    yield Figure(f"model alone, {servers} servers", ours.wall_s, "s", 3.5)
    yield Figure("… its CPU on two cores", ours.cpu_s / 2, "s", 3.5)
    yield Figure("largest difference from torch, with tables", worst * 1e6, "µσ", 1000)
    limit_s = _limit_s(folder, windows.context, windows.profile) * servers
    yield Figure(
        "CPU, of the matmul limit", ours.cpu_s, "s", 5, "its products alone", limit_s, "ratio"
    )
    for name, goal, peer in _peers(folder):
        yield compared(name, goal, servers, ours.cpu_s, peer.cpu_s)


def compared(name: str, goal: float, servers: int, ours_s: float, peer_s: float) -> Figure:
    """Return the figure of servers a CPU second, beside a peer that forecast PEER_SERVERS."""
    return Figure(
        f"a CPU second, against {name}", servers / ours_s, "servers", goal,
        f"{PEER_SERVERS} servers", PEER_SERVERS / peer_s, "ratio", at_least=True,
    )  # fmt: skip


def _peers(folder: Path) -> Iterator[tuple[str, float, Spent]]:
    """Yield name, goal and time of each peer for PEER_SERVERS servers.

    CPU time is compared, because other work on the machine stretches the wall time.
    """
    windows = awkward_windows(PEER_SERVERS, 1)
    batch: peers.Inputs = {
        "context": windows.context[:16],
        "week_minute": np.full(1, 720, np.float32),
        "profile": windows.profile[:16],
    }
    network = load_checkpoint(SHIPPED.with_suffix(".pt")).network.eval()
    peers.direct_export(network, folder / "own.onnx", batch)
    run = peers.onnx_run(folder / "own.onnx", batch, PEER_SERVERS // 16)
    yield "the direct export of our network", 5, _best(run)
    torch.set_num_threads(1)  # idle threads of torch spin, and would be counted
    whole = batch | {"context": windows.context, "profile": windows.profile}
    yield "our network's forward in torch", 5, _best(peers.torch_forward(network, whole))
    five = peers.FiveMinuteTft(np.nan_to_num(windows.context, nan=1.0))
    inputs = five.export(folder / "five.onnx")
    run = peers.onnx_run(folder / "five.onnx", inputs, PEER_SERVERS // 16)
    yield "the direct export of a 5-minute TFT", 5, _best(run)
    yield "pytorch-forecasting's predict, 5 minutes", 12, _best(five.predict, 2)


def _limit_s(folder: Path, context: NDArray[Any], places: NDArray[Any]) -> float:
    """Return the CPU seconds a server of the matrix products alone, at the speed of one product."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.enable_profiling = 1, True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(
        str(SHIPPED), options, providers=["CPUExecutionProvider"]
    )
    ranked = np.sort(context[:16].transpose(0, 2, 1), axis=-1)
    clock = np.full(1, 720, np.float32)
    fed = {"context": context[:16], "ranked": ranked, "week_minute": clock, "profile": places[:16]}
    session.run(None, fed)
    events = json.loads(Path(session.end_profiling()).read_text())
    products = peers.matmul_rate()
    rate = products() / _best(products).cpu_s
    return float(peers.flops(events)) / 16 / rate


def cycle(data: Path, servers: int, goal_s: float) -> Iterator[Figure]:
    """Measure from the SQL window to the committed forecast, in a process of its own."""
    click.echo(f"a lake of {servers} servers …")
    lake_of(data, servers, NOON)
    now = (NOON + timedelta(seconds=40)).isoformat()
    command = module_command("scripts.tools.bench.forecast_cycle", data, now)
    done = subprocess.run(command, env=module_environment(), check=True, capture_output=True)
    measured = json.loads(done.stdout)
    shutil.rmtree(data)
    yield Figure(f"cycle of {servers} servers, window to commit", measured["whole_s"], "s", goal_s)
    yield Figure("… of it the function", measured["function_s"], "s", goal_s)
    yield Figure(
        "… CPU of function and writer",
        measured["cpu_s"], "s", 2 * goal_s,
    )  # fmt: skip
    yield Figure("… memory of the forecasting process", measured["rss_mb"], "MiB", 600)


def _start_s() -> float:
    command = [sys.executable, "-c", _START]
    runs = [subprocess.run(command, check=True, capture_output=True).stdout for _ in range(ROUNDS)]
    return min(float(seconds) for seconds in runs)


def _best(work: Callable[[], object], rounds: int = ROUNDS) -> Spent:
    spent = []
    for _ in range(rounds):
        with stopwatch() as elapsed:
            cpu_s = time.process_time()
            work()
            spent.append((elapsed() / 1000, time.process_time() - cpu_s))
    return Spent(*map(min, zip(*spent, strict=True)))
