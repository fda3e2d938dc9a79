"""How an aggregator is used in its checks, and one check of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from trainwright.federated import Aggregator
from trainwright.plugins import create
from trainwright.testing.federated.miniature import Miniature, federation_of
from trainwright.testing.federated.tasks import Classes, network


@dataclass(frozen=True)
class AggregatorCase:
    """An aggregator with the settings under which it is checked.

    Attributes:
        name: short name, import path, or ``file.py:Name`` beside ``base``.
        options: its options, such that it does not do the same as plain averaging.
        neutral: options that are changed for it to be plain averaging bit for bit; None where
            no options make it so.
        moves_by: in a first round in which all clients moved by u, the server moves by
            ``moves_by * u``; None: along u in a wider sense, by some vector whose product with
            u is positive.
        cohort: clients that take part in a round; two more are there.
        optimizer: options of the clients' SGD.
        exempt: name of a check -> why it cannot hold for this aggregator.
        base: folder against which plugin files are found.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    neutral: Mapping[str, Any] | None = None
    moves_by: float | None = 1.0
    cohort: int = 5
    optimizer: Mapping[str, Any] = field(default_factory=lambda: {"lr": 0.1})
    exempt: Mapping[str, str] = field(default_factory=dict)
    base: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        if any(not reason.strip() for reason in self.exempt.values()):
            raise ValueError(f"{self.name}: an exemption needs a reason")

    def make(self, **changes: Any) -> Aggregator:
        """The aggregator under the case's options, some of which are changed."""
        options = {**self.options, **changes}
        return cast(Aggregator, create("aggregators", self.name, self.base, **options))

    def miniature(self, aggregator: Aggregator | None = None, alike: bool = False) -> Miniature:
        """A federation in miniature before its first round; each round has another cohort.

        Args:
            aggregator: to use in place of the case's own.
            alike: whether all clients have equally many samples.
        """
        aggregator = aggregator or self.make()
        population = self.cohort + 2
        task = Classes(population, alike, aggregator.local_tensors(network()))
        federation = federation_of(task, self.cohort, options=self.optimizer)

        def cohort_of(round: int) -> list[int]:
            return [(round + place) % population for place in range(self.cohort)]

        return Miniature(aggregator, task, federation, cohort_of)

    def __str__(self) -> str:
        return self.name.rpartition(":")[2]


@dataclass(frozen=True)
class AggregatorCheck:
    """A check of an aggregator, ready to be called.

    Attributes:
        case: the aggregator and its settings.
        function: what is checked; raises ``AssertionError`` where it does not hold.
    """

    case: AggregatorCase
    function: Callable[[AggregatorCase], None]

    @property
    def name(self) -> str:
        """The function's name, by which a case can be exempt from it."""
        return self.function.__name__

    def __call__(self) -> None:
        """Run the check."""
        self.function(self.case)

    def __str__(self) -> str:
        return f"{self.case}-{self.name}"
