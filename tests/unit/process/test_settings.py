"""Settings: sources, errors a person can act on, and the page that documents them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from services.cli import settings_page
from services.process.settings import Common, SettingsError, fields, load, load_all

SPEC_NAMES = """
    APP_NAME APP_VERSION DEBUG DATABASE_URL DATABASE_POOL_SIZE DATABASE_MAX_OVERFLOW REDIS_URL
    REDIS_MAX_CONNECTIONS JWT_SECRET JWT_ALGORITHM JWT_ACCESS_TOKEN_EXPIRE_MINUTES
    JWT_REFRESH_TOKEN_EXPIRE_DAYS GITHUB_CLIENT_ID GITHUB_CLIENT_SECRET GITHUB_REDIRECT_URI
    HF_CLIENT_ID HF_CLIENT_SECRET HF_REDIRECT_URI CLOUDFLARE_API_TOKEN CLOUDFLARE_ZONE_ID SECRET_KEY
    ALGORITHM ACCESS_TOKEN_EXPIRE_MINUTES ALLOWED_ORIGINS RATE_LIMIT_REQUESTS RATE_LIMIT_WINDOW
    MAX_CONCURRENT_JOBS DEFAULT_TASK_TIMEOUT MAX_TASK_RETRIES LOG_LEVEL LOG_FORMAT ENABLE_METRICS
    METRICS_PORT
""".split()


class Kitchen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting of each type."""

    ovens: Annotated[int, msgspec.Meta(description="How many.", ge=1, le=4)] = 1
    heat: float = 0.5
    open: bool = False
    name: str = "main"
    shelf: Path = Path("shelf")
    guests: tuple[str, ...] = ()
    note: str | None = "none yet"
    cellar: Path | None = None
    menu: Literal["short", "long"] = "short"
    code: Annotated[int, msgspec.Meta(extra={"secret": True})] = 7


class Garden(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A section with a setting that has no default."""

    beds: Annotated[int, msgspec.Meta(description="Number of beds.")]


def kitchen(cwd: Path, **environ: str) -> Kitchen:
    return load(Kitchen, "kitchen", environ, cwd=cwd)


def complaint(cwd: Path, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        kitchen(cwd, **environ)
    return str(caught.value)


def test_without_sources_the_defaults_hold(tmp_path: Path) -> None:
    assert kitchen(tmp_path) == Kitchen()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("OVENS", "3", 3),
        ("HEAT", "2", 2.0),
        ("OPEN", "true", True),
        ("OPEN", "0", False),
        ("NAME", "12", "12"),
        ("SHELF", "a/b", Path("a/b")),
        ("GUESTS", "ann, bob,", ("ann", "bob")),
        ("GUESTS", "", ()),
        ("NOTE", "hi", "hi"),
        ("NOTE", "", None),
        ("CELLAR", "deep", Path("deep")),
        ("CELLAR", "", None),
        ("MENU", "LONG", "long"),
    ],
)
def test_text_becomes_a_value_of_the_declared_type(
    tmp_path: Path, name: str, text: str, value: Any
) -> None:
    found = getattr(kitchen(tmp_path, **{f"METAMCP_KITCHEN_{name}": text}), name.lower())
    assert (found, type(found)) == (value, type(value))


def test_the_environment_wins_over_dotenv_and_dotenv_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "metamcp.toml").write_text('[kitchen]\novens = 2\nname = "file"\nheat = 1\n')
    (tmp_path / ".env").write_text("METAMCP_KITCHEN_OVENS=3\nMETAMCP_KITCHEN_NAME=dotenv\n")
    found = kitchen(tmp_path, METAMCP_KITCHEN_OVENS="4")
    assert (found.ovens, found.name, found.heat) == (4, "dotenv", 1.0)


def test_dotenv_takes_quotes_comments_and_the_names_of_other_programs(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "# kitchen\n\nexport METAMCP_KITCHEN_NAME='a # b' # quoted\n"
        "METAMCP_KITCHEN_NOTE = plain # said\nOTHER_PROGRAM=1\nMETAMCP_KITCHEN_CELLAR=\n"
    )
    found = kitchen(tmp_path)
    assert (found.name, found.note, found.cellar) == ("a # b", "plain", None)


def test_a_file_takes_lists_and_paths(tmp_path: Path) -> None:
    (tmp_path / "metamcp.toml").write_text('[kitchen]\nguests = ["a,b", "c"]\nshelf = "x"\n')
    found = kitchen(tmp_path)
    assert (found.guests, found.shelf) == (("a,b", "c"), Path("x"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("OVENS", "many", "METAMCP_KITCHEN_OVENS is 'many': expected a whole number, at least 1"),
        ("OVENS", "5", "METAMCP_KITCHEN_OVENS is '5': expected a whole number, at least 1"),
        ("HEAT", "hot", "METAMCP_KITCHEN_HEAT is 'hot': expected a number"),
        ("OPEN", "maybe", "METAMCP_KITCHEN_OPEN is 'maybe': expected true or false"),
        ("SHELF", "", "METAMCP_KITCHEN_SHELF is '': expected a path"),
        ("MENU", "lon", "expected one of short, long. Did you mean long?"),
    ],
)
def test_a_bad_value_is_named_with_what_is_expected(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    assert expected in complaint(tmp_path, **{f"METAMCP_KITCHEN_{name}": text})


def test_a_bad_secret_is_not_shown(tmp_path: Path) -> None:
    text = complaint(tmp_path, METAMCP_KITCHEN_CODE="hunter2")
    assert "METAMCP_KITCHEN_CODE" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("METAMCP_KITCHEN_OVEN", "METAMCP_KITCHEN_OVENS"),
        ("METAMCP_KICHEN_OVENS", "METAMCP_KITCHEN_OVENS"),
        ("METAMCP_NATSURL", "METAMCP_NATS_URL"),
    ],
)
def test_a_misspelt_variable_is_refused_with_a_suggestion(
    tmp_path: Path, variable: str, suggestion: str
) -> None:
    text = complaint(tmp_path, **{variable: "1"})
    assert text == f"{variable} is not a setting. Did you mean {suggestion}?"


def test_a_name_like_no_other_is_refused_with_a_pointer_to_the_page(tmp_path: Path) -> None:
    assert "docs/settings.md" in complaint(tmp_path, METAMCP_ZZZZZZZZ="1")


def test_errors_in_files_name_the_file_and_the_place(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\nMETAMCP_KITCHEN_OVENS=x\n")
    assert ".env line 2: METAMCP_KITCHEN_OVENS is 'x'" in complaint(tmp_path)
    (tmp_path / ".env").write_text("nonsense\n")
    assert ".env line 1" in complaint(tmp_path)
    (tmp_path / ".env").unlink()
    (tmp_path / "metamcp.toml").write_text('[kitchen]\novens = "2"\n')
    assert "metamcp.toml [kitchen] ovens is '2'" in complaint(tmp_path)
    (tmp_path / "metamcp.toml").write_text("[kitchen]\novnes = 2\n")
    assert "metamcp.toml [kitchen] ovnes is not a setting. Did you mean ovens?" in complaint(
        tmp_path
    )
    (tmp_path / "metamcp.toml").write_text("[kitchn]\n")
    assert "[kitchn] is not a section. Did you mean kitchen?" in complaint(tmp_path)
    (tmp_path / "metamcp.toml").write_text("[")
    assert "metamcp.toml is not valid TOML" in complaint(tmp_path)


def test_one_service_ignores_the_sections_of_the_others(tmp_path: Path) -> None:
    (tmp_path / "metamcp.toml").write_text("[router]\nanything = 1\n")
    assert kitchen(tmp_path, METAMCP_GATEWAY_PORT="1") == Kitchen()


def test_all_sections_together_leave_no_name_unchecked(tmp_path: Path) -> None:
    sections: dict[str, type[msgspec.Struct]] = {"kitchen": Kitchen, "garden": Garden}
    found = load_all(sections, {"METAMCP_GARDEN_BEDS": "2"}, cwd=tmp_path)
    assert found == {"common": Common(), "kitchen": Kitchen(), "garden": Garden(beds=2)}
    with pytest.raises(SettingsError, match="METAMCP_GATEWAY_PORT is not a setting"):
        load_all(sections, {"METAMCP_GATEWAY_PORT": "1"}, cwd=tmp_path)


def test_a_missing_setting_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"METAMCP_GARDEN_BEDS is not set.*Number of beds"):
        load(Garden, "garden", {}, cwd=tmp_path)


def test_common_settings_have_no_section_in_the_environment(tmp_path: Path) -> None:
    found = load(Common, "common", {"METAMCP_LOG_LEVEL": "DEBUG"}, cwd=tmp_path)
    assert found.log_level == "debug"
    with pytest.raises(SettingsError, match="METAMCP_INSTANCE is 'a b'"):
        load(Common, "common", {"METAMCP_INSTANCE": "a b"}, cwd=tmp_path)


def test_every_setting_is_described() -> None:
    missing = [
        f"{section}.{field.name}"
        for section, cls in settings_page.installed_sections().items()
        for field in fields(cls)
        if not field.description
    ]
    assert missing == []


def test_the_page_shows_each_type_and_hides_secrets() -> None:
    page = settings_page.render({"kitchen": Kitchen, "garden": Garden})
    assert "| `guests` | `METAMCP_KITCHEN_GUESTS` | `[kitchen] guests` | list of str | none |" in (
        page
    )
    assert "| path, optional | none |" in page
    assert "| required | Number of beds. |" in page
    assert "| int | not shown |" in page


def test_the_page_accounts_for_every_setting_of_the_specification() -> None:
    assert [item.name for item in settings_page.SPEC] == SPEC_NAMES
    assert all(item.ours or item.note for item in settings_page.SPEC)


@pytest.mark.parametrize("item", [item for item in settings_page.SPEC if item.ours], ids=str)
def test_a_kept_setting_of_the_specification_exists(item: settings_page.SpecSetting) -> None:
    assert item.ours
    section, name = item.ours
    sections = settings_page.installed_sections()
    assert name in sections[section].__struct_fields__


def test_the_page_in_docs_is_current() -> None:
    page = Path(__file__).parents[3] / settings_page.PAGE
    current = settings_page.render(settings_page.installed_sections())
    assert page.read_text() == current, "run `make docs`"
