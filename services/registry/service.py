"""The registry put together: connection, log, view, watchers, commands."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts import subjects
from contracts.errors import Rejected
from contracts.host import Host
from contracts.ids import check_host
from services.bus import health
from services.bus.bus import Handler
from services.huggingface.hub import Hub
from services.huggingface.spaces import Spaces
from services.join import join
from services.keys import spotting
from services.keys.accounts import Accounts
from services.keys.gateway import host_tokens
from services.keys.secrets import Secrets
from services.keys.vault import KeyFile, key_path
from services.log.projection import Projection, view_path
from services.outside.apart.pool import WorkerPool
from services.process import telemetry
from services.process.run import Fatal, Process
from services.process.settings import Common
from services.registry.actor import Registry
from services.registry.commands import Commands
from services.registry.discovery import SpaceDiscovery
from services.registry.located import Located
from services.registry.manifests import manifest
from services.registry.manifests.manifest import ManifestError, Places
from services.registry.probes.child import Reach
from services.registry.probes.executors import ExecutorPeers
from services.registry.projection import SCHEMA, VERSION
from services.registry.settings import Settings

NAME = "registry"
WORKERS = "services.registry.probes.inside"
"""The module that its worker processes run."""

log = telemetry.get_logger()


async def serve(process: Process, common: Common, settings: Settings) -> None:
    """Run until the process stops. Raises Fatal for a manifest that can't be used."""
    hosts = listed(common, settings)
    warn_of_secrets(hosts)
    bus, log = await join(process, common, settings)
    path = view_path(common.data, process.instance)
    projection = Projection(path, SCHEMA, VERSION, process.troubles)
    process.on_drain(projection.close)
    data = common.data.expanduser().absolute()
    key = KeyFile(key_path(data, common.master_key))
    accounts, tokens = Accounts(bus, key), host_tokens(bus, key)
    secrets = Secrets(data / "secrets", linked=accounts.token)
    workers = WorkerPool(WORKERS)
    process.on_drain(workers.close)
    allow_private, logs = common.allow_private_hosts, data / "hosts"
    reach = Reach(secrets, common.space_url, allow_private, workers, logs, tokens)
    executors = ExecutorPeers(bus)
    registry = Registry(log, projection, process.instance, settings, reach, executors)
    process.background("registry/follow", registry.follow())
    process.on_drain(registry.close)
    process.spawn("registry/watch", registry.run(hosts))
    await bus.subscribe(subjects.breaker("*/*"), lambda message: registry.hear(message.data))
    await bus.subscribe(subjects.beat("*"), lambda message: executors.hear(message.subject))
    await bus.subscribe(
        subjects.tools_changed("*/*"), lambda message: registry.look_again(message.subject)
    )
    hub = Hub(cache=data / "hub-cache")
    process.on_drain(hub.close)
    spaces = Spaces(hub)
    discovery = SpaceDiscovery(registry, accounts, spaces, reach, settings)
    process.background("registry/discover", discovery.run())
    process.on_drain(discovery.close)
    health.show(process, lambda: projection.position)
    commands = Commands(
        registry,
        settings,
        discovery.discover,
        located=Located(spaces, secrets),
        allow_private=allow_private,
    )
    handlers = served(commands).items()
    await bus.serve(NAME, "1.0.0", {verb: _after(registry, one) for verb, one in handlers})
    await process.stopping.wait()


def served(commands: Commands) -> dict[str, Handler]:
    """The commands by their verbs."""
    return {
        "list": commands.list_hosts,
        "probe": commands.probe_now,
        "add": commands.add,
        "check": commands.check,
        "update": commands.update,
        "switch": commands.switch,
        "remove": commands.remove,
        "discover": commands.discover,
    }


def _after(registry: Registry, handler: Handler) -> Handler:
    """The same handler, for when the registry knows what there is."""

    async def handled(payload: bytes) -> bytes:
        await registry.known()
        return await handler(payload)

    return handled


def listed(common: Common, settings: Settings) -> tuple[Host, ...]:
    """The hosts of the manifests, those disabled by a setting marked so. Raises Fatal.

    The setting may name hosts of others too, also such as do not exist yet.
    """
    places = Places(common.data, settings.roots, settings.allow_noop)
    try:
        hosts = manifest.load(settings.manifests, places, builtins=settings.builtins)
    except ManifestError as error:
        raise Fatal(str(error)) from None
    for name in settings.disabled:
        try:
            check_host(name)
        except Rejected as refused:
            raise Fatal(f"METAMCP_REGISTRY_DISABLED: {refused.message}") from None
    return tuple(
        msgspec.structs.replace(host, enabled=False) if host.id in settings.disabled else host
        for host in hosts
    )


def warn_of_secrets(hosts: Iterable[Host]) -> None:
    """Say which manifests have secrets in them, where they stand in the log for ever: they are the
    operator's own, and nothing is refused."""
    for host in hosts:
        for found in spotting.spotted(host.endpoint):
            log.warning("secret_in_manifest", host=host.id, where=found.where, why=found.why)
