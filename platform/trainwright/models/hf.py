"""Models of Hugging Face's transformers, from a configuration or a local folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainwright.plugins.markers import JobPath
from trainwright.suggest import nearest, one_of

Task = Literal["causal_lm", "masked_lm", "sequence_classification", "image_classification"]

_CLASSES: dict[str, str] = {
    "causal_lm": "AutoModelForCausalLM",
    "masked_lm": "AutoModelForMaskedLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "image_classification": "AutoModelForImageClassification",
}
_Size = Annotated[int, Field(gt=0)]


def hf(
    config: dict[str, Any] | None = None,
    path: Annotated[str | None, JobPath()] = None,
    task: Task = "causal_lm",
    load_weights: bool = True,
    checkpoint_activations: bool = False,
    vocabulary_size: _Size | None = None,
    sequence_length: _Size | None = None,
    out_features: _Size | None = None,
    in_channels: _Size | None = None,
    image_size: _Size | tuple[_Size, _Size] | None = None,
) -> nn.Module:
    """A model of the transformers library, from a configuration or a local folder.

    Nothing is ever downloaded, no code from the folder is run, and weights are read from
    safetensors only. Needs the package: ``pip install 'trainwright[hf]'``. Exported weights carry
    the library's own names behind ``network.``.

    Args:
        config: configuration as a mapping, ``model_type`` first of all, for example
            ``{model_type: gpt2, n_layer: 2, n_head: 2, n_embd: 64}``; with ``path`` it changes
            the folder's configuration.
        path: folder with a ``config.json``, as ``save_pretrained`` writes it; relative paths
            start at the job's folder.
        task: what stands on top: causal_lm and masked_lm give logits of each token's vocabulary,
            the classifications those of a sequence or an image.
        load_weights: whether to start from the folder's weights; without a folder, and for a
            head that it does not have, they come from torch's global generator.
        checkpoint_activations: compute activations again in the backward pass: less memory, more
            time.
        vocabulary_size: number of different tokens; from the data when left out of a job.
        sequence_length: longest sequence; from the data when left out of a job.
        out_features: classes of a classification; from the data when left out of a job.
        in_channels: colour channels of images; from the data when left out of a job.
        image_size: pixels of images; from the data when left out of a job.

    Raises:
        ValueError: transformers is not installed, or there is no such model, folder or weights.
    """
    transformers = _transformers()
    if config is None and path is None:
        raise ValueError("give a config (a mapping with model_type), or the path of a folder")
    sizes = {
        "vocab_size": vocabulary_size,
        "max_position_embeddings": sequence_length,
        "num_labels": out_features if task.endswith("classification") else None,
        "num_channels": in_channels,
        "image_size": image_size,
    }
    given = {name: size for name, size in sizes.items() if size is not None}
    settings = _settings(transformers, config or {}, path, given)
    settings.use_cache = False
    network = _network(transformers, settings, path if load_weights else None, task)
    if checkpoint_activations:
        # The second name is that of the library's releases before 5.24.
        names = ("activation_checkpointing_enable", "gradient_checkpointing_enable")
        enable = next(getattr(network, name) for name in names if hasattr(network, name))
        enable({"use_reentrant": False})
    return ImageModel(network) if task == "image_classification" else TokenModel(network)


class TokenModel(nn.Module):
    """A network of the library that reads tokens, under the platform's names."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap ``network``."""
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, tokens_mask: Tensor | None = None) -> dict[str, Tensor]:
        """Outputs for ``tokens``, int64 of shape (B, T).

        Args:
            tokens: token indices.
            tokens_mask: True where a token counts, shape (B, T); all do when left out.

        Returns:
            ``logits`` (B, T, vocabulary) or (B, classes), and ``embedding`` (B, T, dim), the last
            hidden states.
        """
        mask = None if tokens_mask is None else tokens_mask.long()
        outputs = self.network(input_ids=tokens, attention_mask=mask, output_hidden_states=True)
        return {"logits": outputs.logits, "embedding": outputs.hidden_states[-1]}


class ImageModel(nn.Module):
    """A network of the library that reads images, under the platform's names."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap ``network``."""
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """``logits`` (B, classes) for images ``x`` of shape (B, C, H, W)."""
        return {"logits": self.network(pixel_values=x).logits}


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ValueError(
            f"the package transformers cannot be imported ({error}); install it by: "
            "pip install 'trainwright[hf]'"
        ) from error
    return transformers


def _settings(
    transformers: Any, config: Mapping[str, Any], path: str | None, given: Mapping[str, Any]
) -> Any:
    """The configuration object: the folder's or a new one, completed with what the data says."""
    written = dict(config)
    model_type = written.pop("model_type", None)
    if path is not None:
        settings = transformers.AutoConfig.from_pretrained(str(_folder(path)))
        if model_type not in (None, settings.model_type):
            raise ValueError(f"the folder holds a {settings.model_type}, not a {model_type}")
    else:
        known = list(transformers.CONFIG_MAPPING.keys())
        if model_type not in known:
            close = nearest(str(model_type), known)
            hint = f"; nearest: {close}" if close else f"; there are {one_of(sorted(known))}"
            raise ValueError(f"config needs a model_type of transformers, got {model_type!r}{hint}")
        settings = transformers.AutoConfig.for_model(model_type)
    _refuse_unknown(settings, written)
    own = {name: size for name, size in given.items() if path is None or name == "num_labels"}
    for name, value in {**own, **written}.items():
        if hasattr(settings, name):
            setattr(settings, name, value)
    _refuse_too_small(settings, given)
    return settings


def _refuse_unknown(settings: Any, written: Mapping[str, Any]) -> None:
    for name in written:
        if not hasattr(settings, name):
            close = nearest(name, [key for key in settings.to_dict() if not key.startswith("_")])
            hint = f"; nearest: {close}" if close else ""
            raise ValueError(f"a {settings.model_type} configuration has no {name!r}{hint}")


def _refuse_too_small(settings: Any, given: Mapping[str, Any]) -> None:
    for name, what in (("vocab_size", "tokens"), ("max_position_embeddings", "positions")):
        have, needed = getattr(settings, name, None), given.get(name)
        if have is not None and needed is not None and have < needed:
            raise ValueError(f"the model has {have} {what} ({name}), the data needs {needed}")


def _folder(path: str) -> Path:
    folder = Path(path)
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"there is no config.json in {path}: path is a local folder, as save_pretrained "
            "writes it; nothing is downloaded"
        )
    return folder


def _network(transformers: Any, settings: Any, path: str | None, task: str) -> Any:
    maker = getattr(transformers, _CLASSES[task])
    try:
        if path is None:
            network = maker.from_config(settings, dtype=torch.float32)
        else:
            network = maker.from_pretrained(
                path,
                config=settings,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
            )
    except (OSError, RuntimeError) as error:
        raise ValueError(f"the weights in {path} do not load: {error}") from error
    return network.train()
