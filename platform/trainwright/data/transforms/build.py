"""The transforms of a job from their specifications."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainwright import plugins
from trainwright.data.transforms.chain import TransformChain
from trainwright.data.transforms.protocol import Transform
from trainwright.errors import InputError, PluginError, Problem
from trainwright.job.models import PluginSpec
from trainwright.plugins.resolve import Site, resolved


def build_chain(
    specs: Sequence[PluginSpec], *, base: Path, seed: int, path: str = "data.transforms"
) -> TransformChain:
    """Find, check and construct the transforms; they are not fitted yet.

    Args:
        specs: in the order of application.
        base: folder of the job file.
        seed: the job's seed.
        path: dotted path of the list in the job.

    Raises:
        PluginError: every transform that does not exist or refuses its options is named.
    """
    problems: list[Problem] = []
    transforms: list[tuple[str, Transform]] = []
    for index, spec in enumerate(specs):
        try:
            transforms.append((spec.name, _build(spec, base, f"{path}.{index}")))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise PluginError(problems)
    return TransformChain(transforms, seed)


def _build(spec: PluginSpec, base: Path, path: str) -> Transform:
    plugin = plugins.find("transforms", spec.name, base, path=f"{path}.name")
    options, problems = plugins.check_options(plugin, spec.options, path)
    if problems:
        raise PluginError(problems)
    transform = plugins.construct(plugin, resolved(plugin, options, Site(base, path)), path)
    if not isinstance(transform, Transform):
        raise PluginError(
            Problem(
                path=f"{path}.name",
                message="is not a transform: it cannot be called with (batch, context)",
                got=spec.name,
            )
        )
    return transform
