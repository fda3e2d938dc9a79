"""Why an import failed: the place inside the plugin's code and the error, in one line."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path


def import_cause(error: BaseException, folder: Path | None = None) -> str:
    """``file:line: ErrorType: message`` for an error raised while a plugin was imported.

    Args:
        error: what the import raised.
        folder: the plugin's own folder; the deepest line inside it is named, so that a failure
            inside a library points at the line which called it. None: the deepest line of all
            that is not part of the import machinery.
    """
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return (
            f"{_shown(error.filename, folder)}:{error.lineno}: {type(error).__name__}: {error.msg}"
        )
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if _inside(frame.filename, folder)
    ]
    if not frames:
        return text
    return f"{_shown(frames[-1].filename, folder)}:{frames[-1].lineno}: {text}"


def _inside(filename: str, folder: Path | None) -> bool:
    if folder is None:
        return "importlib" not in filename and not filename.startswith(str(Path(__file__).parent))
    return Path(filename).is_relative_to(folder)


def _shown(filename: str, folder: Path | None) -> str:
    path = Path(filename)
    return str(path.relative_to(folder)) if folder and path.is_relative_to(folder) else filename


def guarded(load: Callable[[], object]) -> BaseException | None:
    """Run ``load`` and hand back what it raised; ``sys.exit`` in a plugin is a failure too."""
    try:
        load()
    except (Exception, SystemExit) as error:
        return error
    return None
