"""What a procedure is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainwright.procedure.context import ProcedureContext
    from trainwright.procedure.inputs import Inputs


class Procedure(ABC):
    """A method that does not train one model by steps: an attack, a search, an analysis of runs.

    Any class with a method ``run`` is one; this base class is only for those who like it. The
    constructor's typed signature is the schema of the options.

    A procedure that was interrupted, or killed, is run again **from its start**: what it did
    inside ``context.step`` and ``context.map`` before is not done again, the recorded results
    are returned. So everything that takes time belongs into them, and what stands between must
    be deterministic: random numbers come from ``context.rng``.

    Example:
        >>> class Accuracy(Procedure):
        ...     def run(self, context):
        ...         trained = context.run("teacher")
        ...         found = context.step("measure", trained.evaluate, "validation")
        ...         return {"accuracy": found["accuracy"]}
    """

    @abstractmethod
    def run(self, context: ProcedureContext) -> Mapping[str, float]:
        """Do it.

        Returns:
            The findings: name -> number. Tables, tensors and pictures go to ``context.folder``
            and ``context.log_figure``.
        """

    def check(self, inputs: Inputs) -> None:  # noqa: B027 - most refuse nothing
        """Refuse inputs that will not do, before anything starts; nothing may take long here.

        Args:
            inputs: the runs and the data of the job.

        Raises:
            ValueError: they will not do; the message says why.
        """
