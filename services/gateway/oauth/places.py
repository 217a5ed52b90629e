"""Where everything is: made of settings, never of what a request says of its host."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from contracts.scopes import MCP_CALL, SCOPES

RESOURCE = "/.well-known/oauth-protected-resource"
RESOURCE_MCP = f"{RESOURCE}/mcp"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
AUTHORIZE = "/oauth/authorize"
CONSENT = "/oauth/consent"
TOKEN = "/oauth/token"
REGISTER = "/oauth/register"
REVOKE = "/oauth/revoke"
JWKS = "/oauth/jwks.json"
SIGN_IN = "/signin"
PATHS = frozenset(
    {
        *(RESOURCE, RESOURCE_MCP, SERVER, OPENID),
        *(AUTHORIZE, CONSENT, TOKEN, REGISTER, REVOKE, JWKS, SIGN_IN),
    }
)
NAME = "MetaMCP Orchestrator"
_METHODS = ["none", "client_secret_basic", "client_secret_post"]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class OAuthPlaces(NamedTuple):
    """The address that others know this installation by."""

    issuer: str

    @property
    def resource(self) -> str:
        """What tokens are for (RFC 8707): the MCP door, and all below it."""
        return f"{self.issuer}/mcp"

    @property
    def metadata(self) -> str:
        """Where the resource's metadata is (RFC 9728)."""
        return f"{self.issuer}{RESOURCE_MCP}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return (urlsplit(self.issuer).hostname or "") in _LOOPBACK

    def challenge(self, refused: bool) -> str:
        """`WWW-Authenticate` of a 401 at the MCP door."""
        error = 'error="invalid_token", ' if refused else ""
        return f'Bearer {error}resource_metadata="{self.metadata}", scope="{MCP_CALL}"'

    def insufficient(self, scope: str) -> str:
        """`WWW-Authenticate` of a 403: what a token would have to be good for."""
        return (
            f'Bearer error="insufficient_scope", scope="{scope}",'
            f' resource_metadata="{self.metadata}"'
        )

    def of_resource(self, server: str) -> dict[str, Any]:
        """The resource's metadata; `server`: whose tokens are taken."""
        return {
            "resource": self.resource,
            "authorization_servers": [server],
            "scopes_supported": [MCP_CALL],
            "bearer_methods_supported": ["header"],
            "resource_name": NAME,
        }

    def of_server(self, *, documents: bool) -> dict[str, Any]:
        """The authorization server's metadata (RFC 8414); `documents`: whether clients may be
        known by their descriptions."""
        at = self.issuer
        return {
            "issuer": at,
            "authorization_endpoint": f"{at}{AUTHORIZE}",
            "token_endpoint": f"{at}{TOKEN}",
            "registration_endpoint": f"{at}{REGISTER}",
            "revocation_endpoint": f"{at}{REVOKE}",
            "jwks_uri": f"{at}{JWKS}",
            "scopes_supported": list(SCOPES),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "token_endpoint_auth_methods_supported": _METHODS,
            "revocation_endpoint_auth_methods_supported": _METHODS,
            "code_challenge_methods_supported": ["S256"],
            "client_id_metadata_document_supported": documents,
            "authorization_response_iss_parameter_supported": True,
        }


def places(public_url: str, listening: str) -> OAuthPlaces | None:
    """Where we are: as the settings say, or on this machine alone. None: nobody has said."""
    if public_url:
        return OAuthPlaces(public_url.rstrip("/"))
    found = OAuthPlaces(listening.rstrip("/"))
    return found if found.on_loopback else None
