"""A contrastive loss between a client's model, the server's, and the client's last one."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from trainwright.federated import Aggregator, Client, Federation, LocalCompute, Message, State
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.suggest import nearest, one_of
from trainwright_objectives.options import check_above_zero, check_at_least_zero
from trainwright_strategies.outputs import unit_output_of

PREVIOUS, KNOWN = "previous", "known"


def model_contrast(
    present: Tensor, received: Tensor, previous: Tensor, temperature: float
) -> Tensor:
    """The model-contrastive loss of each sample, shape (B,).

    Args:
        present: embeddings by the model in training, rows of length 1, shape (B, D).
        received: the same by the model that the server sent.
        previous: the same by the model that the client had after its last round.
        temperature: above 0.
    """
    near, far = (present * received).sum(dim=1), (present * previous).sum(dim=1)
    # -log(e^near / (e^near + e^far)), without overflow
    return functional.softplus((far - near) / temperature)


class Moon(Aggregator):
    """Keep a client's embeddings near the server's and off its own last ones: MOON.

    A client that trains on few samples forgets what the server's model sees in them. Its loss
    gets a term that is small where its embedding of a sample is more like the one by the model
    that the server sent than like the one by the model with which it ended its last round.

    Equation:
        loss + mu * mean over samples of -log(e^(s_w / T) / (e^(s_w / T) + e^(s_p / T))), with the
        cosines s_w and s_p between the embedding and those by the server's model and by the
        client's last one.
        A client that takes part for the first time has no last model, and the server's in its
        place: then the term is the constant mu * log 2. The server averages, as in ``fedavg``.

    Args:
        mu: weight of the term, at least 0; 0 is ``fedavg``. Suggested: 1; the paper chose among
            0.1, 1, 5 and 10.
        temperature: T, above 0. Suggested: 0.5.
        output: name of the model's output that is the embedding, shape (B, D).

    Needs:
        A model with an embedding. The paper puts a projection head of two layers between
        embedding and classifier. Two further forward passes for each step, without
        gradient; each client keeps a vector of the size of the weights.

    Measured:
        No gain: digits, MLP 64-64-10 whose hidden layer is the embedding, Dirichlet 0.3, 10
        clients, 5 epochs in a round, rate 0.1, 5 seeds, test accuracy after 5 and 40 rounds
        (95 % intervals up to +- 7.3 and +- 1.2): mu 1: 72.2 and 94.6; mu 5: 68.0 and 94.9;
        ``fedavg`` 73.9 and 94.8. A round takes 2.8 times as long as with ``fedavg`` (processor
        time, one client after another).

    Source:
        Q. Li, B. He, D. Song, "Model-Contrastive Federated Learning", CVPR 2021, arXiv 2103.16257.

    Raises:
        ValueError: an option is out of range, or the model has no such output.
    """

    def __init__(
        self,
        mu: Annotated[float, Field(ge=0)] = 1.0,
        temperature: Annotated[float, Field(gt=0)] = 0.5,
        output: str = "embedding",
    ) -> None:
        check_at_least_zero("mu", mu)
        check_above_zero("temperature", temperature)
        self.mu = mu
        self.temperature = temperature
        self.output = output
        self.keeps_state = mu > 0

    def check(self, federation: Federation) -> None:
        """The embedding must be known.

        Raises:
            ValueError: the model has no such output.
        """
        if federation.outputs and self.output not in federation.outputs:
            meant = nearest(self.output, federation.outputs)
            raise ValueError(
                f"embeddings are compared, and the model has no output {self.output!r}; it has "
                f"{one_of(federation.outputs)}{f'; nearest: {meant}' if meant else ''}: set output"
            )

    def client_state(self, federation: Federation) -> State:
        """No weights yet: ``known`` is 0."""
        if self.mu == 0:
            return {}
        return {PREVIOUS: torch.zeros(federation.layout.size), KNOWN: torch.zeros(())}

    def loss(self, batch: Batch, compute: LocalCompute, client: Client) -> Loss:
        """The loss with the contrast between three models.

        Raises:
            ValueError: the model has no such output, or it is no row for each sample.
        """
        if self.mu == 0:
            return compute(batch)
        last = torch.where(client.state[KNOWN] > 0, client.state[PREVIOUS], client.weights)
        outputs = compute.forward(batch)
        present = self._embedding(outputs)
        received = self._embedding(compute.forward_at(client.weights, batch))
        previous = self._embedding(compute.forward_at(last, batch))
        contrast = model_contrast(present, received, previous, self.temperature)
        if "sample_weight" in batch:
            contrast = batch["sample_weight"] * contrast
        return compute(batch, outputs).plus(self.mu * contrast.mean(), "model_contrast")

    def _embedding(self, outputs: Outputs) -> Tensor:
        """The embedding of each sample, of length 1."""
        embedding = unit_output_of(outputs, self.output)
        if embedding.ndim != 2:
            raise ValueError(
                f"moon compares one vector per sample, and the output {self.output!r} has the "
                f"shape {list(embedding.shape)}: set output to one of shape (samples, numbers)"
            )
        return embedding

    def end(self, update: Tensor, client: Client) -> tuple[Message, State]:
        """The update; what is kept are the client's weights."""
        if self.mu == 0:
            return {"update": update}, {}
        kept = {PREVIOUS: client.weights + update, KNOWN: torch.ones(())}
        return {"update": update}, kept
