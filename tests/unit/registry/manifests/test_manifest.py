"""Manifests: what is read, what is filled in, and what is refused with which words."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from contracts.host import (
    Capability,
    Execute,
    Flags,
    Host,
    Limits,
    Noop,
    OpenApi,
    Placement,
    Probe,
    Stdio,
    Step,
    StreamableHttp,
    TaskBinding,
)
from services.registry.manifests import entries, manifest
from services.registry.manifests.manifest import ManifestError, Places

PLACES = Places(Path("data"))
SMALLEST = """
[hosts.mine]
endpoint = { kind = "stdio", command = "my-server" }
"""


def written(folder: Path, text: str, name: str = "mine.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, places: Places | None = None) -> str:
    path = written(folder, text)
    with pytest.raises(ManifestError) as caught:
        manifest.read(path, places or Places(folder))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def host(folder: Path, text: str, places: Places | None = None) -> Host:
    (only,) = manifest.read(written(folder, text), places or Places(folder))
    return only


def test_a_command_is_all_a_host_needs(tmp_path: Path) -> None:
    mine = host(tmp_path, SMALLEST)
    assert mine == Host(id="mine", name="mine", endpoint=Stdio("my-server"))
    assert type(mine.endpoint) is Stdio


def test_the_built_in_hosts_are_those_of_the_specification() -> None:
    hosts = {one.id: one for one in manifest.load([], Places(Path("data")))}
    tree_sitter = hosts["tree-sitter-mcp"]
    assert tree_sitter.name == "Tree-sitter MCP"
    assert tree_sitter.capabilities == (
        Capability("code_analysis", "1.0.0", ("parse", "ast", "semantic")),
    )
    assert set(hosts["code-mcp"].task_types) == {"code_analysis", "ast_parsing", "code_search"}
    assert tree_sitter.flags == Flags(
        can_run_on_user_space=True, result_pointer_preferred=True, fallback_to_oracle=False
    )
    assert set(hosts["git-mcp"].task_types) == {
        *("git_log", "git_status", "git_diff", "git_show", "git_blame", "git_branch", "git_grep")
    }


def test_every_built_in_task_type_says_what_it_takes() -> None:
    for one in manifest.load([], Places(Path("data"))):
        for binding in one.task_types.values():
            assert binding.summary
            assert binding.replayable is not None
            schema = binding.input_schema
            ways = schema.get("anyOf", [{"required": []}])
            assert any(set(way["required"]) <= binding.example.keys() for way in ways)
            assert set(schema.get("required", [])) <= binding.example.keys()
            assert binding.example.keys() <= schema["properties"].keys()


def test_built_in_servers_are_pinned_with_hashes() -> None:
    for pins in (manifest.BUILTIN.parent / "constraints").glob("*.txt"):
        text = pins.read_text().replace("\\\n", " ")
        packages = [line for line in text.splitlines() if line and not line.startswith("#")]
        assert len(packages) > 10
        assert all("==" in line and "--hash=sha256:" in line for line in packages)


def test_nobody_may_read_the_operators_disk_by_default() -> None:
    assert all(one.roots == () for one in manifest.load([], Places(Path("data"))))


def test_users_call_only_tools_that_show_nothing_of_others() -> None:
    hosts = {one.id: one for one in manifest.load([], Places(Path("data")))}
    allowed = {name: set(one.callable_tools or ()) for name, one in hosts.items()}
    assert {"list_languages", "check_language_available"} <= allowed["tree-sitter-mcp"]
    assert {"git_log", "git_status", "git_show"} <= allowed["git-mcp"]
    assert not hosts["git-mcp"].workspace


def test_which_tools_users_may_call_is_the_manifests_to_say(tmp_path: Path) -> None:
    assert host(tmp_path, SMALLEST).callable_tools is None
    assert host(tmp_path, SMALLEST + "callable_tools = ['look']").callable_tools == ("look",)
    assert host(tmp_path, SMALLEST + "callable_tools = []").callable_tools == ()
    assert host(tmp_path, SMALLEST + "workspace = false").workspace is False


def test_placeholders_stand_for_places(tmp_path: Path) -> None:
    text = """
        [hosts.mine]
        endpoint.kind = "stdio"
        endpoint.command = "{bin}/x"
        endpoint.args = ["{package}/a", "{data}", "{python}", '{"a":1}', "--roots", "{roots}"]
        roots = ["/fixed", "{roots}"]
        [hosts.mine.task_types.look]
        steps = [{ tool = "t" }]
        example = { path = "{root}", text = "{braces}" }
    """
    places = Places(tmp_path / "data", (Path("/one"), Path("/two")))
    mine = host(tmp_path, text, places)
    assert mine.endpoint == Stdio(
        f"{Path(sys.executable).parent}/x",
        (
            *(f"{tmp_path}/a", f"{tmp_path}/data", sys.executable, '{"a":1}'),
            *("--roots", "/one", "/two"),
        ),
    )
    assert mine.roots == ("/fixed", "/one", "/two")
    assert mine.task_types["look"].example == {"path": "/one", "text": "{braces}"}


def test_where_no_folders_are_named_their_placeholder_stands_for_nothing(tmp_path: Path) -> None:
    text = """
        [hosts.mine]
        endpoint = { kind = "stdio", command = "x", args = ["--roots", "{roots}", "--end"] }
        roots = ["{roots}"]
    """
    mine = host(tmp_path, text, Places(tmp_path))
    assert mine.endpoint == Stdio("x", ("--roots", "--end"))
    assert mine.roots == ()
    with pytest.raises(ManifestError, match=r"\{roots\} is not known"):
        host(tmp_path, text.replace('"{roots}", "--end"', '"in-{roots}"'), Places(tmp_path))


def test_an_operators_host_replaces_a_built_in_one(tmp_path: Path) -> None:
    path = written(tmp_path, '[hosts.git-mcp]\nendpoint={kind="stdio",command="mine"}')
    hosts = {one.id: one for one in manifest.load([path], Places(tmp_path))}
    assert hosts["git-mcp"].endpoint == Stdio("mine")
    assert "tree-sitter-mcp" in hosts


def test_two_files_may_not_name_the_same_host(tmp_path: Path) -> None:
    one = written(tmp_path, SMALLEST, "one.toml")
    two = written(tmp_path, SMALLEST, "two.toml")
    with pytest.raises(ManifestError, match=r"two.toml: hosts.mine: .*one.toml has a host"):
        manifest.load([one, two], Places(tmp_path), builtins=False)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"absent.toml: it can't be read"):
        manifest.load([tmp_path / "absent.toml"], Places(tmp_path))


def test_the_benchmarks_host_needs_permission(tmp_path: Path) -> None:
    text = '[hosts.bench]\nendpoint = { kind = "noop", delay_ms = 1.5 }'
    assert "METAMCP_REGISTRY_ALLOW_NOOP" in refusal(tmp_path, text)
    bench = host(tmp_path, text, Places(tmp_path, allow_noop=True))
    assert bench.endpoint == Noop(1.5)


def test_a_host_in_a_users_space_has_an_owner(tmp_path: Path) -> None:
    text = SMALLEST + 'placement = "user_space"\n'
    assert refusal(tmp_path, text).startswith("hosts.mine.owner: ")
    mine = host(tmp_path, text + 'owner = "alice"\n')
    assert (mine.placement, mine.owner) == (Placement.USER_SPACE, "alice")


STEP = "[hosts.mine.task_types.look]\nsteps = "

WRONG = [
    ("limits = { max_concurrency = 'many' }", "hosts.mine.limits.max_concurrency: expected int"),
    ("limits = { max_concurrency = 0 }", "hosts.mine.limits.max_concurrency: expected int >= 1"),
    ("limits = { slots = 1 }", "hosts.mine.limits: object contains unknown field slots"),
    ("callable_tools = 'all'", "hosts.mine.callable_tools: expected array"),
    ("colour = 'red'", "hosts.mine: object contains unknown field colour"),
    ("tools = []", "hosts.mine: object contains unknown field tools"),
    ("owner = 'a b'", "hosts.mine: the owner 'a b' is not allowed"),
    ("roots = ['src']", "hosts.mine.roots[0]: expected an absolute path, not 'src'"),
    ("roots = ['{nowhere}']", "hosts.mine.roots: {nowhere} is not known. There are {package}"),
    (
        "capabilities = [{ name = 'x', version = 'one' }]",
        "hosts.mine.capabilities[0].version: expected numbers joined by dots",
    ),
    (
        "capabilities = [{ nme = 'x' }]",
        "hosts.mine.capabilities[0]: object contains unknown field nme",
    ),
    (STEP + "[]", "hosts.mine.task_types.look.steps: expected at least one step"),
    (
        STEP + "[{ tool = 't', cleanup = true }]",
        "hosts.mine.task_types.look.steps: expected at least one step that is no cleanup",
    ),
    (
        STEP + "[{ tool = 1 }]",
        "hosts.mine.task_types.look.steps[0].tool: expected str, got int",
    ),
    (
        STEP + "[{ tool = 't', arguments = { a = ['$inptu.x'] } }]",
        "hosts.mine.task_types.look.steps[0].arguments: '$inptu.x' is no reference",
    ),
    (
        STEP + "[{ tool = 't', arguments = { a = '$step.first.x' } }]",
        "hosts.mine.task_types.look.steps[0].arguments: '$step.first.x': no step before this one",
    ),
    (
        "[hosts.mine.task_types.'mcp.call']\nsteps = []",
        "hosts.mine.task_types.mcp.call: every host",
    ),
    (
        "[hosts.mine.task_types.'a b']\nsteps = [{ tool = 't' }]",
        "hosts.mine.task_types.a b: use 1 to 64",
    ),
]


@pytest.mark.parametrize(("addition", "message"), WRONG)
def test_a_mistake_is_refused_by_its_path(tmp_path: Path, addition: str, message: str) -> None:
    assert refusal(tmp_path, SMALLEST + addition).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[hosts.'a b']\nendpoint = {}", "hosts.a b: the host id 'a b' is not allowed"),
        ("[hosts.a]\nendpoint = { kind = 'ftp' }", "hosts.a.endpoint.kind: invalid value 'ftp'"),
        ("[hosts.a]\nendpoint = { kind = 'http' }", "hosts.a.endpoint: object missing required"),
        ("[hosts.a]\nendpoint = { command = 'x' }", "hosts.a.endpoint: object missing required"),
        (
            "[hosts.a]\nendpoint = { kind = 'stdio', command = 'x', arg = [] }",
            "hosts.a.endpoint: object contains unknown field arg",
        ),
        (
            "[hosts.a]\nendpoint = { kind = 'stdio', command = '{pakage}/x' }",
            "hosts.a.endpoint: {pakage} is not known. There are {package}, {bin}",
        ),
        ("[hosts]\na = 1", "hosts.a: expected object, got int"),
        ("[host.a]", "host: not known here"),
        ("", "hosts: expected a table"),
        ("[hosts", "it can't be read: "),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


HTTP = "[hosts.web]\nendpoint.kind = 'http'\nendpoint.url = 'https://example.com/mcp'\n"
SPACE = "[hosts.space]\nendpoint.kind = 'execute'\nendpoint.url = 'hf://alice/heavy'\n"
SCAN = "task_types.scan.summary = 'Scan'\n"


def test_a_url_is_all_an_mcp_server_needs(tmp_path: Path) -> None:
    web = host(tmp_path, HTTP)
    assert web == Host(id="web", name="web", endpoint=StreamableHttp("https://example.com/mcp"))
    assert type(web.endpoint) is StreamableHttp
    more = HTTP + "endpoint.headers = { X-Team = 'red' }\nendpoint.bearer_from = 'TOKEN'\n"
    known = host(tmp_path, more + STEP.replace("mine", "web") + "[{ tool = 't' }]")
    assert known.endpoint == StreamableHttp(
        "https://example.com/mcp", headers={"X-Team": "red"}, bearer_from="TOKEN"
    )
    assert known.task_types["look"].steps == (Step("t"),)


def test_a_space_needs_a_url_and_a_task_type(tmp_path: Path) -> None:
    space = host(tmp_path, SPACE + SCAN + "replay = 'always'")
    assert type(space.endpoint) is Execute
    assert space.endpoint == Execute("hf://alice/heavy")
    assert space.task_types == {"scan": TaskBinding(summary="Scan")}
    assert (space.replay, space.source) == ("always", "manifest")


WRONG_URLS = [
    (HTTP.replace("https:", "ftp:"), "hosts.web.endpoint.url: expected a URL that begins with"),
    (HTTP.replace("//", "//me:word@"), "hosts.web.endpoint.url: the URL has a user or password"),
    (SPACE.replace("/heavy", "") + SCAN, "hosts.space.endpoint.url: the URL names no Space"),
    (
        HTTP + "endpoint.headers = { authorization = 'Bearer x' }",
        "hosts.web.endpoint.headers: authorization: credentials don't stand in the log: write",
    ),
    (HTTP + "endpoint.headers = { Host = 'x' }", "hosts.web.endpoint.headers: Host: this header"),
    (HTTP + "endpoint.bearer_from = 'a/b'", "hosts.web.endpoint.bearer_from: expected the name"),
    (HTTP + "endpoint.token = 'x'", "hosts.web.endpoint: object contains unknown field token"),
    (HTTP + SCAN, "hosts.web.task_types.scan.steps: expected at least one step"),
    (SPACE + SCAN + "endpoint.cwd = '/'", "hosts.space.endpoint: object contains unknown field"),
    (SPACE, "hosts.space.task_types: expected at least one"),
    (
        SPACE + "task_types.scan.steps = [{ tool = 't' }]",
        "hosts.space.task_types.scan.steps: a host of the kind execute takes the input as it is",
    ),
    (SPACE + SCAN + "probe.tool = 't'", "hosts.space.probe.tool: a host of the kind execute has"),
    (SPACE + SCAN + "callable_tools = []", "hosts.space.callable_tools: a host of the kind exec"),
    (SPACE + SCAN + "path_arguments.t = ['p']", "hosts.space.path_arguments: a host of the kind"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_URLS)
def test_a_mistake_in_a_host_behind_a_url_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(message)
    assert "word@" not in said


def test_references_of_every_kind_are_accepted(tmp_path: Path) -> None:
    steps = """[
        { tool = "a", arguments = { x = "$input.x|5", y = "$input.y?" }, output = "first" },
        { tool = "b", arguments = { x = "$step.first.items.0", y = "costs $5", z = "$$HOME" } },
        { tool = "c", arguments = { id = "$task", n = "$attempt", at = "$workspace" } },
    ]"""
    assert len(host(tmp_path, SMALLEST + STEP + steps).task_types["look"].steps) == 3


def test_the_examples_of_the_documentation_are_manifests(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "manifest.md").read_text()
    blocks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    hosts = {one.id: one for one in manifest.read(written(tmp_path, "".join(blocks)), PLACES)}
    assert hosts.keys() == {"notes", "clock", "docs", "heavy", "pets", "deploy", "weather", "wiki"}
    assert hosts["docs"].endpoint == StreamableHttp(
        "https://docs.example.com/mcp", bearer_from="DOCS_TOKEN"
    )
    assert hosts["heavy"].endpoint == Execute(
        "hf://alice/metamcp-heavy", bearer_from="HF_TOKEN", subdomain="alice-metamcp-heavy"
    )
    assert isinstance(hosts["pets"].endpoint, OpenApi)
    assert set(hosts["notes"].task_types) == {"note_search"}
    assert hosts["notes"].probe.tool == "search"


def test_the_documentation_names_every_field() -> None:
    page = (Path(__file__).parents[4] / "docs" / "manifest.md").read_text()
    endpoints = (Stdio, StreamableHttp, Execute, OpenApi, Noop)
    structs = (entries.Entry, *endpoints, TaskBinding, Step, Flags, Limits, Probe)
    for struct in structs:
        for field in struct.__struct_fields__:
            assert f"`{field}`" in page or f"`{field} = " in page or f"`{field}.NAME`" in page, (
                field
            )
