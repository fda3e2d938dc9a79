"""What the form of a federation cannot say about privacy, masked sums and transforms of updates."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from trainwright.errors import Problem

if TYPE_CHECKING:
    from trainwright.federated.aggregator import Aggregator
    from trainwright.federated.spec import FederationSpec, PrivacySpec

_PATH = "federation.privacy"


def broken_rules(federation: FederationSpec) -> list[Problem]:
    """Every problem of privacy, masked sums and transforms that the job alone shows."""
    spec = federation.privacy
    return [
        *_noise_needs_a_clip(spec),
        *_budget_needs_noise(spec),
        *_adaptive_clip_has_a_start(spec),
        *_count_noise_leaves_a_budget(spec),
        *_accounting_fits_the_sampling(federation),
        *_accountant_is_installed(spec),
        *_masked_sums_have_terms(federation),
    ]


def broken_by_aggregator(federation: FederationSpec, aggregator: Aggregator) -> list[Problem]:
    """Every problem of privacy and masked sums with the job's aggregator."""
    spec = federation.privacy
    name, where = federation.aggregator.name, "federation.aggregator"
    central = spec.noise > 0 and spec.where == "central"
    if aggregator.reduce == "stack":
        needs = "needs the update of each single client"
        other = "take an aggregator that needs their sum only, for example fedavg"
        return [
            *_if(
                spec.masked_sums,
                Problem(where, f"{needs}, which masked_sums hide", name, mend=other),
            ),
            *_if(
                central,
                Problem(
                    where,
                    f"{needs}, but central noise is added to their sum",
                    name,
                    mend=f"{other}; or set {_PATH}.where: local",
                ),
            ),
        ]
    return _if(
        central and aggregator.weighting != "uniform",
        Problem(
            where,
            "weighs clients by the number of their samples, so that clip does not bound how far "
            "one of them moves the mean",
            name,
            mend="give it uniform weights, as fedavg and others take them: weighting: uniform",
        ),
    )


def uncovered_parts(
    federation: FederationSpec, parts: Iterable[str], buffers: Iterable[str]
) -> list[Problem]:
    """What clients send besides their updates, which noise does not hide.

    Args:
        federation: of the job.
        parts: names of the parts of the aggregator's messages.
        buffers: names of the model's floating-point buffers that the platform averages.
    """
    if federation.privacy.noise == 0:
        return []
    others, buffers = sorted(set(parts) - {"update"}), sorted(buffers)
    return [
        *_if(
            bool(others),
            Problem(
                "federation.aggregator",
                "has clients send more than their updates, which noise does not hide",
                ", ".join(others),
                mend="take an aggregator whose messages are the updates alone, for example fedavg",
            ),
        ),
        *_if(
            bool(buffers),
            Problem(
                "model",
                "has buffers that are averaged over the clients, which noise does not hide",
                ", ".join(buffers),
                mend="take a model without batch normalisation, or an aggregator that leaves the "
                "buffers with the clients",
            ),
        ),
    ]


def _if(wrong: bool, problem: Problem) -> list[Problem]:
    return [problem] if wrong else []


def _noise_needs_a_clip(spec: PrivacySpec) -> list[Problem]:
    return _if(
        spec.noise > 0 and spec.clip is None,
        Problem(
            f"{_PATH}.noise",
            "hides nobody whose update has no bound",
            spec.noise,
            mend=f"set {_PATH}.clip, for example to the median norm of updates without it",
        ),
    )


def _budget_needs_noise(spec: PrivacySpec) -> list[Problem]:
    return _if(
        spec.max_epsilon is not None and spec.noise == 0,
        Problem(
            f"{_PATH}.max_epsilon",
            "cannot be kept without noise: epsilon is infinite from the first round on",
            spec.max_epsilon,
            mend=f"set {_PATH}.noise above 0, or leave max_epsilon out",
        ),
    )


def _adaptive_clip_has_a_start(spec: PrivacySpec) -> list[Problem]:
    if not spec.adaptive:
        return []
    local = f"{_PATH}.where"
    return [
        *_if(
            spec.clip is None,
            Problem(
                f"{_PATH}.adaptive",
                "has nothing to start from",
                mend=f"set {_PATH}.clip, for the first round",
            ),
        ),
        *_if(
            spec.noise == 0,
            Problem(
                f"{_PATH}.adaptive",
                "is for noise: the clip follows a noisy quantile",
                mend=f"set {_PATH}.noise above 0, or a clip that stays",
            ),
        ),
        *_if(
            spec.where == "local",
            Problem(
                local,
                "cannot be with an adaptive clip: the server would have to be told by each "
                "client whether its update is within",
                spec.where,
                allowed="central",
                mend=f"set {local}: central, or {_PATH}.adaptive: false",
            ),
        ),
    ]


def _count_noise_leaves_a_budget(spec: PrivacySpec) -> list[Problem]:
    given = spec.count_noise
    return _if(
        spec.adaptive and given is not None and 0 < spec.noise >= 2 * given,
        Problem(
            f"{_PATH}.count_noise",
            "is so small that the count of updates within the clip spends the whole budget",
            given,
            allowed=f"above {spec.noise / 2:g}, half of the noise",
            mend="leave it out: then the noise on updates grows by a tenth at most",
        ),
    )


def _accounting_fits_the_sampling(federation: FederationSpec) -> list[Problem]:
    spec, by = federation.privacy, federation.sampling.by
    return _if(
        spec.noise > 0 and spec.where == "central" and by != "uniform",
        Problem(
            "federation.sampling.by",
            "makes large clients more likely than epsilon takes them to be",
            by,
            allowed="uniform, with central noise",
        ),
    )


def _accountant_is_installed(spec: PrivacySpec) -> list[Problem]:
    return _if(
        spec.noise > 0 and find_spec("dp_accounting") is None,
        Problem(
            f"{_PATH}.noise",
            "needs the package dp-accounting, which tells epsilon, and is not installed",
            spec.noise,
            mend="pip install 'trainwright[privacy]'",
        ),
    )


def _masked_sums_have_terms(federation: FederationSpec) -> list[Problem]:
    if not federation.privacy.masked_sums:
        return []
    transforms, cohort = federation.update_transforms, federation.cohort
    path = f"{_PATH}.masked_sums"
    return [
        *_if(
            bool(transforms),
            Problem(
                "federation.update_transforms",
                "cannot be with masked_sums: under a mask every element takes 64 bits",
                [transform.name for transform in transforms],
                mend=f"leave them out, or set {path}: false",
            ),
        ),
        *_if(
            isinstance(cohort, int) and cohort < 2,
            Problem(
                "federation.cohort",
                "is a single client, whose message is the sum",
                cohort,
                mend=f"set it to 2 or more, or {path}: false",
            ),
        ),
    ]
