"""NOTEARS: weights of an acyclic graph by continuous optimisation."""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm
from scipy.optimize import minimize

from trainwright_strategies.dags.orders import Matrix, score_gradient


def notears(moments: Matrix, tolerance: float = 1e-8, largest_penalty: float = 1e16) -> Matrix:
    """Weights (d, d) of low score and, up to rounding, without cycles.

    Minimises 0.5 tr((I - W)^T S (I - W)) subject to tr(exp(W * W)) = d by the augmented
    Lagrangian method with L-BFGS, from zero and without an L1 term (X. Zheng, B. Aragam, P.
    Ravikumar, E. Xing, "DAGs with NO TEARS", 2018, arXiv 1803.01422).

    Args:
        moments: S = X^T X / n.
        tolerance: of the constraint.
        largest_penalty: at which it ends at the latest.
    """
    d = len(moments)
    weights, multiplier, penalty, before = np.zeros(d * d), 0.0, 1.0, np.inf
    bounds = [(0.0, 0.0) if i == j else (None, None) for i in range(d) for j in range(d)]

    def value(flat: Matrix) -> tuple[float, Matrix]:
        w = flat.reshape(d, d)
        rest = np.eye(d) - w
        powers = expm(w * w)
        h = float(np.trace(powers)) - d
        score = 0.5 * float((rest * (moments @ rest)).sum())
        slope = score_gradient(moments, w) + (penalty * h + multiplier) * 2 * powers.T * w
        return score + 0.5 * penalty * h * h + multiplier * h, slope.reshape(-1)

    while penalty < largest_penalty:
        weights = minimize(value, weights, jac=True, method="L-BFGS-B", bounds=bounds).x
        square = weights.reshape(d, d) ** 2
        h = float(np.trace(expm(square))) - d
        multiplier += penalty * h
        if h <= tolerance:
            break
        penalty *= 10.0 if h > 0.25 * before else 1.0
        before = h
    found: Matrix = weights.reshape(d, d)
    return found
