"""Models of transformers: from a mapping, from a folder, never from anywhere else."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
import torch

from trainwright.models import GPT
from trainwright.models.hf import hf

GPT2 = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}
BERT = {
    "model_type": "bert",
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "hidden_size": 16,
    "intermediate_size": 32,
}
VIT = {**BERT, "model_type": "vit", "patch_size": 4}
TOKENS = torch.randint(30, (2, 7), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("nothing is downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def small(seed: int = 0, **options):
    torch.manual_seed(seed)
    return hf(**{"config": GPT2, "vocabulary_size": 30, "sequence_length": 8, **options})


def test_sizes_come_from_the_data_and_outputs_have_the_platform_s_names() -> None:
    model = small().eval()
    outputs = model(TOKENS)
    assert outputs["logits"].shape == (2, 7, 30)
    assert outputs["embedding"].shape == (2, 7, 16)
    settings = model.network.config
    assert (settings.vocab_size, settings.n_positions) == (30, 8)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    expected = model.network(input_ids=TOKENS).logits
    assert torch.equal(outputs["logits"], expected)


def test_weights_come_from_the_global_seed() -> None:
    states = [torch.nn.utils.parameters_to_vector(small(s).parameters()) for s in (1, 1, 2)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_our_own_gpt_computes_the_same() -> None:
    """Two implementations, one set of weights, one answer."""
    theirs = small(config={**GPT2, "n_layer": 2, "activation_function": "gelu"}).eval()
    ours = GPT(30, 8, dim=16, depth=2, heads=2).eval()
    body = theirs.network.transformer
    with torch.no_grad():
        ours.tokens.weight.copy_(body.wte.weight)
        ours.positions.weight.copy_(body.wpe.weight)
        ours.norm.load_state_dict(body.ln_f.state_dict())
        for mine, other in zip(ours.blocks, body.h, strict=True):
            mine.norm1.load_state_dict(other.ln_1.state_dict())
            mine.norm2.load_state_dict(other.ln_2.state_dict())
            for layer, source in (
                (mine.qkv, other.attn.c_attn),
                (mine.project, other.attn.c_proj),
                (mine.expand, other.mlp.c_fc),
                (mine.contract, other.mlp.c_proj),
            ):
                layer.weight.copy_(source.weight.T)
                layer.bias.copy_(source.bias)
    for name in ("logits", "embedding"):
        torch.testing.assert_close(ours(TOKENS)[name], theirs(TOKENS)[name], rtol=1e-4, atol=1e-5)


def test_a_local_folder_gives_configuration_and_weights(tmp_path: Path) -> None:
    saved = small(seed=3)
    saved.network.save_pretrained(tmp_path)
    loaded = hf(path=str(tmp_path), sequence_length=8, vocabulary_size=30).eval()
    assert torch.equal(loaded(TOKENS)["logits"], saved.eval()(TOKENS)["logits"])
    fresh = small(path=str(tmp_path), config=None, load_weights=False).eval()
    assert not torch.equal(fresh(TOKENS)["logits"], saved(TOKENS)["logits"])
    with pytest.raises(ValueError, match=r"has 8 positions .*the data needs 16"):
        hf(path=str(tmp_path), sequence_length=16)
    with pytest.raises(ValueError, match=r"has 30 tokens .*the data needs 257"):
        hf(path=str(tmp_path), vocabulary_size=257)


def test_a_new_head_on_a_folder_s_body(tmp_path: Path) -> None:
    saved = small(config={**BERT, "model_type": "bert"}, task="masked_lm")
    saved.network.save_pretrained(tmp_path)
    model = hf(path=str(tmp_path), task="sequence_classification", out_features=3)
    assert model(TOKENS)["logits"].shape == (2, 3)
    mine, theirs = (m.network.bert.embeddings.word_embeddings.weight for m in (model, saved))
    assert torch.equal(mine, theirs)


def test_masks_count(tmp_path: Path) -> None:
    model = small(config=BERT, task="sequence_classification", out_features=2).eval()
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    masked = model(TOKENS, mask)["logits"]
    changed = TOKENS.clone()
    changed[1, 4:] = 0
    torch.testing.assert_close(model(changed, mask)["logits"], masked)
    assert not torch.allclose(model(changed)["logits"], model(TOKENS)["logits"])


def test_images() -> None:
    model = hf(VIT, task="image_classification", out_features=10, in_channels=1, image_size=8)
    assert model(torch.rand(3, 1, 8, 8))["logits"].shape == (3, 10)


def test_checkpointing_changes_no_number() -> None:
    def gradient(**options) -> torch.Tensor:
        model = small(config={**GPT2, "n_layer": 2}, **options)
        torch.manual_seed(1)
        model(TOKENS)["logits"].square().mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    torch.testing.assert_close(gradient(), gradient(checkpoint_activations=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"config": None}, "give a config"),
        ({"config": {"n_layer": 1}}, "needs a model_type"),
        ({"config": {"model_type": "gtp2"}}, "nearest: gpt2"),
        ({"config": {**GPT2, "n_layers": 2}}, "no 'n_layers'; nearest: n_layer"),
        ({"config": None, "path": "openai/gpt-2"}, "nothing is downloaded"),
    ],
)
def test_refusals(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_damaged_weights_and_another_architecture(tmp_path: Path) -> None:
    small().network.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="holds a gpt2, not a bert"):
        hf({"model_type": "bert"}, path=str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="do not load"):
        hf(path=str(tmp_path))


def test_the_package_missing_is_told_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ValueError, match=r"pip install 'trainwright\[hf\]'"):
        hf(GPT2)
