"""A picture at the bottom of a terminal that follows what is going on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from typing_extensions import Self

STOPPING = "stopping: checkpoints are being written; Ctrl-C again ends at once"


class Picture(ABC):
    """Drawn anew several times a second; what is printed meanwhile stands above it and stays.

    Args:
        console: a terminal.
        refresh_per_second: how often it is drawn.
    """

    def __init__(self, console: Console, refresh_per_second: int) -> None:
        self._console = console
        self._live = Live(
            get_renderable=self._render,
            console=console,
            transient=True,
            refresh_per_second=refresh_per_second,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        """Draw the first picture."""
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the picture away; what stays is said by the command."""
        self._live.stop()

    def show(self, progress: Mapping[str, Any]) -> None:
        """Take the newest values; the picture is drawn on its own beat."""
        if "remark" in progress:
            self._console.print(Text.assemble(("note: ", "yellow"), str(progress["remark"])))
        self._take(progress)

    @abstractmethod
    def _take(self, progress: Mapping[str, Any]) -> None:
        """Keep the newest values for the next picture."""

    @abstractmethod
    def _render(self) -> RenderableType:
        """What to draw now."""
