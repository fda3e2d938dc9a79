"""Which optimizers bear flat slices, shown by stepping them on slices; building from plugins."""

from __future__ import annotations

import pytest
import torch

from trainwright.errors import PluginError
from trainwright.optimizers import build_optimizer, is_elementwise
from trainwright.plugins import find, short_names


def steps(factory, tensors, gradients):
    """The numbers after three steps with these gradients, laid end to end."""
    params = [torch.nn.Parameter(tensor.clone()) for tensor in tensors]
    optimizer = factory(params, lr=0.05)
    for gradient in gradients:
        flat = torch.cat([part.flatten() for part in gradient])
        start = 0
        for param in params:
            param.grad = flat[start : start + param.numel()].reshape(param.shape).clone()
            start += param.numel()
        optimizer.step()
    return torch.cat([param.detach().flatten() for param in params])


@pytest.mark.parametrize("name", short_names("optimizers"))
def test_the_answer_is_what_stepping_on_slices_shows(name):
    factory = find("optimizers", name).factory
    random = torch.Generator().manual_seed(0)
    matrix = torch.randn(4, 6, generator=random)
    gradients = [[torch.randn(4, 6, generator=random)] for _ in range(3)]
    whole = steps(factory, [matrix], gradients)
    flat = matrix.flatten()
    try:
        sliced = steps(factory, [flat[:9], flat[9:]], gradients)
    except ValueError:
        sliced = torch.full_like(whole, torch.nan)  # refuses anything but matrices
    assert torch.allclose(whole, sliced, atol=1e-7) == is_elementwise(factory)


def test_a_third_party_class_is_believed_unless_its_name_or_base_tells():
    class Lion(torch.optim.Optimizer): ...

    class Lamb(torch.optim.Optimizer): ...

    class MyMuon(torch.optim.Muon): ...

    class Declared(torch.optim.SGD):
        elementwise = False

    class Contradicts(Lamb):
        elementwise = True

    class Sub(torch.optim.AdamW): ...

    answers = [is_elementwise(c) for c in (Lion, Lamb, MyMuon, Declared, Contradicts, Sub)]
    assert answers == [True, False, False, False, True, True]


def test_torch_classes_not_known_yet_are_not_believed():
    class New(torch.optim.Optimizer): ...

    New.__module__ = "torch.optim.new"
    assert not is_elementwise(New)


def test_build_with_groups():
    a, b = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    groups = [{"params": [a], "weight_decay": 0.5}, {"params": [b]}]
    optimizer = build_optimizer(find("optimizers", "adamw"), groups, {"lr": 0.1})
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.01]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_build_says_what_the_optimizer_refuses():
    vector = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(PluginError, match="muon refuses") as raised:
        build_optimizer(find("optimizers", "muon"), [vector], {})
    assert raised.value.problems[0].path == "optimizer"
    with pytest.raises(PluginError, match="sgd refuses its options"):
        build_optimizer(find("optimizers", "sgd"), [vector], {"nesterov": True})


def test_build_refuses_what_is_no_optimizer(tmp_path):
    (tmp_path / "opt.py").write_text("def make(params, lr: float = 1.0):\n    return dict()\n")
    plugin = find("optimizers", "opt.py:make", tmp_path)
    with pytest.raises(PluginError, match=r"makes a dict"):
        build_optimizer(plugin, [torch.ones(1)], {})
