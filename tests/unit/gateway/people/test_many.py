"""Ten thousand users and a thousand sessions: what a gateway holds of them, and how it starts."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from pathlib import Path

import pytest

from contracts.subjects import ACCOUNTS_BUCKET
from services.gateway.people.keys import SignInKeys
from services.gateway.people.ports import Came
from services.gateway.people.records import User
from services.gateway.people.signins import Lifetimes, SignedIn
from services.gateway.people.state import PeopleState
from services.gateway.people.trail import Trail
from services.gateway.people.users import Users
from services.keys.vault import KeyFile
from services.store.kv import Bucket
from tests.support.nats import NatsServer

USERS, SESSIONS = 10_000, 1_000
AT_ONCE = 64
MOST_BYTES = 3_000
"""Of memory, for a user; a session has about as much."""


def held(bucket: Bucket, key: KeyFile) -> tuple[PeopleState, Users, SignedIn]:
    state, trail = PeopleState(bucket), Trail("gateway-1")
    users = Users(state, trail)
    keys = SignInKeys(state, key)
    return state, users, SignedIn(state, users, keys, trail, Lifetimes(1800, 604_800), secure=False)


@pytest.mark.long
async def test_ten_thousand_users_need_little(fresh_nats: NatsServer, tmp_path: Path) -> None:
    key = KeyFile(tmp_path / "master.key")
    key.ensure()
    async with fresh_nats.connected("gateway") as bus:
        bucket = Bucket(bus, ACCOUNTS_BUCKET)
        _, users, signed_in = held(bucket, key)
        places = asyncio.Semaphore(AT_ONCE)

        async def make(number: int) -> None:
            async with places:
                hash_ = f"$argon2id$v=19$m=65536,t=2,p=1${'x' * 22}${number:043}"
                user = User(name=f"user{number}", email=f"user{number}@example.com", password=hash_)
                assert await users._table.put(user.name, user, 0)
                if number < SESSIONS:
                    await signed_in.begin(user, Came("password", "192.0.2.1", "Mozilla/5.0"))

        await asyncio.gather(*(make(number) for number in range(USERS)))

        gc.collect()
        tracemalloc.start()
        state, later, sessions = held(bucket, key)
        async with asyncio.timeout(120):
            await state.refresh()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert size / (USERS + SESSIONS) < MOST_BYTES
        assert later.get("user9999") is not None
        assert len(sessions.of_user("user7")) == 1

        listed, after = 0, 0
        while True:
            page, following = later.page(after, 500)
            listed += len(page)
            if following is None:
                break
            after = following
        assert listed == USERS
