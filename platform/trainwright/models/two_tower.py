"""Two encoders into one space, for retrieval, matching and contrastive learning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from trainwright.objective.binding import primary
from trainwright.plugins.markers import Nested

_Encoder = Callable[..., nn.Module]


class TwoTower(nn.Module):
    """Two encoders that map queries and documents to vectors whose inner product is their match.

    The encoders are models of this list or the user's own; their sizes come from the columns that
    ``query`` and ``document`` read, and their ``out_features`` is ``dim``. Without a second
    encoder both sides share the first, as two views of an image do.
    """

    def __init__(
        self,
        query: Annotated[_Encoder, Nested("models")],
        document: Annotated[_Encoder | None, Nested("models")] = None,
        dim: Annotated[int, Field(gt=0)] = 64,
        normalize: bool = True,
    ) -> None:
        """Build the encoders; weights come from torch's global generator.

        Args:
            query: encoder of the queries, by name with options; its first output counts.
            document: encoder of the documents; default: the same one, with the same weights.
            dim: length of the vectors, ``out_features`` of the encoders.
            normalize: scale the vectors to length 1, so that the inner product is the cosine.
        """
        super().__init__()
        self.dim = dim
        self.normalize = normalize
        self.query = query(out_features=dim)
        self.document = self.query if document is None else document(out_features=dim)

    def forward(
        self,
        query: Tensor,
        document: Tensor,
        query_mask: Tensor | None = None,
        document_mask: Tensor | None = None,
        negative: Tensor | None = None,
        further: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Vectors of matching rows.

        Args:
            query: samples of the first kind, (B, ...) as their encoder takes them.
            document: those of the second kind that belong to them, (B, ...).
            query_mask: where the query's tokens count; goes to its encoder as second argument.
            document_mask: the same for the document.
            negative: documents that do not belong to the queries, without a mask.
            further: more samples that belong to each query, of its kind, (B, any number, ...).

        Returns:
            ``query`` and ``document``, both (B, dim), and ``score`` (B, 1), the inner product of
            each row's two vectors; with ``negative`` also ``negative_score`` (B, 1), with
            ``further`` also their vectors (B, any number, dim).

        Raises:
            ValueError: an encoder gives something else than (B, dim).
        """
        first = self._encode("query", query, query_mask)
        second = self._encode("document", document, document_mask)
        score = (first * second).sum(dim=1, keepdim=True)
        outputs = {"query": first, "document": second, "score": score}
        if negative is not None:
            other = self._encode("document", negative, None)
            outputs["negative_score"] = (first * other).sum(dim=1, keepdim=True)
        if further is not None:
            vectors = self._encode("query", further.flatten(0, 1), None)
            outputs["further"] = vectors.view(*further.shape[:2], self.dim)
        return outputs

    def _encode(self, side: str, x: Tensor, mask: Tensor | None) -> Tensor:
        encoder: nn.Module = getattr(self, side)
        outputs = encoder(x) if mask is None else encoder(x, mask)
        vectors: Tensor = (
            outputs if isinstance(outputs, Tensor) else outputs[primary(tuple(outputs))]
        )
        if vectors.shape != (len(x), self.dim):
            raise ValueError(
                f"the {side} encoder gives {tuple(vectors.shape)}, not (batch, {self.dim}): "
                "it needs an option out_features, and one vector for each sample"
            )
        return functional.normalize(vectors, dim=1) if self.normalize else vectors
