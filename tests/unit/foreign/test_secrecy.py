"""Wherever a secret stands in a file, it stands nowhere in what is registered."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.foreign import servers
from services.foreign.servers import Import
from services.foreign.variables import Surroundings
from services.keys import spotting
from services.registry.manifests import checks, entries

H = "HIDEME"
ODD = "q7Xw9Zt2Lm4Kp8Rv1Ns6"
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
WEB = "https://m.example.com/mcp"
PEM = "-----BEGIN " + "PRIVATE KEY-----\nHIDEME\n-----END PRIVATE KEY-----"


def read(**found: Any) -> Import:
    def around(_: object) -> Surroundings:
        return Surroundings(Path("/f"), Path("/srv/me"), None, {}, {})

    return servers.imported({"mcpServers": found}, around, {}, {})


def endpoint(server: dict[str, Any]) -> dict[str, Any]:
    (one,) = read(one=server).servers
    assert one.problem == ""
    found: dict[str, Any] = one.entry["endpoint"]
    return found


ARGUMENTS: list[list[str]] = [
    ["--token", H],
    ["-token", H],
    ["--API-KEY=" + H],
    ["--apiToken", H],
    ["--token:" + H],
    ["/token:" + H],
    ["--pat", H],
    ["--key", H],
    ["--auth", H],
    ["--bearer", H],
    ["--credentials", H],
    ["--client-secret", H],
    ["--secret-key", "/" + H],
    ["--private-key", PEM],
    ["--password", H, "--again", H],
    ["-k", H],
    ["-p", H],
    ["-u", "root", "-p" + H],
    ["-u", "me:" + H],
    ["--user=me:" + H],
    ["--basic-auth", "me:" + H],
    ["--auth-header", H],
    ["--header", "X-Foo:" + H],
    ["--header=X-Foo: " + H],
    ["-H", "X-Foo: " + H],
    ["--header", "Cookie: session=" + H],
    ["--headers", json.dumps({"X-Foo": H})],
    ["--config", json.dumps({"secretThing": H})],
    ["--data", '{"password": "HIDEME"}'],
    ["--set", "db.password=" + H],
    ["-e", "A_TOKEN=" + H],
    ["A_KEY=" + H, "node", "x"],
    ["-c", f"FOO_TOKEN={H} node x"],
    ["Authorization: Bearer " + H],
    ["Bearer " + H],
    ["postgresql://app:HIDEME@db.example.com:5432/app"],
    ["--url", f"redis://:{H}@h:6379"],
    ["mongodb+srv://u:HIDEME@c.example/x"],
    ["jdbc:mysql://db/x?user=a&password=" + H],
    ["Server=db;User Id=sa;Password=HIDEME;"],
    ["host=db password=HIDEME dbname=x"],
    ["user:HIDEME@tcp(db:3306)/x"],
    [f"https://{H}@github.com/o/r"],
    [f"https://m.example.com/s/{ODD}/mcp"],
    ["mcp-remote", f"https://m.example.com/api/{UUID}/mcp"],
    [ODD],
]
VARIABLES: dict[str, str] = {
    **dict.fromkeys(("AUTH_HEADER", "X_PAT", "X_KEY", "KEY", "DB_PASS", "PGPASSWORD"), H),
    **dict.fromkeys(("MYSQL_PWD", "SESSION_COOKIE", "MY_CREDS", "SIGNING_SECRET", "JWT"), H),
    **dict.fromkeys(("APP_PASSPHRASE", "REFRESH_TOKEN", "APIKEY", "TWILIO_AUTH"), H),
    "BEARER": "Bearer " + H,
    "OPENAPI_MCP_HEADERS": json.dumps({"Authorization": "Bearer " + H, "Notion-Version": "1"}),
    "HEADERS": "X-Api-Key: " + H,
    "DATABASE_URL": f"postgres://u:{H}@db/d",
    "DSN": f"https://{H}@o1.ingest.example.com/2",
    "SLACK_WEBHOOK_URL": "https://hooks.example.com/" + H,
    "HOOK": "https://hooks.example.com/services/T0/B0/" + ODD,
    "CONNECTION": f"AccountName=a;AccountKey={H}==;EndpointSuffix=x",
    "CONFIG": json.dumps({"clusters": [{"password": H}]}),
    "PEM": PEM,
    "FOO": ODD,
}
WEBS: list[dict[str, Any]] = [
    *({"url": f"{WEB}?{name}={H}"} for name in ("api_key", "key", "token", "exaApiKey", "code")),
    *({"url": f"{WEB}?{name}={H}&x=1"} for name in ("sig", "auth", "access-token", "profile")),
    {"url": f"{WEB}?{H}"},
    {"url": f"{WEB}#token={H}"},
    {"url": f"{WEB}/token/{H}"},
    {"url": f"https://me:{H}@m.example.com/mcp"},
    {"url": f"https://{H}@m.example.com/mcp"},
    {"url": f"https://m.example.com/s/{ODD}/mcp"},
    {"url": f"https://m.example.com/s/{UUID}/mcp"},
    *(
        {"url": WEB, "headers": {name: H}}
        for name in ("Authorization", "x-api-key", "PRIVATE-TOKEN", "X-Foo", "token", "X-Auth")
    ),
    *(
        {"url": WEB, "headers": {"Authorization": f"{scheme} {H}"}}
        for scheme in ("Bearer", "bearer ", "Basic", "token", "ApiKey", "Token token=", "Digest x=")
    ),
    {"url": WEB, "headers": ["X-Api-Key: " + H]},
    {"url": WEB, "requestInit": {"headers": {"X-K": H}}},
    {"url": WEB, "requestOptions": {"headers": {"X-K": H}}},
    {"type": "url", "url": WEB, "authorization_token": H},
    {"url": WEB, "auth": {"type": "bearer", "token": H}},
]
SECRETIVE: list[dict[str, Any]] = [
    *({"command": "x", "args": args} for args in ARGUMENTS),
    *({"command": "x", "env": {name: value}} for name, value in VARIABLES.items()),
    {"command": "x", "env": ["A_TOKEN=" + H]},
    {"command": f"x -y --token {H}"},
    {"command": ["x", "--token", H]},
    {"command": f"A_TOKEN={H} x"},
    *(
        {"command": "docker", "args": ["run", *flag, "img"]}
        for flag in (["-e", "A_TOKEN=" + H], ["--env=A_TOKEN=" + H], ["-eA_TOKEN=" + H])
    ),
    *WEBS,
]


@pytest.mark.parametrize("server", SECRETIVE, ids=json.dumps)
def test_no_secret_is_left(server: dict[str, Any]) -> None:
    found = read(one=server)
    entry = json.dumps(msgspec.to_builtins(found.servers[0]))
    assert not [hidden for hidden in (H, ODD, UUID) if hidden in entry]
    assert "HIDEME" not in repr(found)
    host = entries.entry_of(found.servers[0].entry)
    checks.check(host)
    assert spotting.spotted(host.endpoint) == []
    if "auth" not in server and "#" not in server.get("url", ""):
        assert any(hidden in "".join(found.values.values()) for hidden in (H, ODD, UUID, *MIXED))


MIXED = [base64.b64encode(login).decode() for login in (b"me:HIDEME", b"HIDEME:")]

PLAIN: list[dict[str, Any]] = [
    {"command": "npx", "args": ["-y", "@example/server-files@2025.3.28", "/srv/me/work"]},
    {
        "command": "uvx",
        "args": ["--from", "git+https://github.com/a/b@0123456789abcdef0123456789abcdef01234567"],
    },
    {
        "command": "docker",
        "args": ["run", "-i", "-p", "8080:8080", "-v", "/srv/a:/data", f"a/b@sha256:{'0a1' * 21}0"],
    },
    {
        "command": "x",
        "args": ["--max-tokens", "4096", "--model", "some-3-5-model-20241022", "--tokenizer", "cl"],
    },
    {"command": "x", "args": ["--key-file", "/etc/k.pem", "--port", "8080", "-p", "3000"]},
    {"command": "npx", "args": ["mcp-remote", WEB, "--transport", "http-only"]},
    {
        "command": "x",
        "env": {
            "LOG_LEVEL": "debug",
            "PORT": "8080",
            "API_URL": "https://api.example.com/v1",
            "MAX_TOKENS": "100",
            "TOKEN_LIMIT": "1000",
            "NODE_OPTIONS": "--max-old-space-size=4096",
            "GOOGLE_APPLICATION_CREDENTIALS": "/srv/me/key.json",
            "PRIVATE": "true",
            "CLIENT_ID": UUID,
        },
    },
    {
        "url": f"{WEB}?tools=search,fetch&project=my-project&readonly=true",
        "headers": {"X-MCP-Toolsets": "repos,issues", "X-Readonly": "true", "User-Agent": "a/1"},
    },
]


@pytest.mark.parametrize("server", PLAIN, ids=json.dumps)
def test_what_is_no_secret_stays(server: dict[str, Any]) -> None:
    found = endpoint(server)
    kept = {name: found[name] for name in ("args", "env", "url", "headers") if name in found}
    assert kept == {name: value for name, value in server.items() if name != "command"}


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        (
            {"url": WEB, "headers": {"Authorization": "Basic x1y2z3"}},
            {"headers": {"Authorization": "Basic {secret:ONE_AUTHORIZATION}"}},
        ),
        (
            {"url": WEB, "headers": {"Authorization": "Bearer x1y2z3", "x-api-key": "abc"}},
            {
                "bearer_from": "ONE_AUTHORIZATION",
                "headers": {"x-api-key": "{secret:ONE_X_API_KEY}"},
            },
        ),
        (
            {"url": f"{WEB}?apiKey=a%2Bb&tools=x"},
            {"url": f"{WEB}?apiKey={{secret:ONE_APIKEY}}&tools=x"},
        ),
        (
            {"url": "https://me:pw@m.example.com/mcp"},
            {"url": WEB, "headers": {"Authorization": "Basic {secret:ONE_LOGIN}"}},
        ),
        ({"command": "x", "args": ["--token=abc"]}, {"args": ["--token={secret:ONE_TOKEN}"]}),
    ],
)
def test_a_secret_goes_where_it_went(server: dict[str, Any], expected: dict[str, Any]) -> None:
    found = endpoint(server)
    assert found == found | expected


def test_values_are_kept_as_they_were_meant() -> None:
    found = read(one={"url": f"{WEB}?apiKey=a%2Bb"}, two={"url": "https://m%40e:p@m.example.com"})
    assert found.values == {
        "ONE_APIKEY": "a+b",
        "TWO_LOGIN": base64.b64encode(b"m@e:p").decode(),
    }


def test_a_cookie_is_hidden_though_no_host_may_have_one() -> None:
    found = endpoint({"url": WEB, "headers": {"Cookie": "a=" + H}})
    assert found["headers"] == {"Cookie": "{secret:ONE_COOKIE}"}


def test_the_names_of_linked_accounts_are_nobodys() -> None:
    """A user's own account would go before the value of the file."""
    found = read(github={"command": "x", "env": {"GITHUB_TOKEN": "hunter2"}})
    assert list(found.values) == ["GITHUB_GITHUB_TOKEN"]


def test_two_values_have_two_names() -> None:
    found = read(**{"a b": {"command": "x", "args": ["--key", "k1k", "--key", "k2k"]}})
    assert found.values == {"A_B_KEY": "k1k", "A_B_KEY_2": "k2k"}


def test_a_gap_to_be_filled_is_asked_for() -> None:
    found = read(one={"command": "x", "env": {"API_KEY": "<YOUR_API_KEY>"}})
    assert found.servers[0].needs == ("ONE_API_KEY",)
    assert found.values == {}


SECRET = st.text("abcXYZ019_-./+=", min_size=8, max_size=40).filter(
    lambda text: any(map(str.isdigit, text)) and not text.startswith("-")
)
PLACES = st.sampled_from(
    [
        lambda s: {"command": "x", "args": ["--api-key", s, "--note", f"uses {s}"]},
        lambda s: {"command": "x", "args": [f"--password={s}"], "env": {"NOTE": s}},
        lambda s: {"command": "x", "env": {"A_TOKEN": s, "HEADER": f"Bearer {s}"}},
        lambda s: {"url": WEB, "headers": {"X-Odd-Thing": s, "Authorization": f"Basic {s}"}},
        lambda s: {"command": "docker", "args": ["run", "-e", f"A_SECRET={s}", "img"]},
        lambda s: {"command": "x", "args": ["-H", f"X-Key: {s}", "-c", f"TOKEN={s} y"]},
    ]
)


@given(SECRET, PLACES)
def test_no_planted_value_survives(secret: str, place: Any) -> None:
    found = read(one=place(secret))
    assert secret not in json.dumps(msgspec.to_builtins(found.servers[0]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["url", "command", "args", "env", "headers", "type", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, min_size=1, max_size=4))
def test_whatever_a_file_says_each_server_is_described_or_refused(found: Any) -> None:
    for one in read(**found).servers:
        assert bool(one.entry) != bool(one.problem)
