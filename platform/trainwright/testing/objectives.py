"""Checks of an objective as a function: its value, its gradient, its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from trainwright.objective import Share, Term, WeightedSum
from trainwright.plugins import create
from trainwright.testing.cases import Case
from trainwright.testing.rig import Rig
from trainwright.testing.setups import Setup

SAMPLES = 12
CUTS = ((0, 5), (5, 7), (7, 12))
"""Parts of a batch of unequal size."""

Named = dict[str, Tensor]


def averages_its_samples(case: Case, rig: Rig, setup: Setup) -> None:
    """The losses of single samples add up to the sum, and over the denominator to the mean."""
    term = _term(case)
    outputs, batch = _inputs(case)
    each = term.per_sample(outputs, batch)
    assert each.shape == (SAMPLES,), f"one loss per sample, shape ({SAMPLES},), not {each.shape}"
    total = each.sum()
    count = term.denominator(batch).to(total) if term.denominator else float(SAMPLES)
    expected = total if term.sums else total / count
    _close(term(outputs, batch).value, expected, "the mean over samples is not the loss")


def adds_up(case: Case, rig: Rig, setup: Setup) -> None:
    """The parts of a batch, each with its share, add up to the whole, gradients included."""
    terms = WeightedSum([_term(case)])
    outputs, batch = _inputs(case, requires_grad=True)
    whole = terms(outputs, batch).value
    expected = _gradients(whole, outputs)
    counts = terms.count(batch)
    total: Tensor = torch.zeros(())
    for low, high in CUTS:
        part = {name: value[low:high] for name, value in batch.items()}
        share = Share((high - low) / SAMPLES, terms.count(part) / counts)
        some = {name: value[low:high] for name, value in outputs.items()}
        total = total + terms(some, part, share).value * share.samples
    _close(total, whole, "micro-batches do not add up to the batch")
    for name, gradient in _gradients(total, outputs).items():
        _close(gradient, expected[name], f"the gradient with respect to {name} differs in parts")


def differentiates(case: Case, rig: Rig, setup: Setup) -> None:
    """In float64 the gradient is that of finite differences, for outputs and parameters."""
    term = _term(case).double()
    outputs, batch = _inputs(case, dtype=torch.float64, requires_grad=True)
    names = [name for name, value in outputs.items() if value.is_floating_point()]
    parameters = [p for p in term.parameters() if p.requires_grad]

    def value(*tensors: Tensor) -> Tensor:
        given = dict(zip(names, tensors[: len(names)], strict=True))
        loss: Tensor = term({**outputs, **given}, batch).value
        return loss

    arguments = (*(outputs[name] for name in names), *parameters)
    torch.autograd.gradcheck(value, arguments)


def survives_bf16(case: Case, rig: Rig, setup: Setup) -> None:
    """In bfloat16 value and gradient are finite."""
    term = _term(case)
    outputs, batch = _inputs(case, dtype=torch.bfloat16, requires_grad=True)
    loss = term(outputs, batch).value
    assert loss.isfinite(), f"the loss is {loss.item()}"
    for name, gradient in _gradients(loss, outputs).items():
        assert gradient.isfinite().all(), f"the gradient with respect to {name} is not finite"


def ignores_the_order(case: Case, rig: Rig, setup: Setup) -> None:
    """Shuffling the samples of a batch does not change the loss."""
    term = _term(case)
    outputs, batch = _inputs(case)
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1))
    shuffled = term(_rows(outputs, order), _rows(batch, order)).value
    _close(shuffled, term(outputs, batch).value, "the loss depends on the order of the samples")


def applicable(case: Case) -> Iterator[str]:
    """Names of the checks in this module that apply to an objective.

    All but :func:`adds_up` and :func:`averages_its_samples` do: those are for objectives in
    which samples do not interact, the latter for one that has the attribute ``reduction``.

    Raises:
        ValueError: the case has no ``inputs``.
    """
    if case.inputs is None:
        raise ValueError(f"the case of objective {case.name} needs 'inputs'")
    term = _term(case)
    yield from ("differentiates", "survives_bf16", "ignores_the_order")
    if term.couples == "sample":
        yield "adds_up"
        if hasattr(term.objective, "reduction"):
            yield "averages_its_samples"


def _term(case: Case) -> Term:
    torch.manual_seed(0)
    return Term(create("objectives", case.name, case.base, **case.options), "objective")


def _inputs(
    case: Case, dtype: torch.dtype = torch.float32, requires_grad: bool = False
) -> tuple[Named, Named]:
    """Outputs and batch, their floating numbers in ``dtype``; the same at every call."""
    assert case.inputs is not None
    outputs, batch = case.inputs(SAMPLES, torch.Generator().manual_seed(0))
    cast = {
        name: _cast(value, dtype).requires_grad_(requires_grad) for name, value in outputs.items()
    }
    return cast, {name: _cast(value, dtype) for name, value in batch.items()}


def _gradients(value: Tensor, outputs: Named) -> Named:
    """The gradient with respect to every output that the value depends on."""
    named = {name: output for name, output in outputs.items() if output.requires_grad}
    found = torch.autograd.grad(value, list(named.values()), allow_unused=True)
    pairs = zip(named, found, strict=True)
    return {name: gradient for name, gradient in pairs if gradient is not None}


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def _rows(named: Mapping[str, Tensor], order: Tensor) -> Named:
    return {name: value[order] for name, value in named.items()}


def _close(found: Tensor, expected: Tensor, message: str) -> None:
    torch.testing.assert_close(
        found,
        expected,
        rtol=1e-4,
        atol=1e-5,
        check_dtype=False,
        msg=lambda text: f"{message}: {text}",
    )
