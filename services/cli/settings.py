"""Settings of the command line's client side: which gateway, and who is asking."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `metamcp` uses to reach a gateway; without them it finds the one of its data folder."""

    url: Annotated[
        str | None,
        msgspec.Meta(description="The gateway; `METAMCP_URL` is a short form."),
    ] = None
    token: Annotated[
        str | None,
        msgspec.Meta(
            description="Bearer token; `METAMCP_TOKEN` is a short form.", extra={"secret": True}
        ),
    ] = None
    sign_ins: Annotated[
        Path | None,
        msgspec.Meta(
            description="File in which `metamcp login` keeps its sessions; without one,"
            " `metamcp/sign-ins.json` in `$XDG_CONFIG_HOME` or `~/.config`."
        ),
    ] = None
    ca: Annotated[
        Path | None,
        msgspec.Meta(
            description="File (PEM) with the CA that signed the certificate of a gateway that is"
            " named; without one, the system's CAs are believed."
        ),
    ] = None
