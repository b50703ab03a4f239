"""Ridge logistic regression in NumPy, by Newton's method."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["logistic"]

Floats = npt.NDArray[np.floating[Any]]

_ROUNDS: Final = 30
_TOLERANCE: Final = 1e-6
_LARGEST_STEP: Final = 5.0


def logistic(x: Floats, came: Floats, weight: Floats, ridge: Floats, start: Floats) -> Floats:
    """Return coefficients [k] of log odds = x · coefficients, pulled towards `start` [k].

    `x` [m, k] has a column of ones where an intercept is wanted; `came` [m] is 0 or 1; `weight`
    [m] counts cases; `ridge` [k] is the penalty ½ · ridge · (coefficient − start)².
    """
    coefficients = np.array(start, np.float64)
    best = _loss(x, came, weight, ridge, start, coefficients)
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(x @ coefficients, -30, 30)))
        gradient = x.T @ (weight * (p - came)) + ridge * (coefficients - start)
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        step *= min(1.0, _LARGEST_STEP / max(float(np.abs(step).max()), 1e-12))
        loss = _loss(x, came, weight, ridge, start, coefficients - step)
        while loss > best and np.abs(step).max() > _TOLERANCE:
            step /= 2
            loss = _loss(x, came, weight, ridge, start, coefficients - step)
        if loss > best:
            break
        coefficients, best = coefficients - step, loss
        if np.abs(step).max() <= _TOLERANCE:
            break
    return coefficients


def _loss(
    x: Floats, came: Floats, weight: Floats, ridge: Floats, start: Floats, coefficients: Floats
) -> float:
    logits = np.clip(x @ coefficients, -30, 30)
    likelihood = weight @ (np.logaddexp(0.0, logits) - came * logits)
    return float(likelihood + 0.5 * (ridge @ (coefficients - start) ** 2))
