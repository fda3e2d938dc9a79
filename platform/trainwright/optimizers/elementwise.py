"""Which optimizers may work on flat slices of parameters."""

from __future__ import annotations

from typing import Any

from trainwright.plugins.adapters import target_of

_TORCH = {
    "ASGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
}
_BY_LAYER = {"adafactor", "came", "galore", "kfac", "lamb", "lars", "muon", "shampoo", "soap"}


def is_elementwise(factory: Any) -> bool:
    """Whether the update of one number depends on that number's own gradients and state alone.

    ZeRO cuts all parameters, laid end to end, into equal slices and steps the optimizer on those:
    shapes are gone and a slice may begin in the middle of a matrix. An optimizer that looks at
    rows, columns or norms of a layer then computes something else, without an error.

    Args:
        factory: an optimizer class, or the factory of an optimizer plugin.

    Returns:
        What the class says in an attribute ``elementwise``, if it has one. Else, for torch's own,
        what is known of them (one that is not known yet counts as not elementwise); for others,
        False where the class or a base of it bears the name of a method by layer (Muon, LAMB,
        Shampoo...), and otherwise True.
    """
    target = target_of(factory)
    declared = getattr(target, "elementwise", None)
    if isinstance(declared, bool):
        return declared
    for base in getattr(target, "__mro__", ()):
        if base.__module__.startswith("torch.optim.") and base.__name__ != "Optimizer":
            return base.__name__ in _TORCH
        if base.__name__.lower() in _BY_LAYER:
            return False
    return True
