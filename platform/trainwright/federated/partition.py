"""Which samples belong to which client."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Population:
    """What a partitioner is given.

    Attributes:
        num_clients: clients to make; None where the partitioner is to find out.
        num_samples: rows of the training table.
        seed: decides the partition.
        column: gives a column of the training table by its name, shape (rows, ...).
        target: name of the column of classes; None where there is none.
        num_classes: of it; 0 where there is none.
    """

    num_clients: int | None
    num_samples: int
    seed: int
    column: Callable[[str], Tensor]
    target: str | None
    num_classes: int

    def wanted_clients(self, min_samples: int = 1, share_rows: bool = False) -> int:
        """The number of clients, for a partitioner that has to be told.

        Args:
            min_samples: samples that each has at least.
            share_rows: whether a sample may belong to several clients, so that there may be more
                clients than samples.

        Raises:
            ValueError: it is not given, or there are too few samples for so many.
        """
        if self.num_clients is None:
            raise ValueError("the number of clients is missing: give federation.clients")
        if not share_rows and self.num_clients * min_samples > self.num_samples:
            each = "one sample" if min_samples == 1 else f"{min_samples} samples"
            raise ValueError(
                f"{self.num_samples} training samples are too few for {self.num_clients} clients "
                f"with at least {each} each: use at most {self.num_samples // min_samples} "
                "clients, or the partition drawn, in which clients share samples"
            )
        return self.num_clients

    def classes(self, column: str | None = None) -> Ints:
        """The class of each row, shape (rows,).

        Args:
            column: a column of whole numbers; default: the target.

        Raises:
            ValueError: there is no such column, or a class has no samples.
        """
        name = column or self.target
        if name is None:
            raise ValueError(
                "there is no column of classes: name one in the option column, or use a "
                "partition that needs none, as iid or quantity_skew"
            )
        values = self.column(name)
        if values.ndim != 1 or values.dtype.is_floating_point or values.dtype == torch.bool:
            raise ValueError(
                f"column {name!r} has no classes but {str(values.dtype).removeprefix('torch.')} "
                f"of shape {list(values.shape[1:])}: name a column of type class or group"
            )
        labels = values.to(torch.int64).numpy()
        if name != self.target:
            return np.unique(labels, return_inverse=True)[1].astype(np.int64, copy=False)
        missing = np.flatnonzero(np.bincount(labels, minlength=self.num_classes) == 0)
        if len(missing):
            raise ValueError(
                f"{_named(missing)} of column {name!r} {'has' if len(missing) == 1 else 'have'} no "
                "training sample: correct the column's classes, or hold out fewer samples"
            )
        return labels


def _named(classes: Ints, most: int = 5) -> str:
    """``class 3`` or ``classes 3, 4, …``."""
    shown = ", ".join(str(number) for number in classes[:most])
    return f"class{'es' if len(classes) > 1 else ''} {shown}{', …' if len(classes) > most else ''}"


class Partition(ABC):
    """The rows of every client; it costs nothing to have many clients that are never asked for."""

    @property
    @abstractmethod
    def num_clients(self) -> int:
        """How many clients there are."""

    @abstractmethod
    def rows(self, client: int) -> Tensor:
        """The rows of a client in the training table, int64, at least one."""

    def rows_of(self, clients: Ints) -> list[Tensor]:
        """:meth:`rows` of some clients, which may cost less than one by one."""
        return [self.rows(client) for client in clients.tolist()]

    @abstractmethod
    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients has."""

    @abstractmethod
    def digest(self) -> str:
        """Hash of which rows belong to whom: 32 hexadecimal digits."""

    def description(self) -> Mapping[str, Any]:
        """What the rows are a function of, in plain values, where they are not listed."""
        return {}

    def in_proportion(self, numbers: Floats) -> Ints:
        """Clients drawn in proportion to their rows; -1 where a draw is to be passed over.

        Args:
            numbers: uniformly distributed in [0, 1), shape (draws, 2).
        """
        rows = np.floor(numbers[:, 0] * self._ends[-1])
        clients: Ints = np.searchsorted(self._ends, rows, side="right").astype(np.int64)
        return clients

    @cached_property
    def _ends(self) -> Ints:
        """Sum of the rows of all clients up to each, itself with them."""
        return np.cumsum(self.sizes(np.arange(self.num_clients)))


class Indexed(Partition):
    """Lists of rows, one after another: those of a client are a slice.

    Attributes:
        indices: rows of the training table, int64.
        bounds: the rows of client ``i`` are ``indices[bounds[i]:bounds[i + 1]]``, int64.
    """

    def __init__(self, indices: Ints, bounds: Ints) -> None:
        """Take over both arrays.

        Raises:
            ValueError: a client has no rows, or the bounds do not fit.
        """
        self.indices = torch.from_numpy(np.ascontiguousarray(indices, dtype=np.int64))
        self.bounds = np.ascontiguousarray(bounds, dtype=np.int64)
        if len(bounds) < 2 or bounds[0] != 0 or bounds[-1] != len(indices):
            raise ValueError(
                f"bounds must begin with 0 and end with the {len(indices)} rows, got "
                f"{len(bounds)} of them"
            )
        empty = np.flatnonzero(np.diff(self.bounds) < 1)
        if len(empty):
            raise ValueError(
                f"{len(empty)} of {len(bounds) - 1} clients have no samples, the first is client "
                f"{empty[0]}: use fewer clients, or a partition that is less uneven"
            )

    @classmethod
    def of(cls, owners: Ints, num_clients: int) -> Indexed:
        """The partition in which row ``i`` belongs to client ``owners[i]``; to nobody at -1.

        Raises:
            ValueError: a client has no rows.
        """
        order = np.argsort(owners, kind="stable")
        sizes = np.bincount(owners[owners >= 0], minlength=num_clients)
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        return cls(order[len(owners) - bounds[-1] :], bounds)

    @property
    def num_clients(self) -> int:
        """How many clients there are."""
        return len(self.bounds) - 1

    def rows(self, client: int) -> Tensor:
        """The rows of a client in the training table, int64, at least one."""
        return self.indices[self.bounds[client] : self.bounds[client + 1]]

    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients has."""
        return self.bounds[clients + 1] - self.bounds[clients]

    def digest(self) -> str:
        """Hash of which rows belong to whom: 32 hexadecimal digits."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(f"indexed|{self.num_clients}|".encode())
        digest.update(self.bounds.astype("<i8", copy=False).data)
        digest.update(self.indices.numpy().astype("<i8", copy=False).data)
        return digest.hexdigest()[:32]


class Partitioner(ABC):
    """Divides a training table among clients; the constructor's signature is the options' schema.

    It must be a pure function of options and population.
    """

    @abstractmethod
    def __call__(self, population: Population) -> Partition:
        """Divide.

        Raises:
            ValueError: it cannot be done; the message says why, and what would help.
        """
