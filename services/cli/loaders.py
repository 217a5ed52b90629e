"""How modules of commands are imported: when one of their commands is asked for, since all of them
together take a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

Functions: TypeAlias = Mapping[str, Callable[..., int]]
"""Commands of one module by their words: `hosts`, `hosts add`."""


def _run() -> Functions:
    from services.cli.commands import run

    return {
        "up": run.up_,
        "provision": run.provision,
    }


def _demo() -> Functions:
    from services.cli.commands import demo

    return {"demo": demo.demo}


def _doctor() -> Functions:
    from services.cli.commands import doctor

    return {"doctor": doctor.doctor}


def _hosts() -> Functions:
    from services.cli.commands import host_changes, host_import, hosts

    return {
        "types": hosts.types,
        "call": hosts.call,
        "hosts": hosts.hosts,
        "hosts add": host_changes.add,
        "hosts update": host_changes.update,
        "hosts enable": host_changes.enable,
        "hosts disable": host_changes.disable,
        "hosts remove": host_changes.remove,
        "hosts probe": host_changes.probe,
        "hosts discover": host_changes.discover,
        "hosts import": host_import.import_,
    }


def _bulk() -> Functions:
    from services.cli.commands import batch, operations

    return {
        "batch": batch.batch,
        "operations": operations.operations,
        "operations show": operations.show,
        "operations stop": operations.stop,
        "operations cancel": operations.cancel,
        "operations again": operations.again,
        "operations tag": operations.tag,
    }


def _tasks() -> Functions:
    from services.cli.commands import listing, tagging, tasks

    return {
        "submit": tasks.submit,
        "watch": tasks.watch,
        "tasks": listing.tasks,
        "tag": tagging.tag,
        "again": tagging.again,
        "task": tasks.task,
        "cancel": tasks.cancel,
    }


def _asks() -> Functions:
    from services.cli.commands import asks

    return {"asks": asks.asks, "answer": asks.answer}


def _scan() -> Functions:
    from services.cli.commands import scan

    return {"scan": scan.scan}


def _results() -> Functions:
    from services.cli.commands import results

    return {
        "result": results.result,
        "results": results.results,
        "results delete": results.delete,
        "results verify": results.verify,
        "results tasks": results.tasks,
    }


def _blobs() -> Functions:
    from services.cli.commands import blobs

    return {
        "blobs": blobs.blobs,
        "blobs list": blobs.blobs,
        "blobs delete": blobs.delete,
        "limits": blobs.limits,
    }


def _queue() -> Functions:
    from services.cli.commands import queue

    return {"queue": queue.queue}


def _prefer() -> Functions:
    from services.cli.commands import prefer

    return {"prefer": prefer.prefer}


def _link() -> Functions:
    from services.cli.commands import link

    return {
        "link": link.link,
        "unlink": link.unlink,
        "accounts": link.accounts,
    }


def _spaces() -> Functions:
    from services.cli.commands import spaces

    return {
        "spaces": spaces.spaces,
        "spaces create": spaces.create,
        "spaces deploy": spaces.deploy,
        "spaces restart": spaces.restart,
    }


def _github() -> Functions:
    from services.cli.commands import github

    return {
        "github": github.github,
        "github user": github.user,
        "github repos": github.repos,
        "github create": github.create,
        "github ls": github.ls,
        "github cat": github.cat,
        "github put": github.put,
        "github branches": github.branches,
    }


def _log() -> Functions:
    from services.cli.commands import log

    return {
        "replay": log.replay,
        "audit": log.audit,
    }


def _keys() -> Functions:
    from services.cli.commands import keys

    return {
        "keys": keys.keys,
        "keys rotate": keys.rotate,
    }


def _token() -> Functions:
    from services.cli.commands import token

    return {
        "token": token.tokens,
        "token add": token.add,
        "token list": token.tokens,
        "token revoke": token.revoke,
    }


def _project() -> Functions:
    from services.cli.commands import project

    return {
        "project": project.projects,
        "project list": project.projects,
        "project create": project.create,
        "project show": project.show,
        "project change": project.change,
        "project archive": project.archive,
        "project members": project.members,
        "project add": project.add,
        "project remove": project.remove,
        "project tasks": project.tasks,
        "project results": project.results,
    }


def _profiles() -> Functions:
    from services.cli.commands import profiles

    return {
        "profiles": profiles.profiles,
        "profiles list": profiles.profiles,
        "profiles show": profiles.show,
        "profiles set": profiles.set_,
        "profiles remove": profiles.remove,
    }


def _publisher() -> Functions:
    from services.cli.commands import publisher

    return {
        "publisher": publisher.publishers,
        "publisher add": publisher.add,
        "publisher list": publisher.publishers,
        "publisher remove": publisher.remove,
        "publisher rotate": publisher.rotate,
    }


def _access() -> Functions:
    from services.cli.commands import access

    return {"access": access.access}


def _quota() -> Functions:
    from services.cli.commands import quota

    return {
        "quota": quota.show,
        "quota show": quota.show,
        "quota set": quota.set_,
        "quota unset": quota.unset,
    }


def _user() -> Functions:
    from services.cli.commands import invitations, user

    return {
        "user": user.users,
        "user list": user.users,
        "user show": user.show,
        "user add": user.add,
        "user change": user.change,
        "user disable": user.disable,
        "user enable": user.enable,
        "user delete": user.delete,
        "user password": user.password,
        "user invite": invitations.invite,
        "user invitations": invitations.invitations,
        "user uninvite": invitations.uninvite,
    }


def _identities() -> Functions:
    from services.cli.commands import identities

    return {
        "identities": identities.identities,
        "identities list": identities.identities,
        "identities link": identities.link,
        "identities unlink": identities.unlink,
    }


def _login() -> Functions:
    from services.cli.commands import login

    return {
        "login": login.login,
        "login allow": login.allow,
        "logout": login.logout,
        "whoami": login.whoami,
        "sessions": login.sessions,
        "sessions list": login.sessions,
        "sessions end": login.end,
    }


def _clients() -> Functions:
    from services.cli.commands import clients

    return {
        "clients": clients.clients,
        "clients add": clients.add,
        "clients list": clients.clients,
        "clients remove": clients.remove,
    }


def _restored() -> Functions:
    from services.cli.commands import restored

    return {
        "restored": restored.restored,
        "restored go-on": restored.go_on,
        "restored end": restored.end,
    }


def _version() -> Functions:
    from services.cli.commands import version

    return {"version": version.version}


LOADERS: Mapping[str, Callable[[], Functions]] = {
    "run": _run,
    "demo": _demo,
    "doctor": _doctor,
    "hosts": _hosts,
    "bulk": _bulk,
    "tasks": _tasks,
    "asks": _asks,
    "scan": _scan,
    "results": _results,
    "blobs": _blobs,
    "queue": _queue,
    "prefer": _prefer,
    "link": _link,
    "spaces": _spaces,
    "github": _github,
    "log": _log,
    "keys": _keys,
    "token": _token,
    "clients": _clients,
    "project": _project,
    "profiles": _profiles,
    "publisher": _publisher,
    "access": _access,
    "quota": _quota,
    "user": _user,
    "identities": _identities,
    "login": _login,
    "restored": _restored,
    "version": _version,
}
"""By the names of modules, more or less."""
