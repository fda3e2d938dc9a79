"""A vector for each token, and nothing else."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]


class Embedding(nn.Module):
    """A table of vectors, one for each token; of several tokens their mean.

    As both encoders of ``two_tower`` with columns of one token, users and items, it is matrix
    factorisation.

    Source:
        Y. Koren, R. Bell, C. Volinsky, "Matrix Factorization Techniques for Recommender Systems",
        2009.
    """

    def __init__(
        self,
        vocabulary_size: _Size,
        out_features: _Size,
        std: Annotated[float, Field(gt=0)] = 0.1,
    ) -> None:
        """Build the table; weights come from torch's global generator.

        Args:
            vocabulary_size: number of different tokens; from the data when left out of a job.
            out_features: length of a vector; ``dim`` of ``two_tower``.
            std: standard deviation of the first weights.
        """
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, out_features)
        nn.init.normal_(self.tokens.weight, std=std)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Vectors for ``tokens``, int64 of shape (B, T).

        Returns:
            ``logits`` (B, out_features), the mean vector of each row.
        """
        return {"logits": self.tokens(tokens).mean(dim=1)}
