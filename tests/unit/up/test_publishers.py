"""Who publishes: the list and the credentials, broken off anywhere, and what is refused."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.publisher import LIST_FILE, Publisher
from services.process import files
from services.up import nats_config, publishers
from services.up.children import Following, Server
from services.up.nats_config import ServerPlan
from services.up.nats_server import Embedded, EmbeddedError
from services.up.publishers import NoPublisher, PublishersBusy, PublishersUnreadable, PublisherTaken
from tests.support.nats import NatsServer

add, rotate, remove = publishers.add, publishers.rotate, publishers.remove


def names(data: Path) -> list[tuple[str, str]]:
    return [(one.name, one.user) for one in publishers.read(data)]


def test_the_default_stays_until_it_is_removed(tmp_path: Path) -> None:
    assert names(tmp_path) == [("publisher", "publisher")]
    add(tmp_path, "crm", "acme")
    add(tmp_path, "shop", "acme")
    assert names(tmp_path) == [("publisher", "publisher"), ("crm", "acme"), ("shop", "acme")]
    remove(tmp_path, "publisher")
    assert names(tmp_path) == [("crm", "acme"), ("shop", "acme")]
    for name in ("crm", "shop"):
        remove(tmp_path, name)
    assert names(tmp_path) == []


def test_credentials_are_the_owners_alone_and_never_in_the_list(tmp_path: Path) -> None:
    login = add(tmp_path, "crm", "acme")
    path = publishers.credentials_file(tmp_path, "crm")
    for file in (path, tmp_path / LIST_FILE):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert publishers.read_credentials_of(tmp_path, "crm") == login
    assert login.password not in (tmp_path / LIST_FILE).read_text()


def test_the_same_again_changes_nothing_and_another_user_is_refused(tmp_path: Path) -> None:
    first = add(tmp_path, "crm", "Acme")
    listed = publishers.read(tmp_path)
    assert add(tmp_path, "crm", "Acme") == first
    assert publishers.read(tmp_path) == listed
    with pytest.raises(PublisherTaken, match="crm publishes as Acme: remove it first"):
        add(tmp_path, "crm", "other")


def test_a_rotated_password_is_another_one_and_the_list_tells_of_it(tmp_path: Path) -> None:
    first, listed = add(tmp_path, "crm", "acme"), publishers.read(tmp_path)
    assert rotate(tmp_path, "crm").password != first.password
    assert publishers.read(tmp_path) != listed
    assert names(tmp_path) == [("publisher", "publisher"), ("crm", "acme")]


@pytest.mark.parametrize("name", [*nats_config.ROLES, nats_config.SYSTEM])
def test_a_roles_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PublisherTaken, match=f"'{name}' is taken"):
        add(tmp_path, name, "acme")
    for change in (rotate, remove):
        publishers.new_credentials(tmp_path, name)
        with pytest.raises(NoPublisher):
            change(tmp_path, name)
    assert names(tmp_path) == [("publisher", "publisher")]


@pytest.mark.parametrize("name", ["-", "a.b", "", "a b", "../token", "*", "x" * 65])
def test_what_is_no_token_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Rejected, match="publisher"):
        add(tmp_path, name, "acme")
    with pytest.raises(Rejected, match="user"):
        add(tmp_path, "crm", name)
    for change in (rotate, remove, publishers.forget):
        with pytest.raises(Rejected, match="publisher"):
            change(tmp_path, name)
    assert names(tmp_path) == [("publisher", "publisher")]


def test_who_is_not_there_is_neither_rotated_nor_removed(tmp_path: Path) -> None:
    for change in (rotate, remove):
        with pytest.raises(NoPublisher, match="there is no publisher crm"):
            change(tmp_path, "crm")


def test_there_is_an_end_of_publishers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishers, "MOST", 2)
    add(tmp_path, "crm", "acme")
    with pytest.raises(PublisherTaken, match="2 publishers already"):
        add(tmp_path, "shop", "acme")


class Died(Exception):
    """The command was killed here."""


@pytest.mark.parametrize("steps", range(3))
@pytest.mark.parametrize("change", [add, rotate])
def test_what_was_broken_off_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., object], steps: int
) -> None:
    old = add(tmp_path, "crm", "acme")
    if change is add:
        remove(tmp_path, "crm")  # And killed before the file was taken away.
    arguments = (tmp_path, "crm", "acme") if change is add else (tmp_path, "crm")
    write, left = files.write_private, steps

    def dying(path: Path, data: bytes) -> None:
        nonlocal left
        if not left:
            raise Died
        left -= 1
        write(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_private", dying)
        try:
            change(*arguments)
            died = False
        except Died:
            died = True
    assert died == (steps < 2)
    publishers.read(tmp_path)
    change(*arguments)
    assert ("crm", "acme") in names(tmp_path)
    now = publishers.read_credentials_of(tmp_path, "crm")
    assert now is not None
    assert now.password != old.password, "an old password never comes back"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"x":1}',
        '[{"name":"a"}]',
        '[{"name":"gateway","user":"a"}]',
        '[{"name":"a.b","user":"a"}]',
        '[{"name":"a","user":"a"},{"name":"a","user":"b"}]',
        '[{"name":"a","user":"a","x":1}]',
    ],
)
def test_a_list_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / LIST_FILE).write_text(text)
    with pytest.raises(PublishersUnreadable, match=r"publishers\.json can't be read: "):
        publishers.read(tmp_path)


def test_two_commands_do_not_change_it_at_once(tmp_path: Path) -> None:
    with (
        publishers.changing(tmp_path),
        pytest.raises(PublishersBusy),
        publishers.changing(tmp_path),
    ):
        pass
    with publishers.changing(tmp_path):
        pass


TOKENS = st.text("abcXYZ09_", min_size=1, max_size=8)
LISTS = st.dictionaries(TOKENS, TOKENS, max_size=6)


@given(LISTS)
def test_each_subject_is_exported_once_and_to_its_own_alone(listed: dict[str, str]) -> None:
    every = tuple(Publisher(name, user) for name, user in listed.items())
    plan = ServerPlan(
        port=1, store_dir=Path(), credentials={}, publishers=every, passwords_from_env=True
    )
    lines = nats_config.accounts(plan).splitlines()
    exported = [line.split("accounts:")[0] for line in lines if "accounts: [" in line]
    assert len(exported) == len(set(exported))
    for name, user in listed.items():
        subject = f'"intake.{user}.created.{name}"'
        whole = [line for line in lines if subject in line and "accounts:" in line]
        assert len(whole) == 1
        assert f'accounts: ["PUBLISHER-{name}"]' in whole[0]


async def answer(message: Any) -> None:
    await message.respond(message.subject.encode())


async def served(data: Path) -> None:
    async with asyncio.timeout(30):
        while publishers.served(data) != publishers.read(data):
            await asyncio.to_thread(os.sched_yield)


async def test_a_running_server_follows_the_list_and_outlives_a_bad_one(tmp_path: Path) -> None:
    async with NatsServer(tmp_path / "data") as server, server.connected("gateway") as gateway:
        await gateway.subscribe("submit.*.*", answer)
        following = asyncio.create_task(Following(Server(server.embedded)).run())
        try:
            (server.data / LIST_FILE).write_text("{")
            async with server.connected("publisher") as theirs:
                assert await theirs.request("metamcp.tasks.submit")
                (server.data / LIST_FILE).unlink()
                login = add(server.data, "crm", "acme")
                await served(server.data)
                async with server.connected("crm") as crm:
                    assert await crm.request("metamcp.tasks.submit") == b"submit.acme.crm"
                    assert await theirs.request("metamcp.tasks.submit")
            assert not following.done()
            # What nobody could take over while the server was down is taken over at its start.
            await server.kill()
            rotated = rotate(server.data, "crm")
            await server.embedded.start()
            assert publishers.served(server.data) == publishers.read(server.data)
            async with server.connected("crm"):
                assert server.embedded.credentials("crm") == rotated != login
        finally:
            following.cancel()
            await asyncio.wait((following,))


async def test_a_server_that_is_away_is_told_nothing(tmp_path: Path) -> None:
    server = Embedded(tmp_path)
    add(tmp_path, "crm", "acme")
    assert server.follow_publishers() is None
    async with server:
        assert server.follow_publishers() is None, "it started with it"
        rotate(tmp_path, "crm")
        assert server.follow_publishers() == publishers.read(tmp_path)


async def test_a_list_that_is_none_keeps_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / LIST_FILE).write_text("{")
    with pytest.raises(EmbeddedError, match=r"publishers\.json can't be read: .* Mend it"):
        await Embedded(tmp_path).start()
