"""The user's plugin files, kept with a run so that its model can be built again later."""

from __future__ import annotations

from collections.abc import Mapping

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
    """The plugin files that were kept with a run: relative path -> content."""
    kept = folder / PLUGINS
    names: list[str] = kept.read_json(INDEX) if kept.exists(INDEX) else []
    return {name: kept.read_bytes(name) for name in names}
