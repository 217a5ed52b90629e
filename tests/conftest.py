"""Fixtures for every test; import helpers from `tests.support`, never from here."""

from __future__ import annotations

import functools
import gc
import logging
import os
import re
import ssl
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import hypothesis
import pytest

from services.outside.apart import nursery
from services.process import telemetry
from services.process.child import bound
from tests.support import forked

pytest_plugins = ["tests.support.nats"]
KINDS = ("acceptance", "long")
"""Marks that choose what a target of the Makefile runs."""

# A busy machine must not fail a property; the limit on time is pytest's. The examples of a property
# are the same in every run, so that nothing fails by chance: `make search` looks for others.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "search", deadline=None, derandomize=False, max_examples=1000, print_blob=True
)
hypothesis.settings.load_profile("house")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Pass over files of which `-m` leaves nothing: to import them takes longer than many tests.

    A file has a mark if it is named in it, and all of it has one that `pytestmark` names.
    """
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    text = collection_path.read_text()
    whole = "".join(re.findall(r"^pytestmark = (?:[^\[\n]+$|\[[^]]*\])", text, re.MULTILINE))
    for term in config.option.markexpr.split(" and "):
        kind = term.removeprefix("not ")
        nothing = f"mark.{kind}" in whole if kind != term else f"mark.{kind}" not in text
        if kind in KINDS and nothing:
            return True
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays, half a million objects: they are never looked through as garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _libraries_log_as_in_a_service() -> None:
    """Else an address with a secret is in the log of a test, or not, by what ran before."""
    for name in telemetry.CHATTY:
        logging.getLogger(name).setLevel("WARNING")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("METAMCP_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def _forking() -> Iterator[None]:
    """End with the tests what was forked for them."""
    yield
    forked.close()


@pytest.fixture(scope="session", autouse=True)
def _certificates_are_read_once() -> Iterator[None]:
    """Each client would read them for 30 ms, and most are for plain HTTP."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (httpx._transports.default, httpx2._transports.default):
            patch.setattr(module, "create_ssl_context", _kept(module.create_ssl_context))
        yield


def _kept(make: Callable[..., ssl.SSLContext]) -> Callable[..., ssl.SSLContext]:
    @functools.cache
    def usual(trust_env: bool, *named: str | None) -> ssl.SSLContext:
        return make(trust_env=trust_env)

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is True and cert is None:
            return usual(trust_env, *map(os.environ.get, ("SSL_CERT_FILE", "SSL_CERT_DIR")))
        return make(verify=verify, cert=cert, trust_env=trust_env)

    return context


@pytest.fixture
def forked_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What workers are forked from is forked too: `outside/apart` tests how it starts."""

    def stand_in(_: str, dash_m: str, module: str, number: str, *, keep: tuple[int, ...]) -> object:
        assert dash_m == "-m"
        return bound(*forked.command(module, number, keep=keep), keep=keep)

    monkeypatch.setattr(nursery, "bound", stand_in)
