"""Secrets in real-life descriptions of MCP servers are seen; what only looks odd is let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.host import Execute, Noop, Stdio, StreamableHttp
from services.keys.spotting import passed_on, secret_name, spotted

# Made up, and put together here so that no scanner takes them for real ones.
A = "A1b2C3d4E5f6G7h8I9j0"
GITHUB, GITLAB, OPENAI, JWT = f"ghp_{A}{A[:16]}", f"glpat-{A}", f"sk-{A}{A}", f"eyJ{A}.eyJ{A}.{A}"
AWS, PEM = "AKIA" + "QWERTY1234567890", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE"

SECRET_ARGS = [
    ["-y", "some-mcp", "--api-key", "abc123def"],
    ["-y", "some-mcp", "--api-key=abc123def"],
    ["-y", "some-mcp", "--apiKey", "abc123def"],
    ["-y", "some-mcp", "--access-token", "HIDEME"],
    ["-y", "some-mcp", "--token", "hunter2"],
    ["--token=hunter2"],
    ["-y", "@supabase/mcp-server-supabase@latest", "--access-token", "sbp_abc"],
    ["-u", "admin", "-p", "hunter2"],
    ["--user", "admin", "--password", "hunter2"],
    ["-y", "some-postgres-mcp", "postgresql://app:HIDEME@db.example.com:5432/app"],
    ["redis://:hunter2@cache:6379/0"],
    ["mongodb+srv://u:hunter2@cluster0.example.net/x"],
    ["-y", "mcp-remote", "https://m.example.com/mcp", "--header", "Authorization: Bearer HIDEME"],
    ["-y", "mcp-remote", "https://m.example.com/mcp", "--header", "Authorization:Bearer HIDEME"],
    ["-y", "mcp-remote", "https://m.example.com/mcp", "--header", "X-Api-Key:HIDEME"],
    ["-y", "mcp-remote", "https://m.example.com/mcp?api_key=HIDEME"],
    ["run", "-i", "--rm", "-e", "SERVICE_TOKEN=HIDEME", "example/mcp"],
    ["run", "-i", "--rm", "--env=SERVICE_TOKEN=HIDEME", "example/mcp"],
    ["-c", "API_KEY=abc123def node server.js"],
    ["-c", "exec some-mcp --token hunter2"],
    ["--config", '{"apiKey": "abc123def", "profile": "x"}'],
    ["some-mcp", GITHUB],
    ["some-mcp", GITLAB],
    ["some-mcp", OPENAI],
    ["some-mcp", JWT],
    ["some-mcp", f"--whatever={AWS}"],
    ["some-mcp", f"https://{GITHUB}@github.com/o/r"],
    ["--private-key", "c2VjcmV0a2V5bWF0ZXJpYWw"],
    ["--client-secret", "abc"],
    ["--db-pass", "x9"],
]
PLAIN_ARGS = [
    ["-y", "@modelcontextprotocol/server-filesystem", "/srv/me/work"],
    ["-y", "@modelcontextprotocol/server-everything"],
    ["--max-tokens", "100"],
    ["--max-tokens=4096", "--token-limit", "100", "--tokens", "5"],
    ["--tokenizer", "cl100k_base", "--token-budget", "2000"],
    ["--api-key-file", "/run/secrets/key", "--password-file=/run/secrets/pw"],
    ["--api-key-env", "OPENAI_API_KEY", "--token-env-var", "GH"],
    ["--key", "server.key", "--cert", "server.crt"],
    ["--private-key", "/etc/ssl/x.pem"],
    ["--public-key", "abcdef0123"],
    ["--primary-key", "customer_id", "--sort-key", "created"],
    ["--api-key", "${API_KEY}"],
    ["--api-key", "<your-token>"],
    ["--api-key=YOUR_API_KEY", "--token", "$TOKEN", "--password", "{{password}}"],
    ["--token", "your-token-here", "--secret", "xxxxxxxx", "--pass", "***"],
    ["--header", "Authorization: Bearer ${AUTH_TOKEN}"],
    ["--header", "Authorization:${AUTH_HEADER}"],
    ["postgresql://app:${PGPASSWORD}@db:5432/app"],
    ["postgresql://localhost/app", "postgresql://app@db/app"],
    ["run", "-i", "--rm", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "ghcr.io/github/github-mcp-server"],
    ["run", "-p", "8080:80", "-u", "1000:1000", "nginx"],
    ["-y", "-p", "@scope/package", "some-bin"],
    ["-p", "5432", "-u", "postgres"],
    ["-m", "mcp_server_git", "--repository", "/repo"],
    [
        "--from",
        "git+https://github.com/oraios/serena@0123456789abcdef0123456789abcdef01234567",
        "serena",
    ],
    ["--from", "git+ssh://git@github.com/o/r", "x"],
    ["run", "image@sha256:" + "0123456789abcdef" * 4],
    ["--session", "123e4567-e89b-12d3-a456-426614174000"],
    ["--author", "me", "--keyboard", "us", "--monkey", "x", "--keys", "a,b"],
    ["--auth", "oauth", "--auth-mode", "none", "--no-auth", "--require-token", "true"],
    ["--secret-name", "prod/db", "--credentials-provider", "env", "--secret-arn", "arn:aws:x"],
    ["--token-type", "jwt", "--key-id", "AB12", "--passthrough", "x", "--compass", "n"],
    ["--model", "sk-learn-documentation-server", "--task", "task-1234567890123456"],
    ["--compassion", "token economics", "a basic understanding"],
    ["mcp-remote", "https://m.example.com/mcp?tools=search&profile=x&keyword=apples"],
    ["-c", "cd /srv && exec python -m server --port 80"],
]


@pytest.mark.parametrize("args", SECRET_ARGS, ids=" ".join)
def test_secrets_in_arguments_are_seen(args: list[str]) -> None:
    found = spotted(Stdio("npx", tuple(args)))
    assert found
    for one in found:
        for secret in ("HIDEME", "hunter2", "abc123def", A):
            assert secret not in one.why


@pytest.mark.parametrize("args", PLAIN_ARGS, ids=" ".join)
def test_other_arguments_are_let_through(args: list[str]) -> None:
    assert spotted(Stdio("npx", tuple(args))) == []


SECRET_ENV = {
    "API_KEY": "x1y2",
    "OPENAI_KEY": "HIDEME",
    "GITHUB_PAT": "HIDEME",
    "DB_PASS": "HIDEME",
    "PGPASSWORD": "HIDEME",
    "SUPABASE_SERVICE_ROLE_KEY": "HIDEME",
    "AWS_SECRET_ACCESS_KEY": "HIDEME",
    "CLIENT_SECRET": "HIDEME",
    "SLACK_BOT_TOKEN": "HIDEME",
    "apiKey": "HIDEME",
    "OPENAIAPIKEY": "HIDEME",
    "TOKEN_2": "HIDEME",
    "DATABASE_URL": "postgresql://admin:hunter2@db/x",
    "WEBHOOK": "https://h.example.com/?token=HIDEME",
    "HEADERS": '{"Authorization": "Bearer HIDEME123"}',
    "AUTH_HEADER": "Bearer HIDEME123",
    "SOMETHING": GITHUB,
    "CERT": PEM,
    "AWS": AWS,
}
PLAIN_ENV = {
    "TOKENIZERS_PARALLELISM": "false",
    "MAX_TOKENS": "4096",
    "TOKEN_LIMIT": "100",
    "SSH_AUTH_SOCK": "/run/agent.sock",
    "GOOGLE_APPLICATION_CREDENTIALS": "/etc/gcp.json",
    "KEY_FILE": "/x/y",
    "PASSWORD_STORE_DIR": "/srv/me/.pass",
    "AWS_ACCESS_KEY_ID": "not-a-real-one",
    "AUTHOR": "me",
    "API_KEY": "${API_KEY}",
    "TOKEN": "",
    "SECRET_TOKEN": "<your-token>",
    "DISABLE_AUTH": "true",
    "DATABASE_URL": "postgresql://db.example.com/x",
    "REDIS_URL": "redis://cache:6379/0",
    "PUBLIC_KEY": "abc",
    "PATH": "/usr/bin:/bin",
    "LOG_LEVEL": "debug",
    "COOKIE_NAME": "session",
    "NODE_OPTIONS": "--max-old-space-size=4096",
}


@pytest.mark.parametrize("name", SECRET_ENV)
def test_secrets_in_variables_are_seen(name: str) -> None:
    (one,) = spotted(Stdio("x", env={name: SECRET_ENV[name]}))
    assert one.where == f"env.{name}"


@pytest.mark.parametrize("name", PLAIN_ENV)
def test_other_variables_are_let_through(name: str) -> None:
    assert spotted(Stdio("x", env={name: PLAIN_ENV[name]})) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Authorization", "Bearer HIDEME"), ("Authorization", "Basic dXNlcjpwYXNz")),
        *(("X-Api-Key", "HIDEME"), ("x-goog-api-key", "HIDEME"), ("PRIVATE-TOKEN", "HIDEME")),
        *(("EXAMPLE_API_KEY", "HIDEME"), ("DD-APPLICATION-KEY", "HIDEME"), ("X-Auth", "HIDEME")),
        *(("X-Custom", GITLAB), ("X-Custom", f"Bearer {A}"), ("Cookie", "a=b")),
    ],
)
def test_secrets_in_headers_are_seen(name: str, value: str) -> None:
    for endpoint in (StreamableHttp, Execute):
        (one,) = spotted(endpoint("https://m.example.com/mcp", headers={name: value}))
        assert one.where == f"headers.{name}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("X-Team", "red"), ("Accept-Language", "en"), ("X-MCP-Toolsets", "repos,issues")),
        *(("X-Tenant", "acme"), ("X-Max-Tokens", "100"), ("Authorization", "Bearer ${TOKEN}")),
        *(("User-Agent", "basic client/1.0"), ("X-Request-Id", "123e4567-e89b-12d3-a456-4266")),
    ],
)
def test_other_headers_are_let_through(name: str, value: str) -> None:
    assert spotted(StreamableHttp("https://m.example.com/mcp", headers={name: value})) == []


@pytest.mark.parametrize(
    "url",
    [
        "https://m.example.com/mcp?apiKey=HIDEME&tools=search",
        "https://m.example.com/mcp?api_key=HIDEME",
        "https://m.example.com/mcp?key=AbCdEfGh12",
        "https://f.azurewebsites.net/api/mcp?code=AbCdEfGh12==",
        "https://user:hunter2@m.example.com/mcp",
        f"https://m.example.com/{GITHUB}/mcp",
    ],
)
def test_secrets_in_urls_are_seen(url: str) -> None:
    (one,) = spotted(StreamableHttp(url))
    assert one.where == "url"


@pytest.mark.parametrize(
    "url",
    [
        "https://m.example.com/mcp",
        "hf://owner/space",
        "https://m.example.com/mcp?tools=search&key=short&code=en",
        "https://m.example.com/mcp?api_key=${KEY}",
        "https://m.example.com/123e4567-e89b-12d3-a456-426614174000/mcp",
    ],
)
def test_other_urls_are_let_through(url: str) -> None:
    assert spotted(StreamableHttp(url)) == []


def test_variables_of_a_container_can_be_passed_on() -> None:
    args = ["run", "-e", "A_TOKEN=HIDEME", "--env", "LEVEL=1", "-e", "B_KEY", "image"]
    assert passed_on(args, "/usr/bin/docker") == {2: "A_TOKEN"}
    assert passed_on(args, "npx") == {}


@given(st.lists(st.text(max_size=30), max_size=5), st.dictionaries(st.text(), st.text()))
def test_any_text_is_judged(args: list[str], values: dict[str, str]) -> None:
    spotted(Stdio("x", tuple(args), values))
    spotted(StreamableHttp("".join(args), values))
    assert spotted(Noop()) == []


@given(st.text(max_size=20000))
def test_a_long_text_is_judged(text: str) -> None:
    spotted(Stdio("x", (text * 3,)))


@pytest.mark.parametrize(
    "part", ["-eyJ", "-sk-a", "a.", "-glpat-", '"a":"', "bearer ", " -p a", "=", "{{"]
)
def test_no_text_makes_a_search_quadratic(part: str) -> None:
    # 256 KiB: then a search of that kind takes minutes, and the test's limit ends it.
    text = part * (256 * 1024 // len(part))
    spotted(Stdio("x", (text,), {"A_KEY": text}))
    spotted(StreamableHttp(f"https://a/{text}?{text}"))


def test_names_say_whether_something_is_a_secret() -> None:
    assert all(map(secret_name, ("password", "API-KEY", "accessToken", "x.secret", "JWT")))
    assert not any(map(secret_name, ("", "key", "tokens", "passenger", "MAX_TOKENS", "keyId")))
