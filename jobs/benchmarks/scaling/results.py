"""What the scaling benchmark finds."""

from __future__ import annotations

from dataclasses import dataclass, field

from common.pairs import Ratio, Side

from scaling.cases import Case
from scaling.links import Line


@dataclass(frozen=True)
class Scaled:
    """What came of one case.

    Attributes:
        case: what was trained.
        oversubscribed: whether there are more workers than cores.
        seconds: of each side for an update.
        efficiency: of each side: samples per second and worker over those of one worker.
        against_bare: our seconds over those of the bare loop.
        samples_per_second: of each side, the median.
        worst_loss_difference: over all updates.
    """

    case: Case
    oversubscribed: bool
    seconds: dict[str, Side]
    efficiency: dict[str, Ratio]
    against_bare: Ratio
    samples_per_second: dict[str, float]
    worst_loss_difference: float


@dataclass(frozen=True)
class Step:
    """The parts of an update of one worker in plain PyTorch.

    Attributes:
        parameters: weights of the model.
        samples: of an update.
        forward: seconds.
        backward: seconds.
        optimizer: seconds.
        spread: standard deviation of the logarithm of the seconds of an update, from its quartiles.
    """

    parameters: int
    samples: int
    forward: Side
    backward: Side
    optimizer: Side
    spread: float


@dataclass
class Costs:
    """What the model of larger sizes is fed with, in seconds.

    Attributes:
        steps: by model; what follows is None where the quick form leaves it out.
        crowds: number of workers -> model -> how much longer computing takes side by side on this
            machine than alone, without any exchange.
        links: by number of workers and collective; seconds over bytes.
        copy: seconds over bytes of a copy in memory.
        board: of the board's processor for a message.
        board_by_workers: the same by number of workers in whose name it was sent.
        call: one call of a Ray actor, there and back.
        reporting: number of workers that report as in a run -> share of a core of the board.
        vitals: until the driver has those of 4,096 workers.
        places: number of workers -> until Ray has found places for them.
        look: at one wish for places.
        poll: of the controller's processor, seconds over polls of one worker.
        launch: seconds over workers until Ray Train has started them, all on this machine.
        launch_controller: of the controller's processor for that, seconds over workers.
        imports: of processor until a process of ours could build a model.
        row: of processor for a row of the journal.
        batch: until MLflow has a batch of a thousand values.
        checkpoint: for a byte of a checkpoint.
        commit: of worker 0's processor, seconds over pieces of a checkpoint.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    crowds: dict[str, dict[str, float]] = field(default_factory=dict)
    links: dict[str, dict[str, Line]] = field(default_factory=dict)
    copy: Line | None = None
    board: Side | None = None
    board_by_workers: dict[str, Side] = field(default_factory=dict)
    call: Side | None = None
    reporting: dict[str, float] = field(default_factory=dict)
    vitals: Side | None = None
    places: dict[str, Side] = field(default_factory=dict)
    look: Side | None = None
    poll: Line | None = None
    launch: Line | None = None
    launch_controller: Line | None = None
    imports: Side | None = None
    row: Side | None = None
    batch: Side | None = None
    checkpoint: Side | None = None
    commit: Line | None = None


@dataclass(frozen=True)
class Scaling:
    """All of it.

    Attributes:
        cores: of this machine.
        scaled: each case.
        costs: for predictions.
    """

    cores: int
    scaled: list[Scaled]
    costs: Costs
