"""What is done to the messages of clients before the server reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainwright.federated.privacy.plan import PrivacyPlan
from trainwright.federated.transport.masking import Masks, encode
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.transform_chain import decode
from trainwright.federated.transport.transform_chain import encode as transformed
from trainwright.federated.update_transform import UpdateTransform

BUFFERS = "buffers"
"""The part of a masked message that holds the model's buffers."""


@dataclass(frozen=True)
class Outgoing:
    """The way of a message: clipping and noise, transforms, masks.

    Attributes:
        seed: of the job.
        privacy: clipping and noise; None for neither.
        transforms: of updates, the first one encodes first.
        masks: whether messages are masked, so that their sum alone can be read.
    """

    seed: int
    privacy: PrivacyPlan | None = None
    transforms: Sequence[UpdateTransform] = ()
    masks: bool = False

    def updates(
        self, updates: Tensor, clients: Sequence[int], sent: Sent
    ) -> tuple[Tensor, Tensor | None, int]:
        """The updates (k, d) of some clients as the server takes them.

        Returns:
            The updates; which were within the clip, bool of shape (k,), None without one; and how
            many bytes they took.
        """
        numbers = torch.tensor(clients, dtype=torch.int64)
        within = None
        if self.privacy is not None:
            state = dict(sent.privacy)
            updates = self.privacy.before_transforms(updates, numbers, sent.round, state)
        num_bytes = updates.numel() * updates.element_size()
        if self.transforms:
            updates, num_bytes = self._transformed(updates, clients, sent.round)
        if self.privacy is not None:
            updates, within = self.privacy.before_sum(updates, state)
        return updates, within, num_bytes

    def masked(
        self, parts: Mapping[str, Tensor], weights: Tensor, clients: Sequence[int], sent: Sent
    ) -> dict[str, Tensor]:
        """Parts (k, ...) of messages, times the weights (k,), under masks: int64 (k, ...)."""
        masks = Masks(self.seed, sent.round, sent.cohort)
        hidden = {}
        for name, part in parts.items():
            values = part.reshape(len(part), -1).double() * weights[:, None]
            rows = [masks.of(client, values.shape[1], name) for client in clients]
            masked = encode(values, len(sent.cohort)) + torch.stack(rows)
            hidden[name] = masked.reshape(part.shape)
        return hidden

    def num_bytes(self, size: int) -> int:
        """Bytes that an update of so many elements takes, as far as its values do not matter."""
        if self.masks:
            return 8 * size
        if not self.transforms:
            return 4 * size
        return transformed(self.transforms, torch.ones(size), self.seed, 0, 0).num_bytes

    def _transformed(
        self, updates: Tensor, clients: Sequence[int], round: int
    ) -> tuple[Tensor, int]:
        rows, num_bytes = [], 0
        for client, update in zip(clients, updates, strict=True):
            message = transformed(self.transforms, update, self.seed, round, client)
            rows.append(decode(self.transforms, message))
            num_bytes += message.num_bytes
        return torch.stack(rows), num_bytes
