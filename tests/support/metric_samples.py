"""A metric over samples that come in parts."""

from __future__ import annotations

import torch

from trainwright.metrics import build_metric

CLASSES = 3
FACTS = {"num_classes": CLASSES, "out_features": CLASSES, "target_kind": "class"}


def evaluate(name, outputs, batch, *, options=None, facts=FACTS, bind=None, parts=3):
    metric = build_metric(name, options or {}, facts=facts, bind=bind or {})
    rows = len(next(iter(outputs.values())))
    for index in torch.arange(rows).tensor_split(parts):
        metric.update(
            {key: value[index] for key, value in outputs.items()},
            {key: value[index] for key, value in batch.items()},
        )
    return metric.compute()
