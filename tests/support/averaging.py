"""Strategies that evaluate and export in their own way, as a user would write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from trainwright.strategy import Batch, Context, Evaluation, Outputs, Strategy

VIEWS = (0.9, 1.1)
PROBE = 0.1


class TestTimeAverage(Strategy):
    """Average the logits over two views of each sample, and measure how often they agree."""

    __test__ = False

    def predict(self, batch: Batch, compute: Callable[[Batch], Outputs]) -> Outputs:
        logits = [compute(self._view(batch, scale))["logits"] for scale in VIEWS]
        return {"logits": torch.stack(logits).mean(dim=0)}

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        counts = torch.zeros(2, dtype=torch.float64)
        for batch, outputs in evaluation.batches():
            single = evaluation.forward(self._view(batch, PROBE))["logits"]
            same = single.argmax(dim=1) == outputs["logits"].argmax(dim=1)
            counts += torch.tensor([same.sum(), len(same)], dtype=torch.float64)
        agreeing, total = evaluation.sum(counts).tolist()
        return {"agreement": agreeing / total}

    def _view(self, batch: Batch, scale: float) -> dict[str, Tensor]:
        return {**batch, "features": batch["features"] * scale}


class RightAnswers(Strategy):
    """Count the right answers on a split, whichever is being evaluated."""

    def __init__(self, split: str = "train") -> None:
        self.split = split

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        counts = torch.zeros(2, dtype=torch.float64)
        for batch, outputs in evaluation.batches(self.split):
            same = outputs["logits"].argmax(dim=1) == batch["target"]
            counts += torch.tensor([same.sum(), len(same)], dtype=torch.float64)
        right, total = evaluation.sum(counts).tolist()
        return {"right": right, "samples": total}


class FurtherPasses(Strategy):
    """Run the model again on each batch, and on changed ones; count runs and what is to count."""

    def evaluate(self, evaluation: Evaluation) -> Mapping[str, float]:
        counts = torch.zeros(2, dtype=torch.float64)
        for (batch, outputs, counted), (_, other, _) in zip(
            evaluation.passes(), evaluation.passes(change=_halved), strict=True
        ):
            again = evaluation.forward(batch)["logits"]
            assert torch.equal(again, outputs["logits"])
            halved = evaluation.forward(_halved(batch))["logits"]
            assert torch.equal(halved, other["logits"])
            assert not torch.equal(halved, again)
            counts += torch.tensor([1, len(again) * counted], dtype=torch.float64)
        passes, samples = evaluation.sum(counts).tolist()
        return {"passes": passes, "samples": samples}


def _halved(batch: Batch) -> dict[str, Tensor]:
    return {**batch, "features": batch["features"] / 2}


class Recalibration(Strategy):
    """Export with the batch-norm statistics of the training samples as the final weights see them.

    Needs batch norm; a model without it is refused.
    """

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        self.context = context
        return model

    def export(self, model: nn.Module) -> nn.Module:
        samples = self.context.data
        assert samples is not None
        layers = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d)]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        model.train()
        with torch.no_grad():
            for batch in samples.batches("train", batch_size=1000):
                samples.forward(model, batch)
        return model
