"""Routes under `/api/profiles`: what agents are shown at `/mcp/PROFILE`. Others' are not there."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import delete, get, put
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.ids import check_token
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.parts import Asking, Envelope, Parts, Wired, ok, read
from services.gateway.mcp.names import check_changes
from services.gateway.mcp.selection import ToolChange, ToolChoice, check_patterns
from services.gateway.openapi.document import described
from services.gateway.people.profiles import EVERYBODY, Profile, ProfilePlace, no_profile

InProject = Annotated[
    str | None, QueryParameter(description="The project whose profile it is; its owners set it.")
]
ForAll = Annotated[
    bool, QueryParameter(description="It is for everybody; the role `admin` sets it.")
]


class NewProfile(ToolChoice, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is shown at `/mcp/PROFILE`, in the place of what was."""

    description: Annotated[str, msgspec.Meta(max_length=500)] = ""


class ProfileView(Profile, frozen=True, kw_only=True, omit_defaults=False):
    """A profile, and whose it is."""


_CHANGES = (ToolChange("git", "git_log", "history", "What was done in the repository, and when."),)
EXAMPLES = (
    NewProfile(hosts=("git", "files"), without={"*": ("*delete*",)}, changes=_CHANGES),
    ProfileView(
        name="review",
        user="alice",
        hosts=("git", "files"),
        without={"*": ("*delete*",)},
        changes=_CHANGES,
        by="alice",
        changed=1.8e9,
    ),
    _CHANGES[0],
)


@get("/api/profiles", opt=described(scope=scopes.HOSTS_READ, errors=(503,)))
async def list_profiles(parts: Wired, principal: Asking) -> Envelope[list[ProfileView]]:
    """List the profiles that you can use: your own, those for everybody, those of your projects."""
    await parts.profiles.refresh()
    return ok([_view(one) for one in parts.profiles.of(principal.user)])


@get("/api/profiles/{profile:str}", opt=described(scope=scopes.HOSTS_READ, errors=(403, 409, 503)))
async def get_profile(
    profile: FromPath[str],
    parts: Wired,
    principal: Asking,
    project: InProject = None,
    everybody: ForAll = False,
) -> Envelope[ProfileView]:
    """Return what `/mcp/PROFILE` means for you, or the profile of a project or for everybody."""
    await parts.profiles.refresh()
    if project is None and not everybody:
        return ok(_view(parts.profiles.named(principal.user, profile)))
    place = EVERYBODY if everybody else ProfilePlace(project=project or "")
    if not everybody:
        await parts.projects.find(place.project, principal, "see")
    return ok(_view(_there(parts, place, profile)))


@put(
    "/api/profiles/{profile:str}",
    opt=described(scope=scopes.HOSTS_WRITE, body=NewProfile, errors=(403, 409, 503)),
)
async def put_profile(
    profile: FromPath[str],
    body: RawBody,
    parts: Wired,
    principal: Asking,
    project: InProject = None,
    everybody: ForAll = False,
) -> Envelope[ProfileView]:
    """Set a profile of your own, of a project that you own, or for everybody."""
    wanted, name = read(body, NewProfile), check_token(profile, "profile")
    check_patterns(wanted)
    check_changes(wanted.changes)
    place = await _place(parts, principal, project, everybody=everybody)
    made = Profile(
        **msgspec.structs.asdict(wanted),
        name=name,
        user=place.user,
        project=place.project,
        by=principal.user,
    )
    made = await parts.profiles.put(made)
    _note(parts, principal, place.path(name), "set")
    return ok(_view(made), "set")


@delete(
    "/api/profiles/{profile:str}",
    status_code=200,
    opt=described(scope=scopes.HOSTS_WRITE, errors=(403, 409, 503)),
)
async def delete_profile(
    profile: FromPath[str],
    parts: Wired,
    principal: Asking,
    project: InProject = None,
    everybody: ForAll = False,
) -> Envelope[ProfileView]:
    """Take a profile away: your own, that of a project that you own, or the one for everybody."""
    place = await _place(parts, principal, project, everybody=everybody)
    await parts.profiles.refresh()
    found = _there(parts, place, profile)
    await parts.profiles.delete(place, profile)
    _note(parts, principal, place.path(profile), "removed")
    return ok(_view(found), "removed")


async def _place(
    parts: Parts, principal: Principal, project: str | None, *, everybody: bool
) -> ProfilePlace:
    """Where somebody may set profiles. Raises Rejected."""
    if everybody and project is not None:
        raise Rejected(Reason.BAD_REQUEST, "a profile is for everybody or of a project, not both")
    if everybody:
        if not principal.operator:
            raise NotAllowed("role admin", "profiles for everybody are set by the role `admin`")
        return EVERYBODY
    if project is None:
        return ProfilePlace(principal.user)
    await parts.projects.find(project, principal, "manage")
    return ProfilePlace(project=project)


def _there(parts: Parts, place: ProfilePlace, name: str) -> Profile:
    held = parts.profiles.at(place, name)
    if held is None:
        raise no_profile(name)
    return held.value


def _view(profile: Profile) -> ProfileView:
    return ProfileView(**msgspec.structs.asdict(profile))


def _note(parts: Parts, principal: Principal, key: str, what: str) -> None:
    parts.trail.note(
        "profile.changed",
        user=principal.user,
        asked_by=principal.asked_by,
        subject=key,
        details={"what": what},
    )


ROUTES = (list_profiles, get_profile, put_profile, delete_profile)
