"""Mean absolute value of a model's output, recorded in every update."""

from __future__ import annotations

from trainwright.strategy import Batch, Compute, Declares, Loss, Strategy
from trainwright_strategies.outputs import output_of


class OutputScale(Strategy):
    """Probe: record how large an output of the model is.

    Adds ``train/output_scale`` to every update: the mean absolute value over samples and
    components, weighted over micro-batches and workers as the loss is. Nothing else changes; the
    output is taken from the forward pass that the loss needs anyway.

    Equation:
        output_scale = mean over samples i and components k of |o_ik|

    Args:
        output: name of the model's output.

    Needs:
        A model that gives the output. Strategies behind it in the job that make outputs of their
        own (several dropout masks, say) are left as they are: stand behind them to measure theirs.
    """

    declares = Declares(probe=True)

    def __init__(self, output: str = "logits") -> None:
        self.output = output

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        """The loss as it is, with the scale among what is recorded."""
        outputs = compute.forward(batch)
        scale = output_of(outputs, self.output).detach().float().abs().mean()
        loss = compute(batch, outputs)
        return Loss(loss.value, {**loss.logged, "output_scale": scale})
