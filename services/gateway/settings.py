"""Settings of the gateway, section `[gateway]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from contracts.budget import DEFAULT
from services.gateway.hostauth.settings import HostClient
from services.gateway.people.providers.settings import SignInSettings, check_sign_in
from services.process.tls import set_together

MIB = 1024 * 1024


class Settings(SignInSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP and websocket server."""

    host: Annotated[str, msgspec.Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[
        int,
        msgspec.Meta(
            description="Port to listen on; 0 takes a free one. The address in use stands in"
            " `gateway.json` in the data folder.",
            ge=0,
            le=65535,
        ),
    ] = 8080
    manifests: Annotated[
        tuple[Path, ...],
        msgspec.Meta(
            description="Manifest files whose profiles this gateway offers. `metamcp up` sets what"
            " it is given; see docs/manifest.md."
        ),
    ] = ()
    tls_cert: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with the certificate for https and wss, those that lead to its"
            " CA after it. It is read at the start. Without one the gateway speaks plain HTTP."
        ),
    ] = None
    tls_key: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with that certificate's key, without a passphrase and readable"
            " by the gateway alone."
        ),
    ] = None
    allowed_origins: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Web pages that may use the API and the streams from a browser."),
    ] = ("http://localhost:3000", "http://localhost:3001")
    trusted_proxies: Annotated[
        tuple[str, ...],
        msgspec.Meta(description="Addresses whose `X-Forwarded-For` and `-Proto` are believed."),
    ] = ()
    max_body: Annotated[
        int, msgspec.Meta(description="Bytes of a JSON request body.", ge=1024, le=16 * MIB)
    ] = MIB
    blob_limit: Annotated[
        int, msgspec.Meta(description="Bytes of one upload to `/api/blobs`.", ge=1024)
    ] = 256 * MIB
    queue_bytes: Annotated[
        int,
        msgspec.Meta(
            description="Bytes that may wait for one websocket client; more closes it with 4008.",
            ge=64 * 1024,
        ),
    ] = MIB
    max_subscriptions: Annotated[
        int, msgspec.Meta(description="Subscriptions of one websocket.", ge=1, le=1024)
    ] = 32
    max_connections: Annotated[
        int, msgspec.Meta(description="Websockets at once; more are refused with 503.", ge=1)
    ] = 10_000
    max_user_connections: Annotated[
        int,
        msgspec.Meta(
            description="Websockets of one user at once, more are closed with 4029; and HTTP"
            " requests under way, more get 429. The role `admin` has no limit of its own.",
            ge=1,
        ),
    ] = DEFAULT.websockets
    max_address_connections: Annotated[
        int,
        msgspec.Meta(
            description="Connections of one address (of a /64, with IPv6) that have shown no token;"
            " the one that has waited longest makes room for the next. `trusted_proxies` have no"
            " such limit.",
            ge=1,
        ),
    ] = 512
    mcp_patience_s: Annotated[
        float,
        msgspec.Meta(
            description="Seconds after which a call at `/mcp` that is not over is answered with its"
            " task, which goes on; clients give up after a minute or so. A call may say another"
            " number.",
            gt=0,
            le=3600,
        ),
    ] = 45.0
    mcp_at_once_s: Annotated[
        float,
        msgspec.Meta(
            description="Seconds that a call at `/mcp` waits for its answer before a client that"
            " takes handles of tasks gets one.",
            ge=0,
            le=60,
        ),
    ] = 0.3
    recent_facts: Annotated[
        int, msgspec.Meta(description="Facts kept in memory for clients that resume.", ge=1)
    ] = 16_384
    recent_bytes: Annotated[
        int, msgspec.Meta(description="Bytes of facts kept in memory for clients that resume.")
    ] = 16 * MIB
    history_readers: Annotated[
        int, msgspec.Meta(description="Reads of older facts for streams at once.", ge=1, le=64)
    ] = 8
    public_url: Annotated[
        str,
        msgspec.Meta(
            description="Address under which others reach this gateway, such as"
            " `https://tasks.example.com`; Spaces fetch the public keys there. Without one they are"
            " given the keys themselves when the kit is deployed."
        ),
    ] = ""
    trace_url: Annotated[
        str,
        msgspec.Meta(
            description="Address of a trace where yours are shown, with `{trace_id}` in it, such as"
            " `https://traces.example.com/trace/{trace_id}`; the console links tasks to it."
        ),
    ] = ""
    access_token_minutes: Annotated[
        int,
        msgspec.Meta(
            description="Minutes that an access token of somebody who has signed in is good.",
            ge=1,
            le=1440,
        ),
    ] = 30
    refresh_token_days: Annotated[
        int,
        msgspec.Meta(
            description="Days that a sign-in lasts after its last use: of its refresh token, and"
            " from its beginning of its cookie.",
            ge=1,
            le=366,
        ),
    ] = 7
    oauth_issuer: Annotated[
        str,
        msgspec.Meta(
            description="Issuer of an authorization server that gives tokens for `/mcp` in place of"
            " the built-in one, such as `https://login.example.com`."
        ),
    ] = ""
    oauth_user_claim: Annotated[
        str,
        msgspec.Meta(
            description="Claim of its tokens that names a user who is new here.", min_length=1
        ),
    ] = "sub"
    oauth_create_users: Annotated[
        bool,
        msgspec.Meta(
            description="Make a user for whoever comes with a token of that server and is new here."
        ),
    ] = False
    oauth_client_documents: Annotated[
        bool,
        msgspec.Meta(
            description="Take OAuth clients whose id is the address of their description, which is"
            " fetched. Off for a gateway that does not reach the internet: they register instead."
        ),
    ] = True
    oauth_private_clients: Annotated[
        bool,
        msgspec.Meta(
            description="Fetch descriptions of OAuth clients from this machine and by http as well;"
            " only where the gateway itself is reached by loopback. For tests."
        ),
    ] = False
    github_url: Annotated[str, msgspec.Meta(description="Address of GitHub's REST API.")] = (
        "https://api.github.com"
    )
    space_kit: Annotated[
        Path | None,
        msgspec.Meta(description="Folder that is deployed to Spaces; without one, `deploy/space`."),
    ] = None
    rate_limit_requests: Annotated[
        int,
        msgspec.Meta(
            description="HTTP requests per window of one user, or of one address while nobody is"
            " signed in; 0: no limit. The role `admin` has none.",
            ge=0,
        ),
    ] = DEFAULT.requests
    rate_limit_window_s: Annotated[
        float, msgspec.Meta(description="Length of that window in seconds.", gt=0)
    ] = 60.0

    disk_reserve: Annotated[
        int,
        msgspec.Meta(
            description="Bytes of the store and of the disk that are kept for the ends of tasks and"
            " for operators, at most an eighth of the store: new tasks and uploads are refused"
            " when no more are left.",
            ge=0,
        ),
    ] = 256 * MIB

    host_clients: Annotated[
        tuple[HostClient, ...],
        msgspec.Meta(
            description="Clients that you have registered at authorization servers of MCP hosts:"
            " each with `issuer`, `client_id`, `client_secret_file`. In the environment it is JSON."
        ),
    ] = ()

    def __post_init__(self) -> None:
        """Refuse half a pair, a link that leads nowhere, and a sign-in that can't work."""
        check_trace_url(self.trace_url)
        set_together(self, "tls_cert", "tls_key")
        check_sign_in(self)


def check_trace_url(url: str) -> None:
    """Raise ValueError for a link to traces that can't work."""
    if url and not (url.startswith(("https://", "http://")) and "{trace_id}" in url):
        raise ValueError(
            "trace_url is no address with {trace_id} in it:"
            " expected one like https://traces.example.com/trace/{trace_id}"
        )
