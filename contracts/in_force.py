"""The settings that a process runs with, as it tells them on `cmd.<service>.settings`."""

from __future__ import annotations

from typing import Any

import msgspec


class SettingInForce(msgspec.Struct, frozen=True):
    """One setting of a process."""

    section: str
    """`common`, which all services have, or that of the service."""
    name: str
    variable: str
    """That sets it in the environment."""
    value: Any
    """Of a secret: whether there is one."""
    default: Any
    source: str
    """`default`, the variable, the place in a file, or `start`: an option of the command."""
    secret: bool
    description: str


class SettingsAnswer(msgspec.Struct, frozen=True):
    """What one process of a service runs with."""

    instance: str
    settings: tuple[SettingInForce, ...]
