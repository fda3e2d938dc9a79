"""One check of one plugin, as a callable."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainwright.testing.cases import Case
from trainwright.testing.setups import LOCAL, Setup

if TYPE_CHECKING:
    from trainwright.testing.rig import Rig

Function = Callable[[Case, "Rig", Setup], None]


@dataclass(frozen=True)
class Check:
    """A check, ready to be called with a rig.

    Attributes:
        case: the plugin and its settings.
        function: what is checked; raises ``AssertionError`` where it does not hold.
        setup: on what it trains.
    """

    case: Case
    function: Function
    setup: Setup = LOCAL

    @property
    def name(self) -> str:
        """The function's name, by which a case can be exempt from it."""
        return self.function.__name__

    def __call__(self, rig: Rig) -> None:
        """Run the check."""
        self.function(self.case, rig, self.setup)

    def __str__(self) -> str:
        return f"{self.case}-{self.name}-{self.setup}"


def nothing_of(found: Iterable[str], what: str) -> None:
    """Fail with the first few of ``found``, unless there are none.

    Raises:
        AssertionError: there are some.
    """
    listed = list(found)
    if listed:
        more = f"\n  and {len(listed) - 5} more" if len(listed) > 5 else ""
        raise AssertionError(what + ":\n  " + "\n  ".join(listed[:5]) + more)
