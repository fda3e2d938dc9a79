"""Hypothetical clusters and models: assumptions with their sources, none of them measured."""

from __future__ import annotations

from dataclasses import dataclass

from scaling.flops import PEAKS, flops_per_token
from scaling.model import Network, Workload

SPREAD = 0.02
BETWEEN_S = 5e-6
INSIDE_S = 3e-6
LINK_SHARE = 0.8
PER_NODE = 8
CORES = 96
STORAGE_BYTES_PER_S = 50e9


@dataclass(frozen=True)
class Assumed:
    """One setting.

    Attributes:
        work: what each GPU does.
        network: its links.
        lines: the assumptions in words, with sources.
    """

    work: Workload
    network: Network
    lines: tuple[str, ...]


def _work(
    name: str,
    parameters: int,
    layers: int,
    dim: int,
    length: int,
    samples: int,
    flops_per_s: float,
) -> Workload:
    seconds = samples * length * flops_per_token(parameters, layers, dim, length) / flops_per_s
    return Workload(
        name=name,
        parameters=parameters,
        tensors=12 * layers + 4,
        samples=samples,
        compute_s=seconds,
        fixed_s=0.0,
        backward_s=2 * seconds / 3,
        gradient_bytes=2.0 * parameters,
        state_bytes=12.0 * parameters,
        spread=SPREAD,
    )


def _network(gigabits: float, inside_bytes_per_s: float) -> Network:
    node = gigabits * 1e9 / 8 * LINK_SHARE
    return Network(BETWEEN_S, 1 / node, PER_NODE, INSIDE_S, 1 / inside_bytes_per_s)


COMMON = (
    f"compute times vary by {SPREAD:.0%} (standard deviation of their logarithm), anew in every "
    "update and independently; a node that is slow for good is not in it",
    f"a message takes {BETWEEN_S * 1e6:g} us between nodes and {INSIDE_S * 1e6:g} us inside one; "
    f"{LINK_SHARE:.0%} of a link's bits per second are had (orders of magnitude, no source)",
    f"nodes have {PER_NODE} GPUs, which share the node's link, and {CORES} cores",
    "gradients are exchanged in bf16, 2 bytes each; a checkpoint has 12 bytes for each weight",
    f"the storage takes {STORAGE_BYTES_PER_S / 1e9:g} GB/s from all workers together (no source)",
)

ASSUMED = (
    Assumed(
        work=_work("GPT-2 124M, A100", 124_439_808, 12, 768, 1024, 16, 0.4 * PEAKS["NVIDIA A100"]),
        network=_network(200, 240e9),
        lines=(
            "12 layers of width 768, 124,439,808 weights, sequences of 1024 (Radford et al. 2019); "
            "16 sequences for each GPU and update",
            "A100: 312 Tflop/s in bf16 (NVIDIA's data sheet), of which 40 % are had (assumed)",
            "240 GB/s inside a node (of NVLink's 600 GB/s both ways, data sheet), 200 Gbit/s "
            "between nodes",
        ),
    ),
    Assumed(
        work=_work(
            "GPT-3 XL 1.3B, H100", 1_315_577_856, 24, 2048, 2048, 8, 0.4 * PEAKS["NVIDIA H100"]
        ),
        network=_network(400, 360e9),
        lines=(
            "24 layers of width 2048, 1.3 thousand million weights, sequences of 2048 (Brown et "
            "al. 2020); 8 sequences for each GPU and update; ZeRO 2",
            "H100: 989 Tflop/s in bf16 without sparsity (NVIDIA's data sheet), of which 40 % are "
            "had (assumed)",
            "360 GB/s inside a node (of NVLink's 900 GB/s both ways, data sheet), 400 Gbit/s "
            "between nodes",
        ),
    ),
)
