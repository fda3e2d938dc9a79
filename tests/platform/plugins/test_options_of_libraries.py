"""Options of plugins that libraries bring: torch and torchmetrics."""

from __future__ import annotations

import torch

from trainwright.plugins import check_options, construct, find


class TestLibraries:
    """The reduced constructors of torch classes."""

    def options(self, group, name):
        from trainwright.plugins.signature import Signature

        return list(Signature.of(find(group, name)).parameters)

    def test_loss_options(self):
        assert self.options("objectives", "cross_entropy") == [
            "class_weights",
            "ignore_index",
            "reduction",
            "label_smoothing",
        ]
        assert self.options("objectives", "bce_with_logits") == ["reduction", "pos_weight"]

    def test_class_weights_reach_the_loss(self):
        values, problems = check_options(
            find("objectives", "cross_entropy"), {"class_weights": [1, 3]}, "objective"
        )
        assert problems == []
        loss = construct(find("objectives", "cross_entropy"), values)
        assert loss.weight.tolist() == [1.0, 3.0]
        assert "class_weights" not in loss.state_dict()

    def test_weight_is_pointed_to_class_weights(self):
        _, problems = check_options(find("objectives", "nll"), {"weight": [1]}, "objective")
        assert problems[0].nearest == "class_weights"

    def test_ranges_that_torch_checks_late_or_never(self):
        loss = find("objectives", "cross_entropy")
        assert check_options(loss, {"label_smoothing": 1.5}, "o")[1][0].path == "o.label_smoothing"
        adam = find("optimizers", "adamw")
        _, problems = check_options(adam, {"lr": -1, "betas": [0.9, 1.0]}, "optimizer")
        assert [problem.path for problem in problems] == ["optimizer.lr", "optimizer.betas.1"]

    def test_optimizer_options_have_no_weights_and_no_switches(self):
        names = self.options("optimizers", "adamw")
        assert names == ["lr", "betas", "eps", "weight_decay", "amsgrad"]

    def test_options_of_an_optimizer_of_ones_own(self, tmp_path):
        (tmp_path / "opt.py").write_text(
            "import torch\n"
            "class Mine(torch.optim.SGD):\n"
            "    def __init__(self, weights, lr: float, trust: float = 0.1):\n"
            "        super().__init__(weights, lr=lr)\n"
            "        self.trust = trust\n"
        )
        mine = find("optimizers", "opt.py:Mine", tmp_path)
        assert [p.path for p in check_options(mine, {}, "optimizer")[1]] == ["optimizer.lr"]
        values, _ = check_options(mine, {"lr": 1, "trust": 2}, "optimizer")
        assert mine.factory([torch.ones(1)], **values).trust == 2.0
