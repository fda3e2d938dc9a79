"""Which federations may train their clients side by side, and what is told of the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from federations import job_of, parts_of
from torch import Tensor

from trainwright.errors import JobError
from trainwright.federated.building import build_parts
from trainwright.federated.clients.choosing import choose_execution
from trainwright.federated.parts import Parts

PLUGINS = '''
import torch
from torch import Tensor, nn

from trainwright.federated import Aggregator
from trainwright.strategy import Strategy


class Branches(Aggregator):
    """Looks at values."""

    def gradients(self, gradient, weights, client):
        return gradient if gradient.sum() > 0 else 2 * gradient


class Honest(Branches):
    functional = False


class Looks(Strategy):
    def loss(self, batch, compute):
        return compute(batch)


class Normalised(nn.Module):
    """Batch normalisation without running statistics: no buffers, and yet coupled."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(in_features, track_running_stats=False)
        self.head = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x.flatten(1)))
'''

WHY = [
    ({"model__batch_norm": True}, "has buffers"),
    ({"model__batch_norm": True, "federation__aggregator": "fedbn"}, "has buffers"),
    ({"federation__aggregator": {"name": "fedbn", "local": ["head.*"]}}, "fedbn keeps tensors"),
    ({"objective": {"name": "kl_dro"}}, "so that a smaller last batch cannot be filled up"),
    ({"strategies": ["plugins.py:Looks"]}, r"strategy plugins.py:Looks does not declare"),
    ({"federation__aggregator": "plugins.py:Honest"}, "Honest is not functional"),
    ({"federation__aggregator": "plugins.py:Branches"}, "updates would differ|Error"),
    ({"model": "plugins.py:Normalised"}, "updates would differ|Error"),
]


@pytest.mark.parametrize(("sections", "why"), WHY, ids=str)
def test_refused_where_it_is_wrong(sections, why, tmp_path: Path) -> None:
    (tmp_path / "plugins.py").write_text(PLUGINS)

    def parts_for(execution: str) -> Parts:
        return build_parts(job_of(**sections, federation__execution=execution).spec, tmp_path)

    parts = parts_for("auto")
    weights, buffers = parts.vectors.weights.clone(), parts.vectors.buffers.clone()
    execution, (remark,) = choose_execution(parts)
    assert execution == "sequential"
    assert remark.startswith("clients train one after another: ")
    assert re.search(why, remark), remark
    assert parts.vectors.weights.equal(weights)
    assert parts.vectors.buffers.equal(buffers)
    with pytest.raises(JobError, match=r"federation\.execution: clients cannot be .* side by side"):
        choose_execution(parts_for("batched"))
    assert choose_execution(parts_for("sequential")) == ("sequential", [])


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"model__dropout": 0.2},
        {"federation__aggregator": "scaffold"},
        {"training": {"precision": "bf16"}},
        {"data__batch_size": 1},
    ],
    ids=str,
)
def test_chosen_where_it_is_right(sections) -> None:
    parts = parts_of(**sections)
    weights: Tensor = parts.vectors.weights.clone()
    state = torch.random.get_rng_state()
    assert choose_execution(parts) == ("batched", [])
    assert parts.vectors.weights.equal(weights)
    assert torch.random.get_rng_state().equal(state)
