"""APIs in manifests: what names a document, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.host import OpenApi
from tests.support.apis import PETSTORE
from tests.unit.registry.manifests.test_manifest import SCAN, host, refusal

API = "[hosts.api]\nendpoint.kind = 'openapi'\nendpoint.url = 'https://example.com/v1'\n"
AT = "endpoint.document_url = 'https://example.com/openapi.json'\n"


def test_an_api_needs_a_document(tmp_path: Path) -> None:
    named = host(tmp_path, API + AT + "endpoint.secrets = { key = 'API_KEY' }")
    assert named.endpoint == OpenApi(
        "https://example.com/v1",
        document_url="https://example.com/openapi.json",
        secrets={"key": "API_KEY"},
    )
    (tmp_path / "pets.yaml").write_text(PETSTORE)
    read = host(tmp_path, API + "endpoint.document_file = 'pets.yaml'").endpoint
    assert isinstance(read, OpenApi)
    assert set(read.document["paths"]) >= {"/pet/{petId}"}, "no placeholder of ours"


WRONG_APIS = [
    (API, "endpoint.document_url: give either this or `document`"),
    (API + AT + "endpoint.document = { a = 1 }", "endpoint.document_url: give either"),
    (API + AT.replace("https", "ftp"), "endpoint.document_url: expected a URL that begins with"),
    (API + AT + "endpoint.secrets.key = '{secret:A}'", "endpoint.secrets.key"),
    (API + AT + "endpoint.secrets.key = 'a b'", "endpoint.secrets.key"),
    (API + AT.replace("openapi.json", "{secret:A}"), "endpoint.document_url: no secret stands"),
    (API + "endpoint.document = { swagger = '2.0' }", "endpoint.document: the document is Swagger"),
    (API + "endpoint.document_file = 'none.yaml'", "endpoint.document_file: it can't be read"),
    (API + AT + "endpoint.document_file = 1", "endpoint.document_file: expected a path"),
    (API + AT + f"endpoint.operations = {['*'] * 51}", "endpoint.operations: expected at most"),
    (API + AT + SCAN, "task_types.scan.steps: expected at least one step"),
]


@pytest.mark.parametrize(("text", "message"), WRONG_APIS)
def test_a_mistake_in_an_api_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(f"hosts.api.{message}")
