"""Settings of sign-in: what is taken, what is refused before anything starts, what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.gateway.people.providers.build import own_address, providers_of
from services.gateway.people.providers.settings import OidcProvider
from services.gateway.settings import Settings
from services.process.files import write_private
from services.process.run import Fatal
from services.process.settings import SettingsError, load

KNOWN = ("common", "gateway")
TABLE = """
[gateway]
admit_new_people = "domains"
admit_domains = ["example.com"]

[[gateway.oidc_providers]]
name = "company"
issuer = "https://id.example.com/realms/main"
client_id = "metamcp"
client_secret_file = "secret"
scopes = ["openid", "email"]
"""
JSON = '[{"name": "company", "issuer": "https://id.example.com", "client_id": "x"}]'


def loaded(folder: Path, text: str = "", **environ: str) -> Settings:
    (folder / "metamcp.toml").write_text(text)
    return load(Settings, "gateway", environ, cwd=folder, known=KNOWN)


def test_providers_stand_in_the_file_as_tables(tmp_path: Path) -> None:
    found = loaded(tmp_path, TABLE)
    assert found.oidc_providers == (
        OidcProvider(
            name="company",
            issuer="https://id.example.com/realms/main",
            client_id="metamcp",
            client_secret_file=Path("secret"),
            scopes=("openid", "email"),
        ),
    )


def test_providers_stand_in_the_environment_as_json(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, METAMCP_GATEWAY_OIDC_PROVIDERS=JSON).oidc_providers
    assert (found.name, found.scopes) == ("company", ("openid", "profile", "email"))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "company"', 'name = "github"', "the name 'github' of a provider"),
        ('name = "company"', 'name = "password"', "the name 'password' of a provider"),
        ('name = "company"', 'name = "../x"', "the name '../x' of a provider"),
        ("https://id.example.com", "http://id.example.com", "expected https://"),
        ("https://id.example.com", "https://a:b@id.example.com", "expected a plain https://"),
        ("/realms/main", "/?x=1", "expected a plain https://"),
        ('"openid", ', "", "`openid` is missing"),
        ('client_id = "metamcp"', 'client_id = ""', "client_id of company is empty"),
        ('client_id = "metamcp"', "", "client_id"),
        ('client_id = "metamcp"', 'client_secret = "x"', "unknown field"),
        ("admit_domains", "admit_organizations", "is no|expected"),
        ('["example.com"]', "[]", "admit_new_people is domains, but admit_domains is empty"),
    ],
)
def test_what_can_not_work_stops_the_start(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        loaded(tmp_path, TABLE.replace(old, new))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"github_web_url": "http://github.example"}, "github_web_url: expected https://"),
        ({"hf_url": "ftp://x"}, "hf_url: expected https://"),
        ({"hf_client_secret": "a", "hf_client_secret_file": Path("b")}, "set one of them"),
        ({"admit_new_people": "organizations"}, "admit_organizations is empty"),
    ],
)
def test_a_pair_that_does_not_fit(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**given)


def test_two_providers_of_one_name() -> None:
    one = OidcProvider(name="a", issuer="https://a.example", client_id="x")
    with pytest.raises(ValueError, match="'a' is there twice"):
        Settings(oidc_providers=(one, one))


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    found = loaded(tmp_path, METAMCP_GATEWAY_GITHUB_CLIENT_SECRET="very-secret")
    assert found.github_client_secret == "very-secret"
    assert "very-secret" not in repr(found)
    assert "very-secret" not in str(found)


def test_a_secret_in_a_file_is_read_where_it_is_private(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    settings = Settings(github_client_id="x", github_client_secret_file=path)
    with pytest.raises(Fatal, match="can't be read"):
        providers_of(settings)
    write_private(path, b"  very-secret\n")
    assert list(providers_of(settings)) == ["github"]
    path.chmod(0o644)
    with pytest.raises(Fatal, match="can be read by others"):
        providers_of(settings)
    path.unlink()
    write_private(path, b"two\nlines")
    with pytest.raises(Fatal, match="holds no client secret"):
        providers_of(settings)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"public_url": "https://tasks.example.com/"}, "https://tasks.example.com"),
        ({}, "http://127.0.0.1:8080"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"port": 0}, ""),
        ({"host": "0.0.0.0"}, ""),
    ],
)
def test_our_own_address(given: dict[str, Any], address: str) -> None:
    assert own_address(Settings(**given)) == address
