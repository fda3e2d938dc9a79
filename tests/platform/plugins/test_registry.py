"""Finding plugins by every form of name, and what is said when there is none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright.errors import PluginError
from trainwright.plugins import GROUPS, BrokenPlugin, Plugin, available, create, find, short_names


def problem_of(group, name, base=None):
    with pytest.raises(PluginError) as raised:
        find(group, name, base, path="place")
    (problem,) = raised.value.problems
    assert problem.path == "place"
    return problem


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("cross_entropy", nn.CrossEntropyLoss),
        ("CrossEntropyLoss", nn.CrossEntropyLoss),
        ("mse", nn.MSELoss),
        ("l1", nn.L1Loss),
        ("bce_with_logits", nn.BCEWithLogitsLoss),
        ("kl_div", nn.KLDivLoss),
        ("smooth_l1_loss", nn.SmoothL1Loss),
        ("torch.nn.HuberLoss", nn.HuberLoss),
        ("torch.nn:HuberLoss", nn.HuberLoss),
    ],
)
def test_torch_losses_by_every_form_of_name(name, made):
    assert type(create("objectives", name)) is made


def test_every_torch_loss_has_a_short_name():
    exported = set(torch.nn.modules.loss.__all__) - {"NLLLoss2d"}
    found = {find("objectives", name).factory.target.__name__ for name in built_in_losses()}
    assert found == exported


def built_in_losses():
    from trainwright.plugins.builtin import built_ins

    return list(built_ins("objectives"))


def test_every_torch_optimizer_is_found_or_refused_with_its_reason():
    for name in torch.optim.__all__:
        if not name[0].isupper() or name == "Optimizer":
            continue
        if name in ("LBFGS", "SparseAdam"):
            assert "cannot be used for training" in problem_of("optimizers", name).message
        else:
            parameter = nn.Parameter(torch.ones(2, 2))
            optimizer = create("optimizers", name.lower(), lr=0.5)([parameter])
            assert type(optimizer) is getattr(torch.optim, name)
            assert optimizer.param_groups[0]["lr"] == 0.5


def test_lbfgs_is_refused_by_import_path_too():
    assert "closure" in problem_of("optimizers", "torch.optim.LBFGS").message
    assert "lbfgs" not in short_names("optimizers")


def test_own_optimizer_that_needs_a_closure_is_refused(job):
    job(
        "opt.py",
        """
        import torch
        class Search(torch.optim.Optimizer):
            def __init__(self, params, lr: float = 1.0):
                super().__init__(params, {"lr": lr})
            def step(self, closure):
                closure()
        """,
    )
    assert "closure" in problem_of("optimizers", "opt.py:Search", job.base).message


def test_optimizer_gets_groups_and_options():
    made = create("optimizers", "sgd", lr=0.1, momentum=0.9)
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = made([{"params": [a]}, {"params": [b], "lr": 0.01}])
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01]
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_unknown_name_says_the_nearest():
    assert problem_of("objectives", "cros_entropy").nearest == "cross_entropy"
    assert problem_of("objectives", "CrossEntropyLos").nearest == "CrossEntropyLoss"
    assert problem_of("optimizers", "adamv").nearest in ("adam", "adamw")
    assert "adagrad" in problem_of("optimizers", "nothing like it").allowed


def test_name_of_another_group_is_pointed_out():
    assert "belongs to optimizers" in problem_of("objectives", "adamw").mend


def test_unknown_group():
    with pytest.raises(PluginError) as raised:
        find("objective", "mse")
    assert raised.value.problems[0].nearest == "objectives"


def test_import_paths_that_lead_nowhere():
    assert problem_of("objectives", "torch.nn.MSELos").nearest == "MSELoss"
    assert "no module 'nowhere'" in problem_of("objectives", "nowhere.at_all.Loss").message
    assert "no module 'torch.nope'" in problem_of("objectives", "torch.nope.Loss").message
    assert "no class or function" in problem_of("objectives", "torch:__version__").message
    assert "reads package.module.Name" in problem_of("objectives", "torch.").message


def test_entry_point_of_another_distribution(distribution):
    distribution(
        "kindloss",
        {
            "kindloss": '''
            from torch import nn
            class Kind(nn.Module):
                """A kind loss."""
                def __init__(self, mercy: float):
                    super().__init__()
                    self.mercy = mercy
            '''
        },
        {"objectives": {"kind": "kindloss:Kind"}},
    )
    plugin = find("objectives", "kind")
    assert plugin.origin == "kindloss 2.5"
    assert plugin.source_file is None
    assert create("objectives", "kind", mercy=1).mercy == 1.0


def test_a_broken_plugin_is_reported_and_breaks_nothing_else(distribution):
    distribution(
        "brokenloss",
        {"brokenloss": "import torch\n\nraise RuntimeError('no such card')\n"},
        {"objectives": {"broken": "brokenloss:Loss", "gone": "brokenloss_missing:Loss"}},
    )
    found = {plugin.name: plugin for plugin in available("objectives")}
    broken = found["broken"]
    assert isinstance(broken, BrokenPlugin)
    assert broken.origin == "brokenloss 2.5"
    assert "brokenloss.py:3: RuntimeError: no such card" in broken.error
    assert "brokenloss_missing" in found["gone"].error
    assert isinstance(found["cross_entropy"], Plugin)
    assert "cannot be imported" in problem_of("objectives", "broken").message


def test_a_plugin_that_exits_is_broken_not_fatal(distribution):
    distribution(
        "exiting", {"exiting": "raise SystemExit(3)\n"}, {"models": {"exiting": "exiting:Net"}}
    )
    assert "SystemExit: 3" in problem_of("models", "exiting").message


def test_a_name_declared_twice_is_refused_with_both_owners(distribution):
    distribution("first", {"first": "class A: pass"}, {"models": {"same": "first:A"}})
    distribution("second", {"second": "class A: pass"}, {"models": {"same": "second:A"}})
    message = problem_of("models", "same").message
    assert "first 2.5 (first:A)" in message
    assert "second 2.5 (second:A)" in message


def test_everything_of_our_own_and_of_the_libraries_can_be_imported():
    for group in GROUPS:
        for plugin in available(group):
            assert isinstance(plugin, Plugin), plugin
            assert plugin.group == group
            assert callable(plugin.factory)


def test_create_says_all_problems_at_once():
    with pytest.raises(PluginError) as raised:
        create("objectives", "cross_entropy", label_smoothing="much", reductoin="mean")
    assert len(raised.value.problems) == 2


def test_what_the_constructor_refuses_names_plugin_and_options(job):
    job(
        "own.py",
        """
        class Net:
            def __init__(self, dim: int, heads: int):
                if dim % heads:
                    raise ValueError("heads must divide dim")
        """,
    )
    with pytest.raises(PluginError, match=r"own.py:Net refuses its options: heads must") as raised:
        create("models", "own.py:Net", job.base, dim=5, heads=2)
    assert raised.value.problems[0].got == {"dim": 5, "heads": 2}
