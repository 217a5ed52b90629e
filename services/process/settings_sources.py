"""Where settings come from: finds raw values by section and refuses names nobody declared.

Knows names only; what a value must look like is decided in `services.process.settings`.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import msgspec

PREFIX = "METAMCP_"
TOML = "metamcp.toml"
DOTENV = ".env"

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_QUOTED = re.compile(r"""(["'])(.*)\1(?:\s+#.*)?""")


class SettingsError(Exception):
    """A setting is unknown, malformed or missing; the text says which and what is expected."""


class RawValue(msgspec.Struct, frozen=True):
    """A raw value, where it stands, and whether it is text to be converted."""

    value: Any
    where: str
    text: bool


Names = Mapping[str, tuple[str, ...]]
Values = dict[str, dict[str, RawValue]]


def env_name(section: str, name: str) -> str:
    """The environment variable of a setting."""
    middle = "" if section == "common" else f"{section}_"
    return f"{PREFIX}{middle}{name}".upper()


def is_tables(base: Any) -> bool:
    """Whether a setting is a list of tables."""
    return get_origin(base) is tuple and hasattr(get_args(base)[0], "__struct_fields__")


def of_list(base: Any) -> str:
    """Say in words what a list looks like in the environment."""
    if is_tables(base):
        return "a list of tables (in the environment as JSON)"
    return "values separated by commas"


def items(base: Any, text: str) -> Any:
    """What a list says in the environment; a text that is no JSON stays, and is no table."""
    if not is_tables(base):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return msgspec.json.decode(text or "[]")
    except msgspec.DecodeError:
        return text


def wrong_item(type_: Any, error: Exception) -> str:
    """What does not fit in which table."""
    base = get_args(type_)[0] if get_origin(type_) is Annotated else type_
    return f": {error}" if is_tables(base) else ""


def gather(names: Names, known: Collection[str], environ: Mapping[str, str], cwd: Path) -> Values:
    """Collect values by section and name; the environment wins over `.env`, that over the file.

    `names` are the declared settings; sections that are only in `known` are not looked into.
    """
    found: Values = {section: {} for section in names}
    for section, name, value in _from_toml(names, known, cwd / TOML):
        found[section][name] = value
    for variables in (_dotenv(cwd / DOTENV), _environment(environ)):
        for section, name, value in _from_variables(names, known, variables):
            found[section][name] = value
    return found


def _environment(environ: Mapping[str, str]) -> dict[str, RawValue]:
    return {
        name: RawValue(value, name, text=True)
        for name, value in environ.items()
        if name.startswith(PREFIX)
    }


def _dotenv(path: Path) -> dict[str, RawValue]:
    found = {}
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise SettingsError(f"{path.name} line {number}: expected NAME=value or # a comment")
        name, raw = match.groups()
        # The file may serve other programs too: their names are none of our business.
        if name.startswith(PREFIX):
            found[name] = RawValue(_unquote(raw), f"{path.name} line {number}: {name}", text=True)
    return found


def _unquote(raw: str) -> str:
    quoted = _QUOTED.fullmatch(raw)
    return quoted[2] if quoted else re.split(r"(?:^|\s)#", raw, maxsplit=1)[0].rstrip()


def _from_variables(
    names: Names, known: Collection[str], variables: Mapping[str, RawValue]
) -> Iterator[tuple[str, str, RawValue]]:
    declared = {
        env_name(section, name): (section, name)
        for section, its_names in names.items()
        for name in its_names
    }
    for variable, found in variables.items():
        if variable in declared:
            yield *declared[variable], found
        elif not _belongs_elsewhere(variable, names, known):
            raise SettingsError(f"{found.where} is not a setting{_near(variable, declared)}")


def _belongs_elsewhere(variable: str, names: Names, known: Collection[str]) -> bool:
    sections = sorted({*known, *names} - {"common"}, key=len, reverse=True)
    owner = next((s for s in sections if variable.startswith(env_name(s, ""))), None)
    return owner is not None and owner not in names


def _from_toml(
    names: Names, known: Collection[str], path: Path
) -> Iterator[tuple[str, str, RawValue]]:
    try:
        document = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path.name} is not valid TOML: {error}") from None
    for section, table in document.items():
        if not isinstance(table, dict) or section not in {*known, *names}:
            raise SettingsError(
                f"{path.name}: [{section}] is not a section{_near(section, {*known, *names})}"
            )
        if section not in names:
            continue
        for name, value in table.items():
            where = f"{path.name} [{section}] {name}"
            if name not in names[section]:
                raise SettingsError(f"{where} is not a setting{_near(name, names[section])}")
            yield section, name, RawValue(value, where, text=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise SettingsError(f"{path.name} is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{path.name} can't be read: {error.strerror}") from None


def _near(name: str, among: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(among), n=1, cutoff=0.6)
    if near:
        return f". Did you mean {near[0]}?"
    return ". docs/settings.md lists all settings"
