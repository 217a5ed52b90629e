"""Profiles of manifests: they stand for what is kept under their names, and are changed there."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import Reason
from services.bus.bus import Bus
from services.gateway.people import profile_files
from services.gateway.people.profiles import EVERYBODY, Profile
from services.process.run import Fatal
from services.registry.manifests import manifest
from services.registry.manifests.manifest import Places
from tests.unit.gateway.world import World, world

FILE = """
[profiles.review]
description = "To review code"
hosts = ["git", "files"]
without = { "*" = ["*delete*"] }
approve = ["destructive"]
tools = "search"
changes = [{ host = "git", tool = "git_log", name = "history" }]

[profiles.own]
user = "alice"
hosts = ["git"]

[profiles.ours]
project = "p1"
"""


def written(folder: Path, text: str = FILE, name: str = "m.toml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_file_says_all_that_a_profile_has(tmp_path: Path) -> None:
    review, own, ours = profile_files.load([written(tmp_path)])
    assert (review.name, review.by, review.tools) == ("review", "manifest", "search")
    assert review.without == {"*": ("*delete*",)}
    assert review.approve == ("destructive",)
    assert review.changes[0].name == "history"
    assert (own.user, ours.project) == ("alice", "p1")


def test_the_registry_leaves_profiles_alone(tmp_path: Path) -> None:
    assert manifest.load([written(tmp_path)], Places(tmp_path), builtins=False) == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("profiles = 1", "profiles: expected a table"),
        ("[profiles.x]\nhost = []", "profiles.x: Object contains unknown field `host`"),
        ("[profiles.'a b']", "profiles.a b: "),
        ("[profiles.x]\ntools = 'some'", "profiles.x: Invalid enum value"),
        ("[profiles.x]\nuser = 'a b'", "`user` is the name of a user"),
        ("[profiles.x]\nuser = 'a'\nproject = 'p'", "no `project` beside it"),
        ("[profiles.x]\nchanges = [{host='h', tool='t', name='get_task'}]", "is taken"),
        ("[profiles", "it can't be read"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Fatal) as error:
        profile_files.load([path])
    assert error.value.message.startswith(f"{path}: ")
    assert why in error.value.message


def test_two_files_have_no_profile_of_one_name(tmp_path: Path) -> None:
    first, second = written(tmp_path), written(tmp_path, "[profiles.review]", "n.toml")
    with pytest.raises(Fatal, match=r"n.toml: profiles.review: it stands in .*m.toml too"):
        profile_files.load([first, second])


async def test_it_is_for_everybody_and_changed_in_its_file_alone(tmp_path: Path, bus: Bus) -> None:
    async with world(tmp_path, bus) as one:
        profiles = one.site.parts.profiles
        await profiles.put(Profile(name="review", hosts=("kept",)))
        await profiles.put(Profile(name="other", hosts=("kept",)))
        profiles.write_down(profile_files.load([written(tmp_path)]))
        assert profiles.named("bob", "review").hosts == ("git", "files")
        assert [found.name for found in profiles.of("bob")] == ["other", "review"]
        assert [found.name for found in profiles.of("alice")] == ["own", "other", "review"]
        await refused(one, "PUT")
        await refused(one, "DELETE")
        held = profiles.at(EVERYBODY, "review")
        assert held is not None
        assert held.value.hosts == ("git", "files")


async def refused(one: World, method: str) -> None:
    async with one.http("admin-token") as http:
        path, query = "/api/profiles/review", {"everybody": "true"}
        answer = await http.request(method, path, params=query, json={})
    assert answer.status_code == 409
    assert answer.json()["error"]["reason"] == Reason.CONFLICT
    assert "stands in a manifest" in answer.json()["error"]["message"]
