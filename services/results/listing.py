"""The original specification's list of tasks: as the user's own Dataset has them."""

from __future__ import annotations

import msgspec

from contracts.account import Provider
from contracts.errors import Reason, Rejected
from contracts.ids import check_user
from contracts.result import DatasetTask, DatasetTasks, DatasetTasksRequest
from services.huggingface.datasets import Datasets
from services.huggingface.hub import HubDenied, HubError, HubMissing
from services.keys.accounts import Accounts
from services.keys.vault import VaultError
from services.process import telemetry
from services.results import domain
from services.results.settings import Settings
from services.store.blobs import StoreError

FOLDER = "tasks"
MOST = 10_000
"""Tasks of a Dataset that are looked through."""
MOST_BYTES = 1024 * 1024
"""Of one task's description; a bigger one is not ours."""

log = telemetry.get_logger()


class Listing:
    """Answers `cmd.results.tasks`."""

    def __init__(self, datasets: Datasets, accounts: Accounts, settings: Settings) -> None:
        self._datasets = datasets
        self._accounts = accounts
        self._name = settings.dataset

    async def tasks(self, payload: bytes) -> bytes:
        """Return some of the tasks, those with the greatest ids first: the newest, if ids are ours.

        Raises Rejected.
        """
        request = domain.decoded(payload, DatasetTasksRequest)
        user = check_user(request.user)
        try:
            opened = await self._accounts.open(user, Provider.HUGGINGFACE)
        except (StoreError, VaultError) as error:
            log.warning("account_not_read", user=user, error=str(error))
            raise Rejected(Reason.UNAVAILABLE, "the account can't be asked now") from None
        if opened is None:
            text = "no Hugging Face account is linked: `metamcp link huggingface`"
            raise Rejected(Reason.NOT_FOUND, text)
        account, token = opened
        repo = f"{account.name}/{self._name}"
        try:
            found = await self._read(token, repo, request)
        except HubMissing:
            found = ()
        except HubDenied as error:
            raise Rejected(Reason.FORBIDDEN, str(error)) from None
        except HubError as error:
            raise Rejected(Reason.UNAVAILABLE, str(error)) from None
        return msgspec.json.encode(DatasetTasks(repo, found))

    async def _read(
        self, token: str, repo: str, request: DatasetTasksRequest
    ) -> tuple[DatasetTask, ...]:
        head = await self._datasets.head(token, repo)
        entries = await self._datasets.list(token, repo, FOLDER, head, limit=MOST)
        names = sorted((e.path for e in entries if e.size <= MOST_BYTES), reverse=True)
        found: list[DatasetTask] = []
        skipped = 0
        for path in names:
            if len(found) == request.limit:
                break
            if request.status is None and skipped < request.offset:
                skipped += 1
                continue
            task = await self._one(token, repo, path, head)
            if task is None or request.status not in (None, task.status):
                continue
            if request.status is not None and skipped < request.offset:
                skipped += 1
                continue
            found.append(task)
        return tuple(found)

    async def _one(self, token: str, repo: str, path: str, head: str) -> DatasetTask | None:
        """One description; None for a file that somebody else has put there."""
        file = await self._datasets.download(token, repo, path, head)
        try:
            return msgspec.json.decode(file.read_bytes(), type=DatasetTask)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
