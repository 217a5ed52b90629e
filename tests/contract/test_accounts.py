"""Accounts on a real nats-server: who may read which, and nothing of a token in the clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.account import Account, Provider
from contracts.errors import Rejected
from contracts.subjects import CREDENTIAL_BUCKETS
from services.bus.errors import PermissionDenied
from services.keys.accounts import Accounts
from services.keys.vault import KeyFile, VaultError
from services.store.kv import MOST_VALUE, Bucket
from services.store.stream import StoreError
from services.up.nats_config import AUDITOR, OPERATOR, ROLES
from tests.support.facts import name
from tests.support.nats import NatsServer

HF, GITHUB = Provider.HUGGINGFACE, Provider.GITHUB
READERS = {HF: {"gateway", "registry", "results", "executor"}, GITHUB: {"gateway", "executor"}}


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    file = KeyFile(tmp_path / "master.key")
    file.ensure()
    return file


async def test_a_linked_account_is_there_for_those_who_need_it(
    nats_server: NatsServer, key: KeyFile
) -> None:
    user = name("u")
    async with nats_server.connected("gateway") as bus, nats_server.connected("results") as other:
        accounts = Accounts(bus, key)
        linked = await accounts.link(user, HF, "ann", "hf_secret", ("write",))
        assert await accounts.account(user, HF) == linked
        assert await Accounts(other, key).token(user, HF) == "hf_secret"
        assert (await Accounts(other, key).linked(HF))[user] == linked
        assert await accounts.token(user, GITHUB) is None
        stored = await Bucket(bus, CREDENTIAL_BUCKETS[HF]).get(user)
        assert stored is not None
        assert b"hf_secret" not in stored.value
        await accounts.link(user, HF, "ann2", "hf_new")
        assert await Accounts(other, key).token(user, HF) == "hf_new"
        assert await accounts.unlink(user, HF)
        assert not await accounts.unlink(user, HF)
        assert await accounts.account(user, HF) is None
        assert user not in await accounts.linked(HF)


async def test_another_key_opens_nothing(
    nats_server: NatsServer, key: KeyFile, tmp_path: Path
) -> None:
    user = name("u")
    other = KeyFile(tmp_path / "other.key")
    other.ensure()
    async with nats_server.connected("gateway") as bus:
        await Accounts(bus, key).link(user, HF, "ann", "hf_secret")
        with pytest.raises(VaultError, match="link the account again"):
            await Accounts(bus, other).token(user, HF)
        found = await Accounts(bus, other).account(user, HF)
        assert isinstance(found, Account)


@pytest.mark.parametrize("role", [role for role in ROLES if role not in (OPERATOR, AUDITOR)])
@pytest.mark.parametrize("provider", [HF, GITHUB])
async def test_only_some_services_may_read_and_only_the_gateway_writes(
    nats_server: NatsServer, role: str, provider: Provider
) -> None:
    async with nats_server.connected(role) as bus:
        bucket = Bucket(bus, CREDENTIAL_BUCKETS[provider])
        if role in READERS[provider]:
            await bucket.all()
        else:
            with pytest.raises((StoreError, PermissionDenied)):
                await bucket.all()
        if role != "gateway":
            with pytest.raises((StoreError, PermissionDenied)):
                await bucket.put("someone", b"x")


async def test_values_have_revisions(nats_server: NatsServer) -> None:
    one, two = name("k"), name("k")
    async with nats_server.connected("gateway") as bus:
        bucket = Bucket(bus, CREDENTIAL_BUCKETS[GITHUB])
        first = await bucket.put(one, b"1", expected=0)
        assert first is not None
        assert await bucket.put(one, b"2", expected=0) is None
        second = await bucket.put(one, b"2", expected=first)
        await bucket.put(two, b"x")
        every = await bucket.all()
        assert every[one] == (b"2", second)
        assert every[two].value == b"x"
        assert await bucket.delete(one)
        assert await bucket.get(one) is None
        with pytest.raises(Rejected):
            await bucket.get("a.b.c")
        with pytest.raises(ValueError, match="at most"):
            await bucket.put(one, b"x" * (MOST_VALUE + 1))


async def test_many_keys_are_read_in_pages(fresh_nats: NatsServer) -> None:
    async with fresh_nats.connected("gateway") as bus:
        bucket = Bucket(bus, CREDENTIAL_BUCKETS[HF])
        for n in range(300):
            await bucket.put(f"k{n}", b"%d" % n)
        await bucket.delete("k7")
        every = await bucket.all()
    assert every.keys() == {f"k{n}" for n in range(300) if n != 7}
    assert every["k299"].value == b"299"
