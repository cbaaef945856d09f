"""Finds the notifiers: every file in ``notifiers/``, and what other packages offer under ``watchkeeper.notifiers``.

A notifier is one function ``build(receiver) -> Notifier``. In the folder it stands in a file named after the
receiver's ``type``; in another package, the entry point's name is the type and its value the function.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import cast

from watchkeeper.alerts import notifiers
from watchkeeper.alerts.messages.notification import Notifier
from watchkeeper.schemas.declared import Receiver
from watchkeeper.schemas.errors import SettingsError

GROUP = "watchkeeper.notifiers"
Build = Callable[[Receiver], Notifier]


def known() -> list[str]:
    """Name every type of receiver, without importing one."""
    return sorted(_ours() | _others().keys())


def build(receiver: Receiver) -> Notifier:
    """Make the notifier of a receiver.

    Raises:
        SettingsError: there is no such type, or the receiver lacks what the type needs.

    """
    if receiver.type in _ours():
        made = import_module(f"{notifiers.__name__}.{receiver.type}").build
    elif (entry := _others().get(receiver.type)) is not None:
        try:
            made = entry.load()
        except Exception as error:
            raise SettingsError(f"notifier {receiver.type!r} ({entry.value}) cannot be loaded: {error!r}") from error
    else:
        raise SettingsError(f"there is no notifier {receiver.type!r}; known: {', '.join(known())}")
    return cast("Build", made)(receiver)


def _ours() -> set[str]:
    return {module.name for module in iter_modules(notifiers.__path__)}


def _others() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
