"""What the global loss of a federation is made of: FedLD's decomposition into three terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

LOCAL_LOSS = "decomposition/local_loss"
DISTRIBUTION_SHIFT = "decomposition/distribution_shift"
AGGREGATION = "decomposition/aggregation"


def decomposition(
    local_losses: Sequence[float],
    shifted_losses: Sequence[float],
    weights: Sequence[float],
    global_loss: float,
) -> dict[str, float]:
    """Split the loss of the global model on all samples into three terms that add up to it.

    With client m's share p_m of the weights, its model w_m after its training, its samples D_m,
    the global samples D and the global model w after the server's step::

        local_loss         = sum of p_m * L_{D_m}(w_m)
        distribution_shift = sum of p_m * (L_D(w_m) - L_{D_m}(w_m))
        aggregation        = L_D(w) - sum of p_m * L_D(w_m)

    Args:
        local_losses: L_{D_m}(w_m) of each client, a mean over its samples.
        shifted_losses: L_D(w_m) of each client, a mean over the global samples.
        weights: of the clients, at least 0: their numbers of samples, or ones.
        global_loss: L_D(w).

    Returns:
        The three terms by name, computed in float64. A client whose loss is not finite makes
        those terms NaN or infinite that it is part of.

    Raises:
        ValueError: there are not as many of each, or weights that make no average.
    """
    if not len(local_losses) == len(shifted_losses) == len(weights):
        raise ValueError(
            f"there must be as many losses as weights, got {len(local_losses)} local ones, "
            f"{len(shifted_losses)} on the global samples and {len(weights)} weights"
        )
    total = math.fsum(weights)
    if not (math.isfinite(total) and total > 0 and min(weights) >= 0):
        raise ValueError(f"weights must be at least 0 and one of them above, got {list(weights)}")
    shares = [weight / total for weight in weights]
    local = _average(shares, local_losses)
    shifted = _average(shares, shifted_losses)
    return {
        LOCAL_LOSS: local,
        DISTRIBUTION_SHIFT: shifted - local,
        AGGREGATION: global_loss - shifted,
    }


def _average(shares: Sequence[float], values: Sequence[float]) -> float:
    """The weighted average; a client without weight does not count, whatever its value."""
    products = [share * value for share, value in zip(shares, values, strict=True) if share]
    # Infinities of both signs would make fsum raise.
    return math.fsum(products) if all(map(math.isfinite, products)) else sum(products)
