"""Flat vectors: where tensors lie in them, and a module that moves with its vector."""

from __future__ import annotations

import pytest
import torch
from federations import parts_of
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from trainwright.engine.module import NamedModel, TrainModule
from trainwright.federated.clients.vectors import VectorModule
from trainwright.federated.layout import Layout

SHAPES = st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), max_size=5)


class Tied(nn.Module):
    """Two layers with one weight, a frozen parameter, and buffers of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.second(self.first(x)))


def vectors_of(model: nn.Module) -> VectorModule:
    return VectorModule(TrainModule(NamedModel(model), nn.MSELoss()))


@given(SHAPES, st.integers(0, 2))
def test_vectors_hold_tensors_one_after_another(shapes, copies) -> None:
    named = {f"t{i}": torch.randn(shape) for i, shape in enumerate(shapes)}
    layout = Layout.of(named.items())
    flat = torch.cat([torch.zeros(0), *(value.flatten() for value in named.values())])
    assert layout.size == len(flat)
    assert len(layout) == len(named)
    assert layout.vector(named).equal(flat)
    many = flat.expand(copies, -1).contiguous()
    for name, value in named.items():
        assert layout.views(flat)[name].equal(value)
        assert layout.views(many)[name].equal(value.expand(copies, *value.shape))


def test_a_vector_is_a_copy_and_its_tensors_are_views() -> None:
    named = {"a": torch.zeros(2), "b": torch.zeros(2, 2)}
    layout = Layout.of(named.items())
    vector = layout.vector(named)
    vector += 1
    assert not named["a"].any()
    layout.views(vector)["b"].fill_(5)
    assert vector.tolist() == [1, 1, 5, 5, 5, 5]


def test_what_does_not_fit_a_layout_is_refused() -> None:
    layout = Layout.of({"a": torch.zeros(2)}.items())
    with pytest.raises(KeyError, match="a"):
        layout.vector({})
    with pytest.raises(ValueError, match=r"a has the shape \[2\], got \[3\]"):
        layout.vector({"a": torch.zeros(3)})


class TestModule:
    def test_it_has_its_values(self) -> None:
        model = Tied()
        values = {name: value.clone() for name, value in model.state_dict().items()}
        vectors = vectors_of(model)
        assert [span.name for span in vectors.layout] == [
            f"model.{name}"
            for name in ("first.weight", "first.bias", "second.bias", "norm.weight", "norm.bias")
        ]
        assert [span.name for span in vectors.buffer_layout] == [
            "model.norm.running_mean",
            "model.norm.running_var",
        ]
        assert list(vectors.counters) == ["model.norm.num_batches_tracked"]
        assert all(model.state_dict()[name].equal(value) for name, value in values.items())

    def test_it_moves_with_its_vector(self) -> None:
        model = Tied()
        vectors = vectors_of(model)
        with torch.no_grad():
            vectors.weights.fill_(0.5)
            vectors.buffers.fill_(0.25)
        assert (model.first.weight == 0.5).all()
        assert model.second.weight is model.first.weight
        assert (model.norm.running_var == 0.25).all()
        assert (model.frozen == 1).all()

    def test_its_gradients_and_statistics_come_into_the_vectors(self) -> None:
        model = Tied()
        reference = Tied()
        reference.load_state_dict(model.state_dict())
        vectors = vectors_of(model)
        x = torch.randn(5, 3)
        for module in (model, reference):
            module(x).square().sum().backward()
        expected = dict(reference.named_parameters())
        named = {f"model.{n}": p.grad for n, p in expected.items() if p.grad is not None}
        assert vectors.gradient.equal(vectors.layout.vector(named))
        assert vectors.buffers.equal(
            torch.cat([reference.norm.running_mean, reference.norm.running_var])
        )

    def test_outputs_at_other_weights_change_nothing(self) -> None:
        vectors = vectors_of(Tied())
        other = torch.randn(vectors.layout.size)
        x = torch.randn(5, 3)
        before = vectors.weights.clone(), vectors.buffers.clone()
        found = vectors.forward_at(other, {"x": x})["logits"]
        assert vectors.weights.equal(before[0])
        assert vectors.buffers.equal(before[1])
        with torch.no_grad():
            vectors.weights.copy_(other)
        torch.testing.assert_close(found, vectors.module.model({"x": x})["logits"])

    def test_parameters_of_an_objective_belong_to_it(self, tmp_path) -> None:
        vectors = parts_of(objective="margin_control_ce").vectors
        names = {name for name, p in vectors.module.named_parameters() if p.requires_grad}
        assert len(vectors.layout) == len(names)


def test_other_tensors_take_the_places_of_parameters_for_a_while() -> None:
    """Also of one that two layers share, and after an error nothing is left of them."""
    vectors = vectors_of(Tied())
    model, own = vectors.module.model.model, vectors.module.model.model.first.weight
    other = torch.randn_like(vectors.weights)
    tensors = vectors.layout.views(other)

    def fail() -> None:
        with vectors.holding(tensors):
            assert model.first.weight is model.second.weight is tensors["model.first.weight"]
            assert model.second.bias is tensors["model.second.bias"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.first.weight is model.second.weight is own
    assert isinstance(model.second.bias, nn.Parameter)
