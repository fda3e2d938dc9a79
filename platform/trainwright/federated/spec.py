"""What a job file of kind ``federated`` may contain."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainwright.job.cluster_spec import Processes
from trainwright.job.models import DataSpec, Objectives, TrackingSpec
from trainwright.job.plugin_spec import JobSection, MetricSpec, ModelSpec, PluginSpec, Section
from trainwright.job.training_spec import KeepPolicy, Monitor

PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]


class LocalTraining(Section):
    """What one client does in one round."""

    epochs: PositiveInt | None = Field(
        None, description="passes over the client's samples; default: 1"
    )
    steps: PositiveInt | None = Field(None, description="updates; give epochs or steps")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="number format of forward and backward"
    )
    max_grad_norm: PositiveFloat | None = Field(
        None, description="a client's gradient is scaled down to this L2 norm"
    )

    @property
    def num_epochs(self) -> int | None:
        """Passes over a client's samples; None where updates are counted instead."""
        return None if self.steps is not None else self.epochs or 1


class LatencySpec(Section):
    """How long clients take, as it is simulated; nothing waits."""

    seconds_per_step: PositiveFloat = Field(1.0, description="of an average client")
    seconds_per_megabyte: Annotated[float, Field(ge=0)] = Field(
        0.0, description="for what an average client receives and sends"
    )
    spread: Annotated[float, Field(ge=0)] = Field(
        0.5, description="standard deviation of the logarithm of a client's slowness"
    )
    jitter: Annotated[float, Field(ge=0)] = Field(
        0.1, description="the same from round to round, for one client"
    )
    deadline_s: PositiveFloat | None = Field(
        None, description="clients that take longer are left out of the round"
    )


class SamplingSpec(Section):
    """Which clients take part in a round."""

    by: Literal["uniform", "samples"] = Field(
        "uniform", description="all alike, or in proportion to the samples they have"
    )
    availability: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="share of the rounds in which a client can be reached"
    )
    dropout: Share = Field(0.0, description="share of the chosen clients that never answer")
    min_clients: PositiveInt = Field(
        1, description="a round with fewer answers changes nothing, and is counted"
    )
    latency: LatencySpec | None = Field(None, description="simulated times, and a deadline")


class PrivacySpec(Section):
    """Differential privacy of single clients, and sums under masks."""

    clip: PositiveFloat | None = Field(None, description="largest L2 norm of a client's update")
    noise: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="standard deviation of the noise, as a multiple of clip; above 0 it needs the "
        "extra trainwright[privacy]",
    )
    where: Literal["central", "local"] = Field(
        "central",
        description="noise is added once to the sum by the server, right behind the clipping of "
        "what update_transforms left; or by each client to its clipped update, before these",
    )
    delta: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="delta of the (epsilon, delta) that is told; default: 1 / clients ** 1.1"
    )
    max_epsilon: PositiveFloat | None = Field(
        None, description="no round is begun that would spend more"
    )
    adaptive: bool = Field(False, description="clip follows a quantile of the updates' norms")
    target_quantile: Fraction = Field(0.5, description="of the norms, that clip follows")
    clip_lr: PositiveFloat = Field(0.2, description="how fast clip follows")
    count_noise: Annotated[float, Field(ge=0)] | None = Field(
        None,
        description="standard deviation of the noise on the number of updates within clip; "
        "default: a twentieth of the cohort, in small ones 1.2 times the noise",
    )
    masked_sums: bool = Field(
        False,
        description="clients mask what they send so that only the sum can be read, and a single "
        "answer changes nothing; refused with aggregators that need single updates",
    )


class PersonalisationSpec(LocalTraining):
    """How a client adapts the global model before it is measured on the client's own samples."""


class ClientEvaluation(Section):
    """What is measured at single clients."""

    every: PositiveInt | None = Field(None, description="rounds between; default: only at the end")
    clients: PositiveInt | Literal["all"] = Field(
        "all", description="how many, evenly spread over the population; or all"
    )
    held_out: Share = Field(
        0.0,
        description="share of each client's samples that are kept for this and not trained on; "
        "0: it is measured on the samples it trains on",
    )
    personalise: PersonalisationSpec | None = Field(
        None, description="also measure the model after each client has trained it a little"
    )


class FederationSpec(Section):
    """The federation: who there is, who takes part, and what becomes of what they send."""

    WITHOUT_EFFECT = ("checkpoint_every", "keep")

    rounds: PositiveInt = Field(
        description="rounds of training; fewer where privacy.max_epsilon is spent before"
    )
    clients: PositiveInt | None = Field(
        None, description="number of clients there are; not where the partition decides it"
    )
    cohort: PositiveInt | Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="clients in a round: a whole number of them, or a fraction up to 1.0"
    )
    partition: PluginSpec = Field(
        default_factory=lambda: PluginSpec(name="iid"),
        description="which samples belong to which client",
    )
    aggregator: PluginSpec = Field(
        default_factory=lambda: PluginSpec(name="fedavg"),
        description="how one model is made of what the clients send",
    )
    sampling: SamplingSpec = Field(
        default_factory=SamplingSpec, description="which clients take part in a round, and in time"
    )
    update_transforms: list[PluginSpec] = Field(
        default_factory=list, description="applied to the updates that clients send, in this order"
    )
    privacy: PrivacySpec = Field(
        default_factory=PrivacySpec, description="clipping, noise, and sums under masks"
    )
    evaluate_every: PositiveInt = Field(
        1,
        description="rounds between evaluations on data.validation; data.test is for the end",
    )
    client_evaluation: ClientEvaluation | None = Field(
        None, description="measure single clients: the worst, the spread, personalisation"
    )
    decomposition: bool = Field(
        False,
        description="at each evaluation, split the global loss into local loss, distribution "
        "shift and aggregation; each client's model is then evaluated on data.validation",
    )
    checkpoint_every: PositiveInt = Field(10, description="rounds between checkpoints")
    keep: KeepPolicy = Field(default_factory=KeepPolicy, description="which checkpoints stay")
    monitor: Monitor | None = Field(
        None, description="metric that marks the best checkpoint; default: validation/loss"
    )
    execution: Literal["auto", "sequential", "batched"] = Field(
        "auto",
        description="batched: clients side by side as one computation; auto: where that is right",
    )
    bins: PositiveInt | None = Field(
        None,
        description="parts of a cohort that are summed up by themselves; at most so many "
        "cluster.workers are of use, and results depend on it in the last digits; default: 8, or "
        "for batched clients one for every 50",
    )
    on_non_finite: Literal["drop", "stop"] = Field(
        "drop", description="what is done about updates that are not finite; drops are counted"
    )


class FederatedCluster(Processes):
    """The processes in which clients train."""

    workers: int = Field(
        0,
        ge=0,
        description="resident processes on Ray that train clients; 0: all in this process",
    )
    max_failures: int = Field(
        2, ge=0, description="lost processes that are replaced without a round coming to its end"
    )
    room_timeout_s: PositiveFloat | None = Field(
        1800.0, description="how long to wait for room in the cluster; null: for ever"
    )


class FederatedJob(JobSection):
    """A job of kind ``federated``: one model, trained by clients on samples of their own."""

    kind: Literal["federated"] = Field("federated", description="what kind of job this is")
    seed: int = Field(0, ge=0, lt=2**63, description="decides weights, partition, cohorts, noise")
    data: DataSpec = Field(description="all samples; batch_size is that of a client")
    model: ModelSpec
    objective: Objectives = Field(description="a loss, or a list whose weighted sum is minimised")
    strategies: list[PluginSpec] = Field(
        default_factory=list, description="methods inside the clients; the first is outermost"
    )
    optimizer: PluginSpec = Field(
        default_factory=lambda: PluginSpec.model_validate({"name": "sgd", "lr": 0.05}),
        description="of the clients; a fresh one in every round",
    )
    schedule: PluginSpec = Field(
        default_factory=lambda: PluginSpec(name="constant"),
        description="learning rate of the clients over the rounds; a round counts as an update",
    )
    training: LocalTraining = Field(default_factory=LocalTraining)
    federation: FederationSpec
    metrics: list[MetricSpec] = Field(default_factory=list, description="computed at evaluation")
    cluster: FederatedCluster = Field(default_factory=FederatedCluster)
    storage: str = Field(
        "runs", min_length=1, description="folder or fsspec URL under which runs are kept"
    )
    tracking: TrackingSpec = Field(default_factory=TrackingSpec)
