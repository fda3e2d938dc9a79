"""The decoder: causality, weights, and equality with other implementations of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright.models import GPT


def small(**options) -> GPT:
    torch.manual_seed(0)
    sizes = {"vocabulary_size": 11, "sequence_length": 9, "dim": 16, "depth": 2, "heads": 4}
    return GPT(**{**sizes, **options})


TOKENS = torch.randint(11, (3, 9), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("attention", ["fused", "math"])
def test_the_future_does_not_change_the_past(attention: str) -> None:
    model = small(attention=attention).eval()
    before = model(TOKENS)
    for place in range(1, 9):
        changed = TOKENS.clone()
        changed[:, place:] = (changed[:, place:] + 1) % 11
        after = model(changed)
        for name in ("logits", "embedding"):
            torch.testing.assert_close(
                after[name][:, :place], before[name][:, :place], rtol=1e-5, atol=1e-6
            )
            assert (after[name][:, place] - before[name][:, place]).abs().max() > 1e-3


def test_the_past_changes_the_future() -> None:
    model = small().eval()
    embedded = model.tokens.weight
    logits = model(TOKENS)["logits"]
    (gradient,) = torch.autograd.grad(logits[0, 8, 0], embedded)
    assert (gradient[TOKENS[0]].abs().sum(dim=1) > 0).all()


def test_a_prefix_alone_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small().eval()
    torch.testing.assert_close(model(TOKENS[:, :4])["logits"], model(TOKENS)["logits"][:, :4])


def number(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("tied", [True, False])
def test_number_of_weights(tied: bool) -> None:
    v, t, d, blocks = 11, 9, 16, 2
    expected = v * d + t * d + blocks * (12 * d * d + 13 * d) + 2 * d + (0 if tied else v * d)
    assert number(small(tie_embeddings=tied)) == expected


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = GPT(50257, 1024, dim=768, depth=12, heads=12)
    assert number(model) == 124_439_808


def test_tied_weights_are_one_parameter_with_two_names() -> None:
    model = small()
    assert model.head.weight is model.tokens.weight
    names = dict(model.named_parameters())
    assert "head.weight" not in names
    assert {"head.weight", "tokens.weight"} <= set(model.state_dict())


def test_blocks_are_torch_s_encoder_layers_under_a_causal_mask() -> None:
    model = small().eval()
    block = model.blocks[0]
    reference = nn.TransformerEncoderLayer(
        16, 4, 64, 0.0, "gelu", batch_first=True, norm_first=True
    ).eval()
    state = {
        "self_attn.in_proj_weight": block.qkv.weight,
        "self_attn.in_proj_bias": block.qkv.bias,
        "self_attn.out_proj.weight": block.project.weight,
        "self_attn.out_proj.bias": block.project.bias,
        "linear1.weight": block.expand.weight,
        "linear1.bias": block.expand.bias,
        "linear2.weight": block.contract.weight,
        "linear2.bias": block.contract.bias,
        **{
            f"norm{i}.{k}": getattr(getattr(block, f"norm{i}"), k)
            for i in (1, 2)
            for k in ("weight", "bias")
        },
    }
    reference.load_state_dict(state)
    x = torch.randn(2, 9, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(9)
    torch.testing.assert_close(
        block(x), reference(x, src_mask=mask, is_causal=True), rtol=1e-4, atol=1e-5
    )


def losses(model: GPT) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    torch.manual_seed(5)
    logits = model(TOKENS[:, :-1])["logits"]
    loss = functional.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten())
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_checkpointing_changes_no_number(dropout: float) -> None:
    plain, plain_gradient = losses(small(dropout=dropout))
    kept, kept_gradient = losses(small(dropout=dropout, checkpoint_activations=True))
    assert torch.equal(plain, kept)
    assert all(torch.equal(plain_gradient[name], kept_gradient[name]) for name in plain_gradient)


def test_checkpointing_keeps_only_the_inputs_of_blocks() -> None:
    def kept(**options) -> int:
        total = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        model = small(depth=4, **options)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(TOKENS)
        return total

    assert kept(checkpoint_activations=True) < kept() / 3


def test_math_attention_has_second_derivatives() -> None:
    model = small(attention="math")
    weight = model.blocks[0].qkv.weight
    loss = model(TOKENS)["logits"].square().mean()
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    assert second.abs().sum() > 0


def test_every_weight_is_trained_and_initialised_small() -> None:
    model = small(dim=64, depth=8, heads=4, tie_embeddings=False)
    _, gradients = losses(model)
    assert all(g is not None and g.abs().sum() > 0 for g in gradients.values())
    block = model.blocks[3]
    assert block.qkv.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.contract.weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)
    assert block.qkv.bias.abs().sum() == 0


def test_refusals() -> None:
    with pytest.raises(ValueError, match="heads must divide dim"):
        small(dim=18)
    with pytest.raises(ValueError, match="10 tokens, the model has 9 positions"):
        small()(torch.zeros(1, 10, dtype=torch.int64))
