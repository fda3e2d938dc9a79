"""Pictures of a federation: how far it came over the rounds, and for how many megabytes."""

from __future__ import annotations

from collections.abc import Mapping

from trainwright.federated.client_plots import draw_clients
from trainwright.federated.server.decomposition import AGGREGATION, DISTRIBUTION_SHIFT, LOCAL_LOSS
from trainwright.storage import Folder
from trainwright.tracking.canvas import TRAIN, VALIDATION, Canvas, Panel, is_wide
from trainwright.tracking.histograms import draw_histograms
from trainwright.tracking.plots import Curve, draw_loss, read_curves
from trainwright.tracking.settings import run_name

_DOWN, _UP = "federation/megabytes_down", "federation/megabytes_up"
_TERMS = {
    LOCAL_LOSS: ("local loss", "#1f6fb4"),
    DISTRIBUTION_SHIFT: ("distribution shift", "#d1622b"),
    AGGREGATION: ("aggregation", "#3d8b57"),
}
_SINGLE = {
    "train/lr": "learning rate of the clients",
    "federation/epsilon": "epsilon",
}
"""Drawn by themselves, where they change."""


def plot_federation(folder: Folder) -> list[str]:
    """Draw plots under ``plots/``, and logged histograms under ``figures/``.

    Loss and validation metrics over rounds and over what was sent, the terms of the decomposition,
    the updates' norms, and the newest metrics of single clients.

    Returns:
        The names written, relative to the run folder.
    """
    curves, title = read_curves(folder), run_name(folder)
    names = []
    if "train/loss" in curves or "validation/loss" in curves:
        names.append(_draw_progress(folder, title, "loss", curves))
    for key in sorted(curves):
        if key.startswith("validation/") and key != "validation/loss":
            names.append(_draw_progress(folder, title, key, curves))
    if LOCAL_LOSS in curves:
        names.append(_draw_decomposition(folder, title, curves))
    if "train/update_norm" in curves:
        names.append(_draw_norms(folder, title, curves))
    for key, label in _SINGLE.items():
        if key in curves and len(set(curves[key].values)) > 1:
            canvas = Canvas(title)
            canvas.panel("round", label).add(curves[key], TRAIN)
            names.append(canvas.write(folder, key.rpartition("/")[2]))
    return [*names, *draw_clients(folder, title), *draw_histograms(folder, "round", at_least=2)]


def over_megabytes(curve: Curve, curves: Mapping[str, Curve]) -> Curve:
    """A curve over what was sent in both directions, instead of over the rounds."""
    down, up = (
        dict(zip(curves[key].steps, curves[key].values, strict=True)) for key in (_DOWN, _UP)
    )
    known = [
        (down[step] + up[step], value)
        for step, value in zip(curve.steps, curve.values, strict=True)
        if step in down and step in up
    ]
    return Curve([sent for sent, _ in known], [value for _, value in known])


def _draw_progress(folder: Folder, title: str, key: str, curves: Mapping[str, Curve]) -> str:
    """A metric over rounds on the left, over megabytes on the right; ``loss`` is both losses."""
    canvas = Canvas(title, columns=2)
    shown = {name: curves[name] for name in _names(key) if name in curves}
    _draw_into(canvas.panel("round", key), key, shown)
    panel = canvas.panel("megabytes sent by server and clients", key, counts=False)
    moved = {name: over_megabytes(curve, curves) for name, curve in shown.items()}
    _draw_into(panel, key, moved)
    if is_wide(over_megabytes(curves[_UP], curves).steps):
        panel.axes.set_xscale("log")
    return canvas.write(folder, key)


def _names(key: str) -> tuple[str, ...]:
    return ("train/loss", "validation/loss") if key == "loss" else (key,)


def _draw_into(panel: Panel, key: str, curves: Mapping[str, Curve]) -> None:
    if key == "loss":
        draw_loss(panel, curves)
    else:
        panel.add(curves[key], VALIDATION)


def _draw_decomposition(folder: Folder, title: str, curves: Mapping[str, Curve]) -> str:
    """The three terms, and the loss that they add up to."""
    canvas = Canvas(title)
    panel = canvas.panel("round", "loss of the global model, and its terms")
    panel.axes.axhline(0, color="#999999", linewidth=0.9)
    if "validation/loss" in curves:
        panel.add_line(curves["validation/loss"], "#333333", "all together")
    for key, (label, color) in _TERMS.items():
        panel.add_points(curves[key], color, label)
    return canvas.write(folder, "decomposition")


def _draw_norms(folder: Folder, title: str, curves: Mapping[str, Curve]) -> str:
    """The clients' mean norm, and what it is clipped to."""
    canvas = Canvas(title)
    panel = canvas.panel("round", "L2 norm of the clients' updates")
    shown = [curves["train/update_norm"]]
    panel.add_noisy(shown[0], TRAIN, "mean of the clients")
    if "federation/clip" in curves:
        shown.append(curves["federation/clip"])
        panel.add_line(shown[1], VALIDATION, "clip")
    panel.scale_for(shown)
    return canvas.write(folder, "update-norm")
