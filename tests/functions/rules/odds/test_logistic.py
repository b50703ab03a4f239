import numpy as np
import pytest

from functions.rules.odds.logistic import logistic

RNG = np.random.default_rng(2)
X = np.stack([np.ones(4000), RNG.normal(size=4000)], axis=1)
TRUE = np.array([-1.0, 2.0])
CAME = (RNG.random(4000) < 1 / (1 + np.exp(-X @ TRUE))).astype(float)


def test_it_finds_the_coefficients_that_made_the_outcomes() -> None:
    fitted = logistic(X, CAME, np.ones(4000), np.zeros(2), np.zeros(2))
    assert fitted == pytest.approx(TRUE, abs=0.15)


def test_a_large_penalty_keeps_it_where_it_starts() -> None:
    start = np.array([0.3, -0.2])
    fitted = logistic(X, CAME, np.ones(4000), np.full(2, 1e9), start)
    assert fitted == pytest.approx(start, abs=1e-3)


def test_a_weight_of_two_is_a_case_that_came_twice() -> None:
    twice = np.concatenate([X, X[:500]]), np.concatenate([CAME, CAME[:500]])
    weight = np.where(np.arange(4000) < 500, 2.0, 1.0)
    zero = np.zeros(2)
    one = logistic(X, CAME, weight, zero, zero)
    assert one == pytest.approx(logistic(*twice, np.ones(4500), zero, zero), abs=1e-5)


def test_outcomes_that_can_be_told_apart_without_error_do_not_end_it() -> None:
    came = (X[:, 1] > 0).astype(float)
    fitted = logistic(X, came, np.ones(4000), np.full(2, 1.0), np.zeros(2))
    assert np.isfinite(fitted).all()
    assert ((X @ fitted > 0) == (came > 0)).mean() > 0.99
