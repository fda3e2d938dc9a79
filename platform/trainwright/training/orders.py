"""The order of each epoch: from the seed, changed by strategies, kept for a resume."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trainwright.collectives import from_everyone
from trainwright.data.groups import group_bounds, group_order
from trainwright.data.hashes import Ints
from trainwright.data.order import epoch_order
from trainwright.data.rows import Rows
from trainwright.data.table import SAMPLE_ID, Table
from trainwright.errors import CheckpointError, RunError
from trainwright.strategy import Order, Strategy
from trainwright.strategy.compose import using


class Orders:
    """Gives the order of an epoch; asks the strategies once, when the epoch begins.

    What the strategies said is part of the checkpoints of the epoch: a run resumed in its middle
    goes on in the same order, whatever their state has become since.

    Args:
        seed: the job's seed.
        shuffle: whether epochs are shuffled.
        strategies: in job order; their ``order`` hooks change the order one after the other.
        group: the column whose groups are kept whole, if any.

    Attributes:
        seed: the job's seed.
        shuffle: whether epochs are shuffled.
        bounds: where a group ends in the order that was asked for last; None without groups.
    """

    def __init__(
        self,
        seed: int,
        shuffle: bool = True,
        strategies: Sequence[Strategy] = (),
        group: str | None = None,
    ) -> None:
        self.group = group
        self.bounds: Ints | None = None
        self.seed = seed
        self.shuffle = shuffle
        self._hooks = using(strategies, "order")
        self._drawn = -1
        self._order: Order | None = None
        self._restored: Mapping[str, Any] = {}

    def groups(self, table: Rows) -> Ints | None:
        """The group of each row of a table; None where groups are not kept whole."""
        if self.group is None:
            return None
        assert isinstance(table, Table)
        return table.tensors[self.group].numpy().astype(np.int64, copy=False)

    def num_groups(self, table: Rows) -> int | None:
        """The number of groups of a table; None where groups are not kept whole."""
        groups = self.groups(table)
        return None if groups is None else len(np.unique(groups))

    def __call__(self, table: Rows, epoch: int, drawn: int | None = None) -> Order:
        """The order of an epoch; a collective at its first call where strategies take part.

        Args:
            table: the samples of the phase.
            epoch: the phase's epoch, which strategies are told.
            drawn: the run's epoch, which decides the random numbers; default: the same.
        """
        drawn = epoch if drawn is None else drawn
        if drawn != self._drawn or self._order is None:
            order = self._kept(table, drawn) or self._make(table, epoch, drawn)
            groups = self.groups(table)
            if groups is not None:
                self.bounds = self._bounds(groups[order.indices], epoch)
            self._drawn, self._order = drawn, order
        return self._order

    def _make(self, table: Rows, epoch: int, drawn: int) -> Order:
        order = Order(self._shuffled(table, drawn), None, _ids(table))
        for strategy in self._hooks:
            name = type(strategy).__name__
            order = strategy.order(epoch, order)
            try:
                order.check()
            except ValueError as error:
                raise RunError(f"strategy {name}: {error}") from error
            if order.weights is not None and not strategy.declares.sample_weights:
                raise RunError(
                    f"strategy {name} weights samples without saying so: "
                    "set declares = Declares(sample_weights=True)"
                )
        if self._hooks and len(set(from_everyone(_digest(order)))) > 1:
            names = ", ".join(type(strategy).__name__ for strategy in self._hooks)
            raise RunError(
                f"the order of epoch {epoch} differs between workers ({names}): it may depend on "
                'tables, state that is equal on all workers and rng(scope="world") alone'
            )
        return order

    def _shuffled(self, table: Rows, drawn: int) -> Ints:
        groups = self.groups(table)
        if groups is not None:
            return group_order(groups, self.seed, drawn, self.shuffle)
        return epoch_order(len(table), self.seed, drawn, self.shuffle)

    def _bounds(self, groups: Ints, epoch: int) -> Ints:
        try:
            return group_bounds(groups)
        except ValueError as error:
            raise RunError(f"the order of epoch {epoch}: {error}") from error

    def _kept(self, table: Rows, drawn: int) -> Order | None:
        """The order that a checkpoint brought, if it is that of this epoch."""
        state, self._restored = self._restored, {}
        if not state or state["epoch"] != drawn:
            return None
        weights = state["weights"]
        order = Order(
            state["indices"].numpy(),
            None if weights is None else weights.numpy(),
            _ids(table),
        )
        try:
            order.check()
        except ValueError as error:
            raise CheckpointError(f"the order kept in the checkpoint: {error}") from error
        return order

    def state_dict(self) -> dict[str, Any]:
        """The present epoch's order, where strategies made it."""
        if not self._hooks or self._order is None:
            return dict(self._restored)
        weights = self._order.weights
        return {
            "epoch": self._drawn,
            "indices": torch.from_numpy(self._order.indices),
            "weights": None if weights is None else torch.from_numpy(weights),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``, for when the epoch is asked for."""
        if self._hooks:
            self._restored = dict(state)
            self._drawn, self._order = -1, None


def _ids(table: Rows) -> Ints:
    assert isinstance(table, Table)
    ids: Ints = table.tensors[SAMPLE_ID].numpy()
    return ids


def _digest(order: Order) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(order.indices).data)
    if order.weights is not None:
        digest.update(np.ascontiguousarray(order.weights).data)
    return digest.hexdigest()
