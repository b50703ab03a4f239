from pathlib import Path

import numpy as np
import pytest
import torch

from model_export import parity_check
from model_export.card import unpack_array
from model_export.export import export_graph
from model_export.parity_check import (
    PARITY_SIGMA,
    ParityError,
    awkward_windows,
    fixture,
    onnx_forecast,
    parity,
    spreads,
    torch_forecast,
)
from tests.model_export.small_networks import small_network

NETWORK = small_network()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "small.onnx"
    export_graph(NETWORK, path)
    return path


def test_torch_and_onnxruntime_agree_for_1_to_513_servers_with_gaps(model: Path) -> None:
    differences = parity(NETWORK, model)
    assert set(differences) == {"1", "7", "64", "513"}
    assert max(differences.values()) <= PARITY_SIGMA


def test_a_graph_that_computes_something_else_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity_check, "BATCHES", (1, 7))
    with pytest.raises(ParityError, match=r"small\.onnx.*batch 7"):
        parity(small_network(seed=1), model)


def test_awkward_windows_have_every_kind_of_gap() -> None:
    context = awkward_windows(60, 1).context
    gaps = np.isnan(context)
    assert (gaps.all(1)).any(), "missing metrics"
    assert (gaps[:, 0] & ~gaps[:, -1]).any(), "short histories"
    assert (gaps[:, 100:200].any(1) & ~gaps[:, 100:200].all(1)).any(), "gaps"
    assert (np.ptp(context, axis=1) == 0).any(), "flat series"


def test_awkward_windows_survive_storage_as_float16() -> None:
    context = awkward_windows(12, 3).context
    np.testing.assert_array_equal(context.astype(np.float16).astype(np.float32), context)


def test_both_forecasts_are_independent_of_the_batch_size(model: Path) -> None:
    windows = awkward_windows(5, 4)
    inputs = (windows.context, windows.week_minute, windows.profile)
    with torch.no_grad():
        expected = NETWORK(*(torch.from_numpy(values) for values in inputs)).numpy()
    for forecast in (onnx_forecast(model, batch=2), torch_forecast(NETWORK, batch=3)):
        np.testing.assert_allclose(forecast(*inputs), expected, rtol=1e-4, atol=1e-4)


def test_the_spread_of_a_flat_or_missing_series_is_the_floor_and_uptime_does_not_grow() -> None:
    context = np.full((1, 288, 14), 50.0, np.float32)
    context[0, :, 3] = np.nan
    context[0, ::2, 4] = 52.0
    context[0, :, -1] = 3 + np.arange(288) / 288
    sigma = spreads(context)[0]
    assert sigma[0] == pytest.approx(0.05, rel=1e-2)
    assert sigma[3] == pytest.approx(1e-6)
    assert sigma[4] == pytest.approx(1.0)
    assert sigma[-1] == pytest.approx(3e-3, rel=1e-2)


def test_the_fixture_holds_windows_and_what_the_model_forecasts_for_them(model: Path) -> None:
    packed = fixture(model)
    context = unpack_array(packed["context"]).astype(np.float32)
    quantiles = onnx_forecast(model)(
        context, unpack_array(packed["week_minute"]), unpack_array(packed["profile"])
    )
    first, step = packed["leads"]
    np.testing.assert_allclose(
        unpack_array(packed["quantiles"]), quantiles[:, first::step], rtol=1e-5, atol=1e-5
    )
