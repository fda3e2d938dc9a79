"""The layers of a trained model at all levels of compression, made once and kept as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from torch import Tensor, nn

from trainwright.procedure import Folder, ProcedureContext, TrainedRun
from trainwright_strategies.compression.levels import Compression
from trainwright_strategies.compression.second_order import relative_error, second_moments

_LAYERS_AT_ONCE = 8
"""Whose second moments are in memory; so many share a pass over the training samples."""


@dataclass(frozen=True)
class Database:
    """The units of a run's model at all their levels; it can travel to another process.

    Attributes:
        run: whose model is compressed.
        compression: what levels mean.
        folder: where the files are.
    """

    run: TrainedRun
    compression: Compression
    folder: Folder

    def build(self, names: Sequence[str]) -> None:
        """Make and write the units of these names."""
        from safetensors.torch import save  # not above: listing plugins would import it

        model, units, ranges = self._ranges()
        layers = {name: units[name] for name in names}
        corrects = self.compression.corrects
        moments = second_moments(self.run, model, layers) if corrects else {}
        smallest = min(self.compression.sizes(units))
        for name, layer in layers.items():
            weight = layer.weight.detach()
            levels = {
                str(level): self.compression.compressed(weight, level, smallest, moments.get(name))
                for level in ranges[name]
            }
            self.folder.write_bytes(_file(name), save(levels))

    def levels(self, name: str) -> dict[int, Tensor]:
        """The weights of a unit by level."""
        from safetensors.torch import load

        stored = load(self.folder.read_bytes(_file(name)))
        return {level: stored[str(level)] for level in sorted(map(int, stored))}

    def errors(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Relative error of the outputs of these units at each level, on the whole model's inputs.

        Returns:
            Name -> level -> error.
        """
        model, units, _ = self._ranges()
        layers = {name: units[name] for name in names}
        moments = second_moments(self.run, model, layers)
        return {
            name: {
                str(level): relative_error(layer.weight.detach(), weight, moments[name])
                for level, weight in self.levels(name).items()
            }
            for name, layer in layers.items()
        }

    def _ranges(self) -> tuple[nn.Module, Mapping[str, Any], dict[str, range]]:
        model = self.run.model()
        space, units = self.compression.space_of(model), self.compression.units_of(model)
        bounds = zip(units, space.lowest, space.highest, strict=True)
        return model, units, {name: range(low, high + 1) for name, low, high in bounds}


def built(context: ProcedureContext, run: TrainedRun, compression: Compression) -> Database:
    """The database of a procedure, made side by side in its folder."""
    database = Database(run, compression, context.folder / "database")
    if compression.kind != "drop":
        context.map(database.build, parts_of(database), name="database")
    return database


def parts_of(database: Database) -> list[list[str]]:
    """The names of the units, in the portions that are worked on at once."""
    names = list(database.compression.units_of(database.run.model()))
    return [
        names[first : first + _LAYERS_AT_ONCE] for first in range(0, len(names), _LAYERS_AT_ONCE)
    ]


def _file(name: str) -> str:
    return f"{quote(name, safe='')}.safetensors"
