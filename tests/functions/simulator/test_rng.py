"""Stateless random numbers: repeatable, independent by key, and of the stated distribution."""

import numpy as np

from functions.simulator.rng import keyed, keys_of, normal, uniform

MANY = np.arange(100_000, dtype=np.int64)


def test_the_same_name_and_seed_give_the_same_key_and_others_another() -> None:
    keys = keys_of(["web1", "web2", "web1"], seed=5)
    assert keys.dtype == np.uint64
    assert keys[0] == keys[2] != keys[1]
    assert keys_of(["web1"], seed=6)[0] != keys[0]


def test_a_part_of_the_counters_gives_the_same_numbers_as_all_of_them() -> None:
    key = keys_of(["web1"], seed=5)
    np.testing.assert_array_equal(uniform(key, MANY)[700:800], uniform(key, MANY[700:800]))


def test_counters_are_hashed_in_order_and_broadcast() -> None:
    keys = keys_of(["web1", "web2"], seed=5)[:, None]
    table = keyed(keys, MANY[:3])
    assert table.shape == (2, 3)
    np.testing.assert_array_equal(keyed(keys, 1)[:, 0], table[:, 1])
    assert not np.array_equal(keyed(keys, 1, 2), keyed(keys, 2, 1))


def test_uniform_numbers_fill_0_to_1_evenly() -> None:
    numbers = uniform(keys_of(["web1"], seed=5), MANY)
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert counts.sum() == len(MANY)
    assert (np.abs(counts - 10_000) < 400).all()
    assert numbers.max() < 1


def test_normal_numbers_have_mean_0_deviation_1_and_a_bound() -> None:
    numbers = normal(keyed(keys_of(["web1"], seed=5), MANY))
    assert numbers.dtype == np.float32
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert np.abs(numbers).max() <= 3.47


def test_neighbouring_counters_and_keys_are_not_correlated() -> None:
    one, other = (normal(keyed(keys_of([name], seed=5), MANY)) for name in ("web1", "web2"))
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
