"""No input takes more than linear time: what took hours before is done within seconds."""

import pytest

from scripts.tools import linear_time
from scripts.tools.linear_time import PROBES, Probe, run

# At this size the quadratic parsers took minutes, the linear ones take 0.3 s at most.
SIZE = 60_000
GENEROUS_S = 10.0


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: f"{probe.door}: {probe.name}")
def test_an_input_that_was_made_to_be_slow_is_read_or_refused_in_time(probe: Probe) -> None:
    assert run(probe, SIZE) < GENEROUS_S


@pytest.mark.parametrize(
    ("seconds", "exponent"),
    [
        ((0.1, 0.2, 0.4, 0.8), "1.00"), ((0.1, 0.4, 1.6), "2.00"), ((0.001, 0.1, 0.2), "1.00"),
        ((0.001, 0.002), "(too fast)"), ((0.5,), "-"),
    ],
)  # fmt: skip
def test_a_row_has_times_memory_and_the_exponent(
    seconds: tuple[float, ...], exponent: str,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    taken = iter([*({"seconds": each, "mb": 7.0} for each in seconds), None])
    monkeypatch.setattr(linear_time, "_measured", lambda *_: next(taken, None))
    linear_time.main(["snappy"])
    head, row = capsys.readouterr().out.splitlines()
    assert all(column in head for column in ("input", "1n", "8n", "MB", "exponent"))
    assert row.startswith("snappy: zeros")
    assert row.endswith(f"7 {exponent}")
    assert ("> 60" in row) == (len(seconds) < 4)
