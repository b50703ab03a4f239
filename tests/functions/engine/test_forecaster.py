import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import onnx
import pytest

from functions.engine.forecaster import (
    CARD_KEY,
    CONTRACT,
    SHIPPED,
    Floats,
    Forecaster,
    ModelUnusable,
    State,
)
from model_export import card as export_card
from storage.config.folders import Folders
from storage.model.grid import schema_hash
from storage.model.metrics import METRIC_NAMES, METRICS
from storage.model.model_seal import sealed

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def model() -> Forecaster:
    return Forecaster.open(SHIPPED)


def day(servers: int = 1, seed: int = 0) -> Floats:
    """A working day of a fleet, [servers, 288, 14]."""
    random = np.random.default_rng(seed)
    wave = 10 * np.sin(2 * np.pi * np.arange(288) / 288)[None, :, None]
    context = 40 + wave + random.normal(size=(servers, 288, len(METRICS)))
    context[..., -1] = 12 + np.arange(288) / 288
    return context.astype(np.float32)


def with_card(tmp_path: Path, **changed: object) -> Path:
    """The shipped model with a few entries of its card replaced."""
    proto = onnx.load(str(SHIPPED))
    card = json.loads(proto.metadata_props[0].value)
    proto.metadata_props[0].value = json.dumps({**card, **changed})
    path = tmp_path / "changed.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_the_shipped_model_opens_and_fits(model: Forecaster) -> None:
    assert model.card["schema_hash"] == schema_hash()
    assert len(model.hash) == 16
    assert SHIPPED.stat().st_size <= 5_000_000


def test_writer_and_reader_mean_the_same_card() -> None:
    assert (CARD_KEY, CONTRACT) == (export_card.CARD_KEY, export_card.CONTRACT)


def test_quantiles_are_in_order_and_in_range(model: Forecaster) -> None:
    context = day(20)
    context[:, 200:, METRIC_NAMES.index("mem_used_pct")] = 99.5
    context[:, 100:, METRIC_NAMES.index("net_in_mb_s")] = 0.0
    quantiles = model.predict(context, NOON, ["generic"] * 20).quantiles
    assert quantiles.shape == (20, 96, 14, 7)
    assert quantiles.dtype == np.float32
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    for place, metric in enumerate(METRICS):
        assert quantiles[:, :, place].min() >= metric.lowest
        assert metric.highest is None or quantiles[:, :, place].max() <= metric.highest


def test_a_wave_is_forecast_as_a_wave(model: Forecaster) -> None:
    median = model.predict(day(), NOON, ["generic"]).quantiles[0, :, 0, 3]
    expected = 40 + 10 * np.sin(2 * np.pi * np.arange(96) / 288)
    assert np.abs(median - expected).mean() < 4


def test_uptime_goes_on(model: Forecaster) -> None:
    uptime = model.predict(day(), NOON, ["generic"]).quantiles[0, :, -1, 3]
    np.testing.assert_allclose(uptime, 13 + np.arange(96) / 288, atol=0.05)


def test_a_short_history_is_early_and_too_short_a_one_abstains(model: Forecaster) -> None:
    context = day(3)
    context[0, :-24] = np.nan  # two hours
    context[1, :-11] = np.nan
    context[2, :, 5] = np.nan
    forecast = model.predict(context, NOON, ["generic"] * 3)
    assert set(forecast.state[0]) == {State.EARLY}
    assert set(forecast.state[1]) == {State.ABSTAINED}
    assert forecast.state[2].tolist() == ["ok"] * 5 + ["abstained"] + ["ok"] * 8
    missing = np.isnan(forecast.quantiles).all((1, 3))
    np.testing.assert_array_equal(missing, forecast.state == State.ABSTAINED)


def test_gaps_do_not_make_a_metric_abstain(model: Forecaster) -> None:
    context = day()
    context[0, 50:150] = np.nan
    context[0, ::3] = np.nan
    forecast = model.predict(context, NOON, ["generic"])
    assert set(forecast.state[0]) == {State.OK}
    assert not np.isnan(forecast.quantiles).any()


def test_an_infinite_reading_is_a_missing_one(model: Forecaster) -> None:
    context, gap = day(), day()
    context[0, 7, 2], gap[0, 7, 2] = np.inf, np.nan
    infinite, missing = (model.predict(c, NOON, ["generic"]).quantiles for c in (context, gap))
    np.testing.assert_array_equal(infinite, missing)


def test_a_server_is_forecast_alike_in_any_company(model: Forecaster) -> None:
    context = day(40)
    kinds = (["database", "web_api"] * 20)[:40]
    together = model.predict(context, NOON, kinds).quantiles
    for row in (0, 17, 39):
        alone = model.predict(context[row : row + 1], NOON, kinds[row : row + 1]).quantiles
        np.testing.assert_allclose(together[row : row + 1], alone, atol=1e-3)


def test_profiles_may_be_names_or_places_and_unknown_ones_are_generic(model: Forecaster) -> None:
    context = np.repeat(day(), 3, axis=0)
    named = model.predict(context, NOON, ["database", "generic", "toaster"]).quantiles
    placed = model.predict(context, NOON, np.array([1, 6, 99])).quantiles
    np.testing.assert_array_equal(placed, model.predict(context, NOON, [1, 6, 99]).quantiles)
    np.testing.assert_allclose(named, placed, atol=1e-4)
    np.testing.assert_allclose(named[1], named[2], atol=1e-4)


def test_nobody_to_forecast_is_an_empty_forecast(model: Forecaster) -> None:
    forecast = model.predict(day(0), NOON, [])
    assert forecast.quantiles.shape == (0, 96, 14, 7)
    assert forecast.state.shape == (0, 14)


def test_a_context_of_another_shape_is_refused(model: Forecaster) -> None:
    with pytest.raises(ValueError, match=r"\(2, 144, 14\); \(servers, 288, 14\) is needed"):
        model.predict(day(2)[:, ::2], NOON, ["generic"] * 2)


@pytest.mark.parametrize(
    ("dtype", "says"), [(bool, "holds bool; float32"), (object, "holds object; float32")]
)
def test_a_context_of_no_numbers_is_refused(
    model: Forecaster, dtype: type[object], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        model.predict(day().astype(dtype), NOON, "generic")


def test_any_real_numbers_and_any_zone_will_do(model: Forecaster) -> None:
    expected = model.predict(day(), NOON, ["generic"]).quantiles
    east = NOON.astimezone(timezone(timedelta(hours=9)))
    result = model.predict(day().astype(np.float64), east, "generic")
    assert result.quantiles.dtype == np.float32
    np.testing.assert_array_equal(result.quantiles, expected)


def test_a_time_without_a_zone_is_refused(model: Forecaster) -> None:
    with pytest.raises(ValueError, match="no zone"):
        model.predict(day(), NOON.replace(tzinfo=None), ["generic"])


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        (["generic"], r"\(1,\) profiles for 2 servers"),
        ([0.5, 1.5], r"float64 \(expected names or whole"),
    ],
)
def test_profiles_that_do_not_fit_are_refused(
    model: Forecaster, profile: list[str], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        model.predict(day(2), NOON, profile)


def test_what_serves_is_the_folders_own_model_else_the_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOURSIGHT_DATA", str(tmp_path))
    assert Forecaster.open().path == SHIPPED
    own = Folders.at(tmp_path).create().models / "serving.onnx"
    own.write_bytes(SHIPPED.read_bytes())
    assert Forecaster.open().path == Forecaster.open(str(tmp_path)).path == own
    own.write_bytes(b"torn")
    with pytest.raises(ModelUnusable, match="truncated"):
        Forecaster.open()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=r"none\.onnx: cannot be read .*serves"):
        Forecaster.open(tmp_path / "none.onnx")


@pytest.mark.parametrize("kept", [0, 1000, 400_000])
def test_a_truncated_file_is_told_as_such(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "half.onnx"
    path.write_bytes(SHIPPED.read_bytes()[:kept])
    with pytest.raises(ModelUnusable, match=r"half\.onnx: (truncated or not an ONNX|has no card)"):
        Forecaster.open(path)


def test_a_sealed_model_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    content = bytearray(sealed(SHIPPED.read_bytes()))
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(content)
    with pytest.raises(ModelUnusable, match=r"flipped\.onnx: damaged, or changed after its export"):
        Forecaster.open(tmp_path / "flipped.onnx")


def test_a_file_without_a_card_is_not_ours(tmp_path: Path) -> None:
    proto = onnx.load(str(SHIPPED))
    del proto.metadata_props[:]
    path = tmp_path / "bare.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelUnusable, match=r"bare\.onnx: has no card"):
        Forecaster.open(path)


def test_a_foreign_schema_names_both_hashes(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match=f"schema abc, this program has {schema_hash()}"):
        Forecaster.open(with_card(tmp_path, schema_hash="abc"))


def test_another_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="contract 99, this program has 2"):
        Forecaster.open(with_card(tmp_path, contract=99))


def test_a_model_that_answers_differently_fails_its_self_test(tmp_path: Path) -> None:
    proto = onnx.load(str(SHIPPED))
    weights = max(proto.graph.initializer, key=lambda t: len(t.raw_data))
    values = np.frombuffer(weights.raw_data, np.float32) * np.float32(1.5)
    weights.raw_data = values.tobytes()
    path = tmp_path / "bent.onnx"
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelUnusable, match=r"bent\.onnx: self-test failed.*σ"):
        Forecaster.open(path)


def test_a_forecaster_leaves_no_telemetry_identifier_and_says_nothing(tmp_path: Path) -> None:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("ORT_", "XDG"))}
    opened = "from functions.engine.forecaster import SHIPPED, Forecaster; Forecaster.open(SHIPPED)"
    ran = subprocess.run(
        [sys.executable, "-c", opened], env=kept | {"HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.stderr, ran.returncode, list(tmp_path.iterdir())) == ("", 0, [])
