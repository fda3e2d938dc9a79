"""Population based training without anything that runs: who copies whom, and with which values.

Source: M. Jaderberg et al., Population based training of neural networks, 2017 (arXiv 1711.09846).
"""

from __future__ import annotations

import math
from collections.abc import Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from trainwright.search.space.domain import Domain, Value
from trainwright.search.space.numeric import Steps
from trainwright.search.space.options import identity
from trainwright.search.space.reading import Parameter
from trainwright.search.space.sampling import MOST_DRAWS, Sampler
from trainwright.search.space.space import Assignment
from trainwright.search.spec import PbtSpec

if TYPE_CHECKING:
    import numpy as np

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Standing:
    """How a member stood when it was last compared.

    Attributes:
        resource: how far it was, in the unit of ``every``.
        step: the same in updates.
        score: more is better; minus infinity where its value was not finite.
    """

    resource: float
    step: int
    score: float


@dataclass
class Standings:
    """Which members are to be compared, and which copy which.

    Attributes:
        every: how far a member trains between two comparisons.
        quantile: share of the members that copy, and that are copied; at most a half.
        latest: by number, of the members that were compared with what they train now.
    """

    every: float
    quantile: float
    latest: dict[int, Standing] = field(default_factory=dict)
    _due: dict[int, float] = field(default_factory=dict)

    def is_due(self, number: int, resource: float) -> bool:
        """Whether a member has trained long enough to be compared."""
        return resource >= self._due.get(number, self.every) - _ROUNDING

    def put(self, number: int, standing: Standing) -> None:
        """Take in how a member stands now that it is due."""
        self.latest[number] = standing
        self._due[number] = self._after(standing.resource)

    def leave(self, number: int) -> None:
        """A member has ended: it neither copies nor is copied."""
        self.latest.pop(number, None)

    def donors(self, number: int) -> list[int]:
        """Members that this one may copy, by number: none unless it is among the worst."""
        order = sorted(self.latest, key=lambda n: (self.latest[n].score, n))
        share = min(math.ceil(len(order) * self.quantile), len(order) // 2)
        if number not in order[:share]:
            return []
        best = order[len(order) - share :]
        return sorted(n for n in best if self.latest[n].score > self.latest[number].score)

    def copied(self, number: int, donor: int) -> None:
        """A member goes on from where another one was compared; it is compared a time later."""
        self._due[number] = self._after(self.latest[donor].resource)
        del self.latest[number]

    def _after(self, resource: float) -> float:
        return (math.floor(resource / self.every + _ROUNDING) + 1) * self.every


def explored(
    assignment: Assignment,
    sampler: Sampler,
    spec: PbtSpec,
    rng: np.random.Generator,
    taken: Set[str] = frozenset(),
) -> Assignment | None:
    """Values near those of an assignment, within the space and its constraints.

    Each number is varied by a factor, each choice is kept, and either is now and then drawn anew.

    Args:
        assignment: of the member that is copied.
        sampler: the space and its constraints.
        spec: how values are varied.
        rng: decides.
        taken: identities of assignments that were gone on with from this place before.

    Returns:
        None where no others are found.
    """

    def ask(parameter: Parameter) -> Value:
        domain, known = parameter.domain, assignment.get(parameter.name)
        if known is None or rng.random() < spec.resample:
            return domain.draw(rng)
        if not domain.is_numeric:
            return known
        return nearest_in(domain, cast(float, known) * float(rng.choice(spec.factors)))

    for _ in range(MOST_DRAWS):
        found = sampler.space.assign(ask)
        if identity(found) not in taken and sampler.fulfils(found):
            return found
    return None


def nearest_in(domain: Domain, value: float) -> Value:
    """The value of a numeric domain that lies nearest to a number."""
    if domain.count is None and domain.why_not(value) is None:
        return value
    low, high = (cast(float, domain.from_unit(end)) for end in (0.0, 1.0))
    if isinstance(domain, Steps):  # whose places are those of the next value below
        value += domain.step / 2
    return domain.from_unit(domain.unit(min(max(value, low), high)))
