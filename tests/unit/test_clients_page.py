"""The table of clients in docs/mcp.md has each client that is tried, and words that are known."""

from __future__ import annotations

from tests.support.foreign import clients_page
from tests.support.foreign.clients import ALL


def test_each_client_that_is_tried_has_its_line() -> None:
    said = clients_page.read()
    assert list(said) == ALL, "make clients writes the table"
    assert {cell for line in said.values() for cell in line.values()} <= clients_page.CELLS
    text = clients_page.PAGE.read_text().partition(clients_page.BEGIN)[2]
    table = text.partition(clients_page.END)[0]
    assert table.count("\n|") == len(ALL) + 2, "a line of a client that is not tried"


def test_what_every_client_has() -> None:
    for client, line in clients_page.read().items():
        assert line["lists"] == line["calls"] == line["found again"] == "yes", str(client)
        assert line["long call"] in ("early", "handle"), str(client)
