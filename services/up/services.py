"""The five services as this machine starts them: their settings, and how each is served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

import msgspec

from services.executor import service as executor
from services.executor.settings import Settings as ExecutorSettings
from services.gateway import service as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.process.run import Process
from services.process.settings import Common
from services.registry import service as registry
from services.registry.settings import Settings as RegistrySettings
from services.results import service as results
from services.results.settings import Settings as ResultsSettings
from services.router import service as router
from services.router.settings import Settings as RouterSettings


class Service(NamedTuple):
    """One of the five."""

    settings: type[msgspec.Struct]
    serve: Callable[[Process, Common, Any], Coroutine[Any, Any, None]]


FIVE: Mapping[str, Service] = {
    "registry": Service(RegistrySettings, registry.serve),
    "router": Service(RouterSettings, router.serve),
    "executor": Service(ExecutorSettings, executor.serve),
    "results": Service(ResultsSettings, results.serve),
    "gateway": Service(GatewaySettings, gateway.serve),
}
"""By name, in the order in which they are started."""
