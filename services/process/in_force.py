"""The settings that a process runs with: their values, and where each came from.

What is a secret is never in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from contracts.in_force import SettingInForce
from services.process.settings import SECTION_NAMES, Field, SettingsError, fields, load
from services.process.settings_sources import RawValue, env_name, gather

DEFAULT = "default"
STARTED = "start"
"""Neither a variable nor a file says so: it was an option of the command that has started it."""
_USERINFO = re.compile(r"//[^/@\s]+@")


def in_force(
    sections: Mapping[str, msgspec.Struct], environ: Mapping[str, str], cwd: Path
) -> tuple[SettingInForce, ...]:
    """Say of each setting what it is, and why."""
    names = {name: of.__struct_fields__ for name, of in sections.items()}
    try:
        found = gather(names, SECTION_NAMES, environ, cwd)
        read = {name: load(type(of), name, environ, cwd=cwd) for name, of in sections.items()}
    except SettingsError:
        # Started with other variables than these: whoever has started it knows.
        found, read = {name: {} for name in sections}, {}
    return tuple(
        _told(section, of, one, found[section].get(one.name), read.get(section))
        for section, of in sections.items()
        for one in fields(type(of))
    )


def _told(
    section: str,
    of: msgspec.Struct,
    field: Field,
    raw: RawValue | None,
    read: msgspec.Struct | None,
) -> SettingInForce:
    value = getattr(of, field.name)
    source = DEFAULT if value == field.default else STARTED
    if raw is not None and read is not None and getattr(read, field.name) == value:
        source = raw.where
    return SettingInForce(
        section=section,
        name=field.name,
        variable=env_name(section, field.name),
        value=bool(value) if field.secret else _shown(value),
        default=bool(field.default) if field.secret else _shown(field.default),
        source=source,
        secret=field.secret,
        description=field.description,
    )


def _shown(value: Any) -> Any:
    """As JSON has it, without passwords in addresses."""
    plain = msgspec.to_builtins(value, enc_hook=str)
    if isinstance(plain, str):
        return _USERINFO.sub("//…@", plain)
    if isinstance(plain, list | tuple):
        return [_shown(one) for one in plain]
    if isinstance(plain, dict):
        return {name: _shown(one) for name, one in plain.items()}
    return plain
