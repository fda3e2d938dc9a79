"""The plugins that a federation's job names."""

from __future__ import annotations

from trainwright.federated.spec import FederatedJob
from trainwright.job.check import Use


def uses(spec: FederatedJob) -> list[Use]:
    """Those that the training job of its clients does not name."""
    federation = spec.federation
    return [
        Use("aggregators", federation.aggregator, "federation.aggregator"),
        Use("partitioners", federation.partition, "federation.partition"),
        *(
            Use("update_transforms", transform, f"federation.update_transforms.{index}")
            for index, transform in enumerate(federation.update_transforms)
        ),
    ]
