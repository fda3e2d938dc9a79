"""Plugins: finding them by name, checking their options, making their objects.

Importing this package imports no library; torch comes in when a plugin that needs it is found.
"""

from trainwright.plugins.groups import DERIVED, GROUPS, BrokenPlugin, Plugin
from trainwright.plugins.options import check_options, construct
from trainwright.plugins.registry import available, create, find, short_names
from trainwright.plugins.shipping import install_plugin_files, plugin_files

__all__ = [
    "DERIVED",
    "GROUPS",
    "BrokenPlugin",
    "Plugin",
    "available",
    "check_options",
    "construct",
    "create",
    "find",
    "install_plugin_files",
    "plugin_files",
    "short_names",
]
