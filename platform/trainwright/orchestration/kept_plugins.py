"""The user's plugin files, kept with a run so that its model can be built again later."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from trainwright.errors import RunError
from trainwright.storage import Folder

PLUGINS = "plugins"
INDEX = "index.json"


def keep_plugin_files(folder: Folder, files: Mapping[str, bytes]) -> None:
    """Keep plugin files (relative path -> content) in a run's folder."""
    kept = folder / PLUGINS
    for name, content in files.items():
        kept.write_bytes(name, content)
    if files:
        kept.write_json(INDEX, sorted(files))


def kept_plugin_files(folder: Folder) -> dict[str, bytes]:
    """The plugin files that were kept with a run: relative path -> content.

    Raises:
        RunError: they are damaged; nothing outside of their folder is read.
    """
    kept = folder / PLUGINS
    if not kept.exists(INDEX):
        return {}
    try:
        names = kept.read_json(INDEX)
        if not isinstance(names, list) or not all(map(_stays_inside, names)):
            raise ValueError("it is no list of files")
        return {name: kept.read_bytes(name) for name in names}
    except (ValueError, OSError) as error:
        place = kept.join(INDEX)
        raise RunError(
            f"the plugin files kept with the run are damaged ({place}): {error}"
        ) from error


def _stays_inside(name: object) -> bool:
    if not isinstance(name, str):
        return False
    path = PurePosixPath(name)
    return name.endswith(".py") and not path.is_absolute() and ".." not in path.parts
