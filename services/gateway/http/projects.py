"""Routes under `/api/projects`. What somebody is not in does not exist to them: 404."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.params import FromPath, QueryParameter, RawBody

from contracts import scopes
from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from contracts.result import Kept, ResultFound, ResultRequest
from services.gateway.access.identity import NotAllowed, Principal
from services.gateway.http.filters import OfStatus, OfType
from services.gateway.http.paging import Mark
from services.gateway.http.parts import (
    Asking,
    Cursor,
    Envelope,
    Limit,
    Page,
    Parts,
    Wired,
    ok,
    read,
)
from services.gateway.http.tasks import page_of
from services.gateway.openapi.document import described
from services.gateway.people import load
from services.gateway.people.membership import MemberRole
from services.gateway.people.records import Project, ProjectMember
from services.gateway.rows import Query, TaskRow

AT_ONCE = 8
"""Results that are asked for at once for one list."""
REPOSITORY = r"^$|^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_.-]{1,100}(?![\s\S])"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Repository = Annotated[str, msgspec.Meta(pattern=REPOSITORY)]
Every = Annotated[bool, QueryParameter(description="Projects of all; for auditors.")]
Named = Annotated[str | None, QueryParameter(max_length=100, description="Only of this name.")]
Archived = Annotated[
    bool | None, QueryParameter(description="Only those that are archived, or only the others.")
]
ResultsLimit = Annotated[int, QueryParameter(ge=1, le=100, description="At most so many.")]


class NewProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project to make. Whoever makes it is its owner."""

    name: Name
    description: Text = ""
    repository: Repository = ""
    """`OWNER/NAME` on GitHub."""
    space: Repository = ""
    """`OWNER/NAME` of a Space on Hugging Face."""
    dataset: Repository = ""
    """`OWNER/NAME` of a Dataset there."""
    limits: dict[str, int] = {}
    """Quotas: `open_tasks`, and `tasks_a_day` from midnight to midnight UTC."""


class ProjectChanges(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be otherwise; what is left out stays."""

    name: Name | None = None
    description: Text | None = None
    repository: Repository | None = None
    space: Repository | None = None
    dataset: Repository | None = None
    archived: bool | None = None
    limits: dict[str, int] | None = None
    """All quotas: what is not named here has none."""


class MemberChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody may do in a project."""

    role: MemberRole
    """`viewer` sees tasks and results, `editor` submits besides, `owner` changes the project."""


class ProjectView(Project, frozen=True, kw_only=True, omit_defaults=False):
    """A project, and what is used of its quotas."""

    open_tasks: int = 0
    tasks_today: int = 0
    """Since midnight UTC."""


_MEMBERS = (ProjectMember("ann", "owner"), ProjectMember("ben", "viewer"))
EXAMPLES = (
    NewProject("shop", repository="ann/shop", limits={load.TASKS_A_DAY: 500}),
    ProjectChanges(description="All that has to do with the shop."),
    MemberChange("viewer"),
    _MEMBERS[1],
    ProjectView(
        id="0199a2b4-6c1e-7d10-8f3a-5b1c2d3e4f50",
        name="shop",
        members=_MEMBERS,
        repository="ann/shop",
        created=1.8e9,
        changed=1.8e9,
    ),
)


@get("/api/projects", opt=described(scope=scopes.TASKS_READ, errors=(403, 503)))
async def list_projects(
    parts: Wired,
    principal: Asking,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Named = None,
    archived: Archived = None,
    every: Every = False,
) -> Page[ProjectView]:
    """List the projects one is in, newest first."""
    if every and not principal.auditor:
        raise NotAllowed("role auditor", "projects of all are for the role `auditor`")
    await parts.projects.refresh()
    whose = None if every else principal.user
    page = parts.projects.page(whose, limit, cursor, name=name, archived=archived)
    return Page(True, [_view(parts, one) for one in page.projects], next_cursor=page.cursor)


@post(
    "/api/projects",
    status_code=201,
    opt=described(scope=scopes.TASKS_WRITE, body=NewProject, errors=(403, 409, 503)),
)
async def create_project(
    body: RawBody, parts: Wired, principal: Asking
) -> Response[Envelope[ProjectView]]:
    """Make a project; its owner is who asks."""
    wanted = read(body, NewProject)
    load.check_limits(wanted.limits)
    project = Project(id="", members=(), **msgspec.structs.asdict(wanted))
    made = await parts.projects.create(principal.user, project)
    _note(parts, principal, made.id, "created")
    return Response(ok(_view(parts, made), "project created"), status_code=201)


@get("/api/projects/{project:str}", opt=described(scope=scopes.TASKS_READ, errors=(403, 503)))
async def get_project(
    project: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[ProjectView]:
    """Return one project with its members."""
    await parts.projects.refresh()
    return ok(_view(parts, await parts.projects.find(project, principal, "see")))


@patch(
    "/api/projects/{project:str}",
    opt=described(scope=scopes.TASKS_WRITE, body=ProjectChanges, errors=(403, 409, 503)),
)
async def change_project(
    project: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[ProjectView]:
    """Change a project; for its owners."""
    wanted = read(body, ProjectChanges)
    fields = {k: v for k, v in msgspec.structs.asdict(wanted).items() if v is not None}
    load.check_limits(wanted.limits or {})
    changed = await parts.projects.change(
        project, principal, "manage", lambda found: msgspec.structs.replace(found, **fields)
    )
    _note(parts, principal, project, f"changed {', '.join(sorted(fields))}")
    return ok(_view(parts, changed), "changed")


@post(
    "/api/projects/{project:str}/archive",
    status_code=200,
    opt=described(scope=scopes.TASKS_WRITE, errors=(403, 409, 503)),
)
async def archive_project(
    project: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[ProjectView]:
    """Take no more tasks into it; what was done in it stays to be seen."""
    changed = await parts.projects.change(
        project, principal, "manage", lambda found: msgspec.structs.replace(found, archived=True)
    )
    _note(parts, principal, project, "archived")
    return ok(_view(parts, changed), "archived")


@get(
    "/api/projects/{project:str}/members", opt=described(scope=scopes.TASKS_READ, errors=(403, 503))
)
async def list_members(
    project: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[list[ProjectMember]]:
    """List who is in a project."""
    await parts.projects.refresh()
    return ok(list((await parts.projects.find(project, principal, "see")).members))


@put(
    "/api/projects/{project:str}/members/{user:str}",
    opt=described(scope=scopes.ADMIN, body=MemberChange, errors=(403, 409, 503)),
)
async def put_member(
    project: FromPath[str], user: FromPath[str], body: RawBody, parts: Wired, principal: Asking
) -> Envelope[ProjectView]:
    """Take somebody in, or give them another role; for owners."""
    role = read(body, MemberChange).role
    changed = await parts.projects.put_member(project, principal, check_user(user), role)
    _note(parts, principal, project, f"member {user} is {role}")
    return ok(_view(parts, changed), f"{user} is {role}")


@delete(
    "/api/projects/{project:str}/members/{user:str}",
    status_code=200,
    opt=described(scope=scopes.ADMIN, errors=(403, 409, 503)),
)
async def remove_member(
    project: FromPath[str], user: FromPath[str], parts: Wired, principal: Asking
) -> Envelope[list[ProjectMember]]:
    """Put somebody out, for owners; or leave, for everybody."""
    changed = await parts.projects.remove_member(project, principal, user)
    _note(parts, principal, project, f"member {user} removed")
    return ok(list(changed.members), f"{user} is not in it any more")


@get(
    "/api/projects/{project:str}/tasks",
    opt=described(scope=scopes.TASKS_READ, errors=(403, 409, 503)),
)
async def list_project_tasks(
    project: FromPath[str],
    parts: Wired,
    principal: Asking,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: OfStatus = None,
    type: OfType = None,
    mark: Mark = None,
) -> Page[TaskRow]:
    """List the tasks of a project, newest first, whoever sent them."""
    await parts.projects.find(project, principal, "see")
    await _told(parts, principal)
    query = Query(None, limit, 0, cursor, tuple(status or ()), type, project)
    return await page_of(parts, query, mark)


@get(
    "/api/projects/{project:str}/results",
    opt=described(scope=scopes.RESULTS_READ, errors=(403, 409, 503)),
)
async def list_project_results(
    project: FromPath[str],
    parts: Wired,
    principal: Asking,
    limit: ResultsLimit = 50,
    cursor: Cursor = None,
    mark: Mark = None,
) -> Page[Kept]:
    """List the results of a project's tasks, the newest task first.

    `limit` counts tasks that are over; of those that have no result there is nothing on a page.
    """
    await parts.projects.find(project, principal, "see")
    await _told(parts, principal)
    query = Query(None, limit, 0, cursor, project=project, over=True)
    page = await page_of(parts, query, mark)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def kept(row: TaskRow) -> Kept | None:
        request = ResultRequest(row.user, row.id, row.seq)
        try:
            async with at_once:
                return (await parts.others.ask("results", "get", request, ResultFound)).result
        except Rejected as refusal:
            if refusal.reason is Reason.NOT_FOUND:
                return None
            raise

    found = await asyncio.gather(*(kept(row) for row in page.data))
    return Page(
        True,
        [one for one in found if one is not None],
        next_cursor=page.next_cursor,
        next_mark=page.next_mark,
    )


async def _told(parts: Parts, principal: Principal) -> None:
    await parts.caught_up()
    await parts.holds_what_was_told(principal.user)


def _view(parts: Parts, project: Project) -> ProjectView:
    open_tasks, today = parts.desk.gate.used(project.id)
    return ProjectView(
        **msgspec.structs.asdict(project),
        open_tasks=open_tasks,
        tasks_today=today,
    )


def _note(parts: Parts, principal: Principal, project: str, what: str) -> None:
    parts.trail.note(
        "project.changed",
        user=principal.user,
        asked_by=principal.asked_by,
        subject=project,
        details={"what": what[:200]},
    )


ROUTES = (
    *(list_projects, create_project, get_project, change_project, archive_project),
    *(list_members, put_member, remove_member, list_project_tasks, list_project_results),
)
