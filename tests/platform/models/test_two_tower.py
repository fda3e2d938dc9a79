"""Two encoders: shared or not, scaled or not, masked or not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from trainwright.models import GPT, MLP, BagOfTokens, Embedding, TwoTower

VECTORS = partial(MLP, in_features=6, hidden=[8])
WORDS = partial(BagOfTokens, vocabulary_size=20)


def test_vectors_are_the_encoders_outputs_scaled_to_length_one() -> None:
    torch.manual_seed(0)
    model = TwoTower(VECTORS, WORDS, dim=5)
    x, words = torch.randn(4, 6), torch.randint(20, (4, 3))
    outputs = model(x, words)
    query = functional.normalize(model.query(x)["logits"], dim=1)
    document = functional.normalize(model.document(words)["logits"], dim=1)
    torch.testing.assert_close(outputs["query"], query)
    torch.testing.assert_close(outputs["document"], document)
    torch.testing.assert_close(outputs["score"][:, 0], torch.einsum("bd,bd->b", query, document))
    plain = TwoTower(VECTORS, WORDS, dim=5, normalize=False)
    assert torch.equal(plain(x, words)["query"], plain.query(x)["logits"])


def test_without_a_second_encoder_both_sides_share_the_first() -> None:
    model = TwoTower(VECTORS, dim=5)
    x, y = torch.randn(4, 6), torch.randn(4, 6)
    outputs, swapped = model(x, y), model(y, x)
    assert torch.equal(outputs["query"], swapped["document"])
    torch.testing.assert_close(model(x, x)["score"], torch.ones(4, 1))
    own = sum(p.numel() for p in MLP(6, 5, hidden=[8]).parameters())
    assert sum(p.numel() for p in model.parameters()) == own
    two = TwoTower(VECTORS, VECTORS, dim=5)
    assert sum(p.numel() for p in two.parameters()) == 2 * own


def test_further_views_are_encoded_as_queries_are() -> None:
    model = TwoTower(VECTORS, VECTORS, dim=5)
    x, further = torch.randn(4, 6), torch.randn(4, 3, 6)
    found = model(x, x, further=further)["further"]
    assert found.shape == (4, 3, 5)
    for index in range(3):
        alone = model(further[:, index], x)["query"]
        torch.testing.assert_close(found[:, index], alone)


def test_masks_go_to_the_encoders() -> None:
    model = TwoTower(WORDS, dim=4)
    words = torch.tensor([[3, 7, 0, 0]])
    mask = torch.tensor([[True, True, False, False]])
    short = model(words[:, :2], words[:, :2])["query"]
    padded = model(words, words, mask, mask)
    torch.testing.assert_close(padded["query"], short)
    torch.testing.assert_close(padded["document"], short)
    assert not torch.allclose(model(words, words)["query"], short)


def test_an_encoder_without_one_vector_for_each_sample_is_refused() -> None:
    def tokens(out_features: int) -> nn.Module:
        return GPT(vocabulary_size=out_features, sequence_length=4, dim=8, depth=1, heads=2)

    with pytest.raises(ValueError, match=r"query encoder gives \(2, 4, 7\), not \(batch, 7\)"):
        TwoTower(tokens, dim=7)(torch.zeros(2, 4).long(), torch.zeros(2, 4).long())


def test_bag_of_tokens_by_hand() -> None:
    model = BagOfTokens(10, 3, dim=4)
    tokens = torch.tensor([[1, 2, 2], [5, 5, 5]])
    table = model.tokens.weight
    expected = torch.stack([(table[1] + 2 * table[2]) / 3, table[5]])
    outputs = model(tokens)
    torch.testing.assert_close(outputs["embedding"], expected)
    torch.testing.assert_close(outputs["logits"], model.head(expected))
    nothing = model(tokens, torch.zeros(2, 3, dtype=torch.bool))
    assert torch.equal(nothing["embedding"], torch.zeros(2, 4))


def test_it_learns_which_words_belong_to_which_vectors() -> None:
    """Contrastive training by hand, over the rows of a batch."""
    torch.manual_seed(0)
    prototypes = torch.randn(20, 6)
    model = TwoTower(VECTORS, WORDS, dim=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(150):
        words = torch.randperm(20)[:16]
        x = prototypes[words] + 0.1 * torch.randn(16, 6)
        outputs = model(x, words[:, None])
        logits = 10 * outputs["query"] @ outputs["document"].T
        optimizer.zero_grad()
        functional.cross_entropy(logits, torch.arange(16)).backward()
        optimizer.step()
    outputs = model(prototypes, torch.arange(20)[:, None])
    found = (outputs["query"] @ outputs["document"].T).argmax(dim=1)
    assert (found == torch.arange(20)).float().mean() > 0.9


def test_negatives_are_other_documents_of_the_same_queries() -> None:
    model = TwoTower(VECTORS, WORDS, dim=5)
    x, words, others = torch.randn(4, 6), torch.randint(20, (4, 3)), torch.randint(20, (4, 3))
    outputs = model(x, words, negative=others)
    assert torch.equal(outputs["score"], model(x, words)["score"])
    assert torch.equal(outputs["negative_score"], model(x, others)["score"])
    assert "negative_score" not in model(x, words)


def test_two_embeddings_are_matrix_factorisation() -> None:
    factors = partial(Embedding, vocabulary_size=9, std=0.5)
    model = TwoTower(factors, factors, dim=5, normalize=False)
    user, item = torch.tensor([[3], [8]]), torch.tensor([[0], [8]])
    first, second = model.query.tokens.weight, model.document.tokens.weight
    score = model(user, item)["score"]
    torch.testing.assert_close(score[0, 0], first[3] @ second[0])
    torch.testing.assert_close(score[1, 0], first[8] @ second[8])
    several = model.query(torch.tensor([[3, 8]]))["logits"]
    torch.testing.assert_close(several[0], (first[3] + first[8]) / 2)
    wide = Embedding(2000, 20, std=0.3).tokens.weight
    assert wide.std().item() == pytest.approx(0.3, rel=0.02)
