"""Somebody who says who people are, as OpenID Connect has it; tests say whom it vouches for, and how it lies."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from devstack.web_server import listening

CLIENT, SECRET = "perdure", "client-secret"


@dataclass
class Issuer:
    """``subject`` is who is at its log-in page; ``claims`` replace its own, ``signing`` is another key that
    it signs with, and with ``forging`` somebody signs who has its public key only."""

    url: str = ""
    subject: str = "s-1"
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    key: Any = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "k1"}))
    signing: Any = None
    forging: bool = False
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])

    async def configuration(self, request: Request) -> Response:
        return JSONResponse({
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
        })  # fmt: skip

    async def keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    async def authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["client_id"] == CLIENT and asked["code_challenge_method"] == "S256"
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")

    async def token(self, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        asked = self.codes.pop(form["code"], None)
        known = request.headers["authorization"] == f"Basic {base64.b64encode(f'{CLIENT}:{SECRET}'.encode()).decode()}"
        if asked is None or not known or _challenge(form["code_verifier"]) != asked["code_challenge"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": self.subject, "nonce": asked["nonce"], "iat": now, "exp": now + 300, **self.claims}
        signed = forged(self.key, claims) if self.forging else jwt.encode({"alg": "RS256", "kid": "k1"}, claims, self.signing or self.key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})


def forged(key: Any, claims: dict[str, Any]) -> str:
    """Sign with an issuer's public key as if it were a shared secret: an old trick on readers that take any algorithm."""
    head, body = (_encoded(json.dumps(part).encode()) for part in ({"alg": "HS256", "kid": "k1"}, claims))
    signature = hmac.new(key.as_pem(private=False), f"{head}.{body}".encode(), "sha256").digest()
    return f"{head}.{body}.{_encoded(signature)}"


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _challenge(verifier: str) -> str:
    return _encoded(hashlib.sha256(verifier.encode()).digest())


@asynccontextmanager
async def issuing() -> AsyncGenerator[Issuer]:
    """Serve an issuer."""
    made = Issuer()
    routes = [
        Route("/.well-known/openid-configuration", made.configuration), Route("/keys", made.keys), Route("/authorize", made.authorize),
        Route("/token", made.token, methods=["POST"]),
    ]  # fmt: skip
    async with listening(Starlette(routes=routes)) as url:
        made.url = url
        yield made
