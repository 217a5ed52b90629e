"""Files for TLS: settings that belong together, what a file may hold, and the pages about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.process.settings import Common, SettingsError, load
from services.process.tls import TlsError, client, first_certificate, pinned
from tests.support.tls import Authority, Pair, tls_block

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", ["CERT", "KEY"])
def test_half_a_pair_for_nats_is_no_setting(tmp_path: Path, name: str) -> None:
    environ = {f"METAMCP_NATS_TLS_{name}": "one.pem"}
    with pytest.raises(SettingsError, match="nats_tls_cert and nats_tls_key are set together"):
        load(Common, "common", environ, cwd=tmp_path)


def test_words_around_certificates_may_be_in_any_language(tmp_path: Path) -> None:
    cert, _ = Authority(tmp_path).issue("one")
    own = first_certificate(cert)
    cert.write_text(f"Zertifikat für den Türsteher\n{cert.read_text()}ende ✓\n", encoding="utf-8")
    assert first_certificate(cert) == own
    assert len(client(cert).get_ca_certs()) == 1
    assert cert.read_text().count("BEGIN CERTIFICATE") == 2


def test_what_is_no_certificate_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(bytes(range(256)))
    with pytest.raises(TlsError, match=r"no certificate in PEM form in .*ca\.pem"):
        client(tmp_path / "ca.pem")
    for junk in ("nonsense", "-----BEGIN CERTIFICATE-----\n", "é"):
        with pytest.raises(TlsError, match="no certificate in PEM form"):
            pinned(junk)


def test_the_page_shows_what_the_tests_of_nats_use() -> None:
    page = (DOCS / "security.md").read_text()
    pair = Pair(Path("/etc/nats/server.pem"), Path("/etc/nats/server.key"))
    assert f"```\n{tls_block(pair)}```" in page
    assert f"```\n{tls_block(pair, Path('/etc/nats/ca.pem'))}```" in page
