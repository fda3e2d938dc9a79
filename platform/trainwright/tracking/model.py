"""An MLflow model (pt2: a traced graph, no pickle) beside the metrics of a finished run."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright.errors import TrackingError
from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.tracking.target import MlflowTarget, mlflow_environment
from trainwright.tracking.writer import leave_note

if TYPE_CHECKING:
    import torch

_log = logging.getLogger(__name__)

MODEL_TAG = "trainwright.model"
_ARTIFACT = "model"
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ModelReport:
    """How storing the model went: its MLflow URI, or why there is none."""

    model_uri: str | None
    error: str | None


def log_mlflow_model(
    uri: str,
    run_id: str,
    model: torch.nn.Module,
    input_example: torch.Tensor | Sequence[torch.Tensor],
    *,
    output: str | None = None,
    folder: Folder | None = None,
) -> ModelReport:
    """Export a model and store it as artifact ``model`` of an MLflow run; never raises.

    MLflow serves models with one output tensor, so of a mapping of outputs one is chosen. The
    batch dimension stays free. Not every model can be traced: a failure is returned, tagged on
    the run (``trainwright.model``) and left as an event in the run folder.

    Args:
        uri: MLflow tracking URI.
        run_id: the MLflow run.
        model: on the CPU, with plain weights; called with the examples as positional arguments.
        input_example: one tensor per positional argument, batch dimension first.
        output: name of the output to keep; default ``logits``, or else the first.
        folder: the run folder, for the event.
    """
    target = MlflowTarget(uri)
    target.timeout_s = _TIMEOUT_S
    try:
        with tempfile.TemporaryDirectory(prefix="trainwright-") as scratch:
            path = Path(scratch) / _ARTIFACT
            with mlflow_environment(uri, _TIMEOUT_S):
                _save(path, model, _examples(input_example), output)
            target.upload_folder(run_id, path, _ARTIFACT)
    except Exception as error:  # tracing runs the user's code, which may raise anything
        reason = mask(f"{type(error).__name__}: {error}".split("\n", 1)[0])
        _log.warning("the MLflow model could not be stored: %s", reason)
        _record(target, run_id, f"failed: {reason}", folder)
        return ModelReport(None, reason)
    _record(target, run_id, "stored", None)
    return ModelReport(f"runs:/{run_id}/{_ARTIFACT}", None)


def _save(
    path: Path, model: torch.nn.Module, examples: list[torch.Tensor], output: str | None
) -> None:
    import mlflow.pytorch
    import torch

    training = model.training
    model.eval()
    # A hook, not a wrapping module: the export reads the names of forward's own arguments.
    hook = model.register_forward_hook(lambda _, inputs, result: _first_tensor(result, output))
    try:
        with torch.no_grad():
            result = model(*examples)
        arrays = [example.numpy() for example in examples]
        mlflow.pytorch.save_model(
            model,
            str(path),
            input_example=arrays[0] if len(arrays) == 1 else arrays,
            signature=_signature(examples, result),
            serialization_format="pt2",
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", "mlflow"],
        )
    finally:
        hook.remove()
        model.train(training)


def _first_tensor(result: Any, output: str | None) -> Any:
    """The one output that is kept of all that a model returns."""
    if isinstance(result, Mapping):
        return result[output or ("logits" if "logits" in result else next(iter(result)))]
    return result[0] if isinstance(result, (tuple, list)) else result


def _signature(examples: list[torch.Tensor], result: torch.Tensor) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    def spec(tensor: torch.Tensor, name: str | None) -> TensorSpec:
        return TensorSpec(tensor.numpy().dtype, (-1, *tensor.shape[1:]), name)

    names = [None] if len(examples) == 1 else [f"input_{i}" for i in range(len(examples))]
    inputs = [spec(example, name) for example, name in zip(examples, names, strict=True)]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([spec(result, None)]))


def _examples(given: torch.Tensor | Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Two samples at least: a batch of one would be traced as a constant."""
    import torch

    tensors = [given] if isinstance(given, torch.Tensor) else list(given)
    return [t.detach() if len(t) > 1 else torch.cat([t.detach()] * 2) for t in tensors]


def _record(target: MlflowTarget, run_id: str, text: str, folder: Folder | None) -> None:
    try:
        target.set_tags(run_id, {MODEL_TAG: text})
    except TrackingError as error:
        _log.warning("%s", error)
    if folder is not None:
        try:
            leave_note(folder, 0, f"MLflow model {text}")
        except Exception as error:  # whatever the store's client raises; it is in the log already
            _log.warning("the event could not be written: %s", error)
