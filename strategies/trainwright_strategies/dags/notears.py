"""NOTEARS: weights of an acyclic graph by continuous optimisation."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize

from trainwright_objectives.acyclicity import walks
from trainwright_strategies.dags.graphs import Matrix
from trainwright_strategies.dags.scores import LeastSquares


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
    d, score = len(moments), LeastSquares(moments)
    weights, multiplier, penalty, before = np.zeros(d * d), 0.0, 1.0, np.inf
    bounds = [(0.0, 0.0) if i == j else (None, None) for i in range(d) for j in range(d)]

    def cycles(w: Matrix) -> tuple[float, Matrix]:
        powers = walks(torch.from_numpy(w * w), "exp").numpy()
        return float(np.trace(powers)) - d, powers * 2 * w

    def value(flat: Matrix) -> tuple[float, Matrix]:
        w = flat.reshape(d, d)
        rest = np.eye(d) - w
        h, steep = cycles(w)
        total = 0.5 * float((rest * (moments @ rest)).sum())
        slope = score.gradient(w) + (penalty * h + multiplier) * steep
        return total + 0.5 * penalty * h * h + multiplier * h, slope.reshape(-1)

    while penalty < largest_penalty:
        weights = minimize(value, weights, jac=True, method="L-BFGS-B", bounds=bounds).x
        h = cycles(weights.reshape(d, d))[0]
        multiplier += penalty * h
        if h <= tolerance:
            break
        penalty *= 10.0 if h > 0.25 * before else 1.0
        before = h
    found: Matrix = weights.reshape(d, d)
    return found
