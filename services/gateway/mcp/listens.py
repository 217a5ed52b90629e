"""Tasks on streams of `subscriptions/listen`: whoever names some is told when their status changes
(`notifications/tasks`, of the extension)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from mcp import MCPError
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INVALID_PARAMS, Notification, SubscriptionsAcknowledgedNotification
from mcp_types import SubscriptionsListenRequestParams as ListenParams

from contracts import scopes, wire
from contracts.errors import Rejected
from services.gateway.errors import AWAY
from services.gateway.http.parts import Parts
from services.gateway.mcp.context import Context, principal
from services.gateway.mcp.news import seq_of
from services.gateway.mcp.seen import check_seen
from services.gateway.mcp.tasks import TASKS
from services.gateway.stream.subscription import Subscription
from services.log.port import LogUnavailable
from services.process import telemetry
from services.store.blobs import StoreError

MOST_TASKS = 50
"""Tasks that one stream is about; it says which."""
CHANGES = ("task.asked", "task.answered", "job.failed", "job.done")
"""Facts that change what `tasks/get` calls a task's status."""

log = telemetry.get_logger()

Detail = Callable[[Context, str], Awaitable[dict[str, Any]]]
"""What `tasks/get` answers about a task."""


class TaskNotification(Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """A task's status has changed."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class _Followed:
    """One of the tasks, as a reader of the feed."""

    def __init__(self, task: str, changed: _Changes) -> None:
        self._task = task
        self._changed = changed

    def offer(self, frame: bytes) -> None:
        self._changed.add(self._task, seq_of(frame))

    def offer_if_idle(self, frame: bytes) -> None:
        """Progress is not asked for."""


class TaskListens:
    """Tells streams of their tasks. One per gateway."""

    def __init__(self, parts: Parts, detail: Detail) -> None:
        self._parts = parts
        self._detail = detail

    @contextlib.asynccontextmanager
    async def told(self, ctx: Context, params: ListenParams) -> AsyncIterator[Context]:
        """While the stream is there, tell it of the tasks that it names; the stream's context.

        Raises MCPError.
        """
        named = _named(params)
        if not named:
            yield ctx
            return
        require_client_extension(ctx, TASKS)
        changed = _Changes()
        with self._following(principal(ctx).user, named, changed):
            try:
                tasks = [task for task in named if await self._seen(ctx, task)]
            except LogUnavailable as error:
                raise MCPError(-32000, f"{AWAY}: listen again") from error
            session = _Acknowledging(ctx.session, tasks)
            telling = asyncio.create_task(self._tell(ctx, session.acknowledged, changed, tasks))
            try:
                yield replace(ctx, session=session)  # type: ignore[arg-type]  # it stands for one
            finally:
                telling.cancel()

    @contextlib.contextmanager
    def _following(self, user: str, tasks: list[str], changed: _Changes) -> Iterator[None]:
        feed, following = self._parts.feed, list[Subscription]()
        for task in tasks:
            asked = wire.Subscribe(0, "mcp", "task", task, CHANGES)
            following.append(Subscription(_Followed(task, changed), asked, user))
            feed.attach(following[-1])
        try:
            yield
        finally:
            for one in following:
                feed.detach(one)

    async def _seen(self, ctx: Context, task: str) -> bool:
        """Whether the task is there for this token, and its result as well."""
        who = principal(ctx)
        view = await self._parts.desk.view(who.user, task)
        try:
            check_seen(who, view, scopes.TASKS_READ)
            check_seen(who, view, scopes.RESULTS_READ)
        except Rejected:
            return False
        return view is not None

    async def _tell(
        self, ctx: Context, acknowledged: asyncio.Event, changed: _Changes, tasks: list[str]
    ) -> None:
        said: dict[str, tuple[Any, ...]] = {}
        await acknowledged.wait()
        # What has changed before the stream began is not missed.
        for task in tasks:
            changed.add(task, 0)
        try:
            while True:
                task, seq = await changed.next()
                self._parts.desk.remember(principal(ctx).user, seq)
                if task in tasks:
                    await self._tell_of(ctx, task, said)
        except Exception:
            log.exception("mcp_tasks_not_told")

    async def _tell_of(self, ctx: Context, task: str, said: dict[str, tuple[Any, ...]]) -> None:
        try:
            found = await self._detail(ctx, task)
        except (MCPError, Rejected, LogUnavailable, StoreError) as error:
            log.info("mcp_task_not_told", task=task, error=str(error))
            return
        status = (found["status"], *found.get("inputRequests", ()))
        if said.get(task) != status:
            said[task] = status
            meta = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
            told = TaskNotification(params=found | {"_meta": meta})
            await ctx.session.send_notification(told, ctx.request_id)  # type: ignore[arg-type]


class _Changes:
    """Tasks with news, each once however much has happened."""

    def __init__(self) -> None:
        self._some = asyncio.Event()
        self._tasks: dict[str, int] = {}

    def add(self, task: str, seq: int) -> None:
        self._tasks[task] = max(seq, self._tasks.get(task, 0))
        self._some.set()

    async def next(self) -> tuple[str, int]:
        """A task, and how far the log has to be read for its news."""
        await self._some.wait()
        task = next(iter(self._tasks))
        seq = self._tasks.pop(task)
        if not self._tasks:
            self._some.clear()
        return task, seq


class _Acknowledging:
    """The stream's session, whose acknowledgement names the tasks as well."""

    def __init__(self, session: Any, tasks: list[str]) -> None:
        self._session = session
        self._tasks = tasks
        self.acknowledged = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def send_notification(self, notification: Any, related_request_id: Any = None) -> None:
        if isinstance(notification, SubscriptionsAcknowledgedNotification):
            honoured = notification.params.notifications.model_copy(update={"taskIds": self._tasks})
            params = notification.params.model_copy(update={"notifications": honoured})
            notification = notification.model_copy(update={"params": params})
        await self._session.send_notification(notification, related_request_id)
        self.acknowledged.set()


def _named(params: ListenParams) -> list[str]:
    """The tasks that a stream is asked for. Raises MCPError."""
    extra: Mapping[str, Any] = params.notifications.model_extra or {}
    named = extra.get("taskIds")
    if named is None:
        return []
    if not isinstance(named, list) or not all(isinstance(task, str) for task in named):
        raise MCPError(INVALID_PARAMS, "taskIds: expected a list of texts")
    return list(dict.fromkeys(named))[:MOST_TASKS]
