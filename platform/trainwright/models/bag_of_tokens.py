"""Token sequences without their order."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]


class BagOfTokens(nn.Module):
    """Mean of the tokens' vectors, then a linear head: fast and hard to beat on short texts.

    With sequences of one token it is a table of vectors.

    Source:
        A. Joulin, E. Grave, P. Bojanowski, T. Mikolov, "Bag of Tricks for Efficient Text
        Classification", 2016, arXiv 1607.01759, without n-grams.
    """

    def __init__(self, vocabulary_size: _Size, out_features: _Size, dim: _Size = 64) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            vocabulary_size: number of different tokens; from the data when left out of a job.
            out_features: classes, or values to predict; from the data when left out of a job.
            dim: length of a token's vector.
        """
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, dim)
        self.head = nn.Linear(dim, out_features)
        nn.init.normal_(self.tokens.weight, std=dim**-0.5)

    def forward(self, tokens: Tensor, tokens_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Outputs for ``tokens``, int64 of shape (B, T).

        Args:
            tokens: token indices.
            tokens_mask: True where a token counts, shape (B, T); all do when left out.

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, dim), the mean vector.
        """
        vectors = self.tokens(tokens)
        if tokens_mask is None:
            embedding = vectors.mean(dim=1)
        else:
            weights = tokens_mask.unsqueeze(-1).to(vectors)
            embedding = (vectors * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
        return {"logits": self.head(embedding), "embedding": embedding}
