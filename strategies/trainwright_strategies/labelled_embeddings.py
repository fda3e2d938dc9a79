"""Embeddings of all samples of a split with their classes, for probes that learn from them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from trainwright.strategy import Batch, Evaluation
from trainwright_strategies.all_rows import all_rows
from trainwright_strategies.outputs import column_of, output_of


class Replaced:
    """A batch in which the model reads one column in place of another.

    Args:
        read: the column that the model reads; None leaves batches as they are.
        bank: the column in its place: the clean image beside its views, say.

    Raises:
        ValueError: one of them is given without the other.
    """

    def __init__(self, read: str | None, bank: str | None) -> None:
        if (read is None) != (bank is None):
            raise ValueError(
                "bank is the column that takes the place of read: give both or neither, got "
                f"read {read!r} and bank {bank!r}"
            )
        self._read, self._bank = read, bank

    def __call__(self, batch: Batch) -> Batch:
        """``batch`` with ``bank`` under the name ``read``."""
        if self._read is None or self._bank is None:
            return batch
        column_of(batch, self._read)  # a wrong name would replace nothing
        return {**batch, self._read: column_of(batch, self._bank)}


def labelled_embeddings(
    evaluation: Evaluation, output: str, target: str, replaced: Replaced, split: str = "train"
) -> tuple[Tensor, Tensor]:
    """Each worker embeds its share; all of them get all (a collective).

    Args:
        evaluation: of the present model.
        output: name of the model's output, shape (B, D).
        target: column of the classes.
        replaced: what the model reads.
        split: whose samples.

    Returns:
        The outputs, float32 of shape (N, D), and the classes, int64 of shape (N,).
    """
    own = [
        torch.cat([output_of(outputs, output), column_of(batch, target)[:, None].double()], dim=1)
        for batch, outputs in evaluation.batches(split, replaced)
    ]
    rows = all_rows(evaluation.context, own)
    return rows[:, :-1].float(), rows[:, -1].long()


def accuracy(
    evaluation: Evaluation, output: str, target: str, classify: Callable[[Tensor], Tensor]
) -> float:
    """The share of samples of the evaluated split whose class is told rightly (a collective).

    Args:
        evaluation: of the present model.
        output: name of the model's output, shape (B, D).
        target: column of the classes.
        classify: embeddings in float32, shape (B, D) -> classes, shape (B,).
    """
    counted = torch.zeros(2, dtype=torch.float64)
    for batch, outputs in evaluation.batches():
        found = classify(output_of(outputs, output).float())
        right = (found == column_of(batch, target)).sum()
        counted += torch.tensor([float(right), len(found)], dtype=torch.float64)
    right, total = evaluation.sum(counted)
    return float(right / total)
