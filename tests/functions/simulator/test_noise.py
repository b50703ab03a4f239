"""AR(1) noise: its distribution, its memory, and the same values in any window."""

import numpy as np

from functions.simulator.noise import SETTLED_SECONDS, ar_noise
from functions.simulator.rng import Floats, keys_of

KEYS = keys_of([f"s{i}" for i in range(200)], seed=5)
TIMES = 1_772_409_600 + np.arange(0, 86_400, 300, dtype=np.int64)


def noise(times: np.ndarray, names: tuple[str, ...] = ("cpu",)) -> Floats:
    return ar_noise(KEYS, times, names)["cpu"]


def test_it_has_mean_0_and_deviation_about_1() -> None:
    values = noise(TIMES)
    assert values.shape == (len(KEYS), len(TIMES))
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.1


def test_a_part_of_the_times_has_the_same_values() -> None:
    np.testing.assert_array_equal(noise(TIMES)[:, 50:90], noise(TIMES[50:90]))
    np.testing.assert_array_equal(noise(TIMES)[:, ::7], noise(TIMES[::7]))


def test_it_is_correlated_over_minutes_and_not_beyond_the_settling_time() -> None:
    values = noise(TIMES)
    settled = SETTLED_SECONDS // 300
    near, far = (np.mean(values[:, :-lag] * values[:, lag:]) for lag in (1, settled))
    assert near > 0.75
    assert abs(far) < 0.1


def test_channels_and_keys_are_independent() -> None:
    both = ar_noise(KEYS, TIMES, ("cpu", "memory"))
    assert abs(np.corrcoef(both["cpu"].ravel(), both["memory"].ravel())[0, 1]) < 0.1
    between = np.asarray(np.corrcoef(both["cpu"]))[np.triu_indices(len(KEYS), 1)]
    assert abs(between.mean()) < 0.05


def test_it_has_no_jump_between_two_knots() -> None:
    seconds = TIMES[0] + np.arange(0, 900, 5, dtype=np.int64)
    steps = np.diff(noise(seconds), axis=1)
    assert steps.std() < 0.4  # mostly the white part, of deviation 0.2 in each sample
