"""Secrets come from files or the environment, the user's own first, and never from open files."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.account import Provider
from contracts.errors import Rejected
from contracts.host import COMMAND, Host, Stdio, StreamableHttp
from services.keys.secrets import HostSecrets, MissingSecret, Secrets


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


async def test_the_users_own_goes_before_the_shared_one(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"HF_TOKEN": " from-environment\n"})
    assert await secrets.find("HF_TOKEN", "ann") == "from-environment"
    put(tmp_path / "HF_TOKEN", "shared\n")
    assert await secrets.find("HF_TOKEN", "ann") == "shared"
    put(tmp_path / "ann" / "HF_TOKEN", "anns")
    assert await secrets.find("HF_TOKEN", "ann") == "anns"
    assert await secrets.find("HF_TOKEN", "bob") == "shared"
    assert await secrets.find("HF_TOKEN") == "shared"


async def test_a_users_host_gets_that_users_own_secret_only(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {"AWS_KEY": "the operator's", "SHARED": "from environment"})
    put(tmp_path / "SHARED", "shared")
    for name in ("AWS_KEY", "SHARED"):
        assert await secrets.find(name, "ann")
        with pytest.raises(MissingSecret, match=rf"own secret {name} is missing: .*/ann/{name}"):
            await secrets.find(name, "ann", only_own=True)
        with pytest.raises(MissingSecret, match=r"is missing$"):
            await secrets.find(name, only_own=True)
    put(tmp_path / "ann" / "SHARED", "anns")
    assert await secrets.find("SHARED", "ann", only_own=True) == "anns"
    with pytest.raises(MissingSecret):
        await secrets.find("SHARED", "bob", only_own=True)


async def test_a_replaced_secret_counts_at_once(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {})
    put(tmp_path / "KEY", "old")
    assert await secrets.find("KEY") == "old"
    put(tmp_path / "KEY", "new")
    assert await secrets.find("KEY") == "new"


async def test_a_missing_one_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(MissingSecret, match=r"KEY is missing: put it into .*/KEY"):
        await Secrets(tmp_path, {"KEY": "  "}).find("KEY")


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines", "x" * 20_000, "\x00"])
async def test_what_is_no_secret_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    put(tmp_path / "KEY", text)
    with pytest.raises(
        MissingSecret, match=r"holds no secret: expected one line of text, or a PEM$"
    ):
        await Secrets(tmp_path, {}).find("KEY")


async def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "KEY", "open", 0o644)
    with pytest.raises(MissingSecret, match="chmod 600"):
        await Secrets(tmp_path, {"KEY": "environment"}).find("KEY")


@pytest.mark.parametrize("name", ["", "../KEY", "a/b", "K.E", "1K", "K" * 65])
async def test_a_name_can_not_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(MissingSecret, match="no name of a secret"):
        await Secrets(tmp_path, {}).find(name)


async def test_a_user_can_not_lead_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        await Secrets(tmp_path, {}).find("KEY", "../other")


async def test_a_linked_account_goes_before_what_is_everybodys(tmp_path: Path) -> None:
    asked: list[tuple[str, Provider]] = []

    async def linked(user: str, provider: Provider) -> str | None:
        asked.append((user, provider))
        return f"{user}-{provider}" if user != "bob" else None

    secrets = Secrets(tmp_path, {"HF_TOKEN": "shared"}, linked)
    assert await secrets.find("HF_TOKEN", "ann") == "ann-huggingface"
    assert await secrets.find("GITHUB_TOKEN", "ann", only_own=True) == "ann-github"
    assert await secrets.find("HF_TOKEN", "bob") == "shared"
    assert await secrets.find("HF_TOKEN") == "shared"
    with pytest.raises(MissingSecret, match="metamcp link huggingface"):
        await secrets.find("HF_TOKEN", "bob", only_own=True)
    with pytest.raises(MissingSecret):
        await secrets.find("OTHER", "ann", only_own=True)
    put(tmp_path / "ann" / "HF_TOKEN", "the file's")
    assert await secrets.find("HF_TOKEN", "ann") == "the file's"
    assert asked == [
        ("ann", Provider.HUGGINGFACE),
        ("ann", Provider.GITHUB),
        ("bob", Provider.HUGGINGFACE),
    ], "an answer is believed for a while"


async def test_an_account_that_can_not_be_asked_is_no_secret(tmp_path: Path) -> None:
    async def linked(user: str, provider: Provider) -> str | None:
        raise OSError("away")

    with pytest.raises(MissingSecret, match="can't be asked: away"):
        await Secrets(tmp_path, {}, linked).find("HF_TOKEN", "ann")


WEB = StreamableHttp(
    "https://h.example/mcp?k={secret:QUERY}", {"X-Key": "{secret:HEADER}"}, bearer_from="BEARER"
)
ALL = ("QUERY", "HEADER", "BEARER")


async def test_a_host_gets_what_it_refers_to(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path, {name: f"the {name}" for name in ALL})
    put(tmp_path / "ann" / "HEADER", "anns own")
    found = await secrets.of(Host(id="h", name="h", endpoint=WEB), "ann")
    assert found == HostSecrets("the BEARER", (("QUERY", "the QUERY"), ("HEADER", "anns own")))
    host = found.put_into(Host(id="h", name="h", endpoint=WEB))
    assert host.endpoint == StreamableHttp(
        "https://h.example/mcp?k=the%20QUERY", {"X-Key": "anns own"}, bearer_from="BEARER"
    )
    assert "anns own" not in repr(found)
    assert found.hide("anns own and the BEARER") == "*** and ***"


@pytest.mark.parametrize("name", ALL)
async def test_a_users_host_refers_to_that_users_own_alone(tmp_path: Path, name: str) -> None:
    secrets = Secrets(tmp_path, {one: "of the environment" for one in ALL})
    for one in ALL:
        put(tmp_path / one, "of the operator")
        put(tmp_path / "bob" / one, "bobs")
        if one != name:
            put(tmp_path / "ann" / one, "anns")
    host = Host(id="ann/h", name="h", endpoint=WEB, source=COMMAND, owner="ann")
    with pytest.raises(MissingSecret) as missing:
        await secrets.of(host, "ann")
    assert missing.value.name == name
    with pytest.raises(MissingSecret):
        await secrets.of(host, None)


async def test_a_secret_of_several_lines_is_for_programs_alone(tmp_path: Path) -> None:
    key = "-----BEGIN " + "PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"
    put(tmp_path / "KEY", key + "\n")
    secrets = Secrets(tmp_path, {})
    program = Host(id="h", name="h", endpoint=Stdio("x", env={"K": "{secret:KEY}"}))
    assert (await secrets.of(program, None)).values == (("KEY", key),)
    for endpoint in (
        StreamableHttp("https://h.example", {"X-K": "{secret:KEY}"}),
        StreamableHttp("https://h.example", bearer_from="KEY"),
    ):
        with pytest.raises(MissingSecret, match="one line"):
            await secrets.of(Host(id="h", name="h", endpoint=endpoint), None)
