"""Which samples belong to which client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Ints = npt.NDArray[np.int64]


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


class Partition(ABC):
    """The rows of every client; it costs nothing to have many clients that are never asked for."""

    @property
    @abstractmethod
    def num_clients(self) -> int:
        """How many clients there are."""

    @abstractmethod
    def rows(self, client: int) -> Tensor:
        """The rows of a client in the training table, int64, at least one."""

    @abstractmethod
    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients has."""

    @abstractmethod
    def digest(self) -> str:
        """Hash of which rows belong to whom: 32 hexadecimal digits."""


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
