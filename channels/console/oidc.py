"""OpenID Connect: the authorization code flow with PKCE, `state` and `nonce`, by authlib. Source: OpenID Connect Core 1.0, section 3.1."""

import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from httpx2 import HTTPError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from contracts.errors import BadInput, TransientError

SECONDS = 10.0
LEEWAY = 120  # seconds by which two clocks may differ
# Named, since a token signed with nothing, or with the issuer's public key as a shared secret, would prove nothing.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
DISCOVERY = "/.well-known/openid-configuration"


class Issuer:
    """One issuer as one client of it sees it."""

    def __init__(self, issuer: str, client: str, secret: str) -> None:
        self._issuer = issuer
        self._client = client
        self._secret = secret

    async def begin(self, back: str) -> tuple[str, dict[str, str]]:
        """Return where to send the browser, and what to remember until it comes back. Raises: TransientError, BadInput."""
        step = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        async with self._session(back) as session:
            known = await self._metadata(session)
            where, _ = session.create_authorization_url(
                known["authorization_endpoint"], state=step["state"], nonce=step["nonce"], code_verifier=step["verifier"]
            )
        return str(where), step

    async def vouched(self, answer: str, back: str, step: dict[str, str]) -> str:
        """Return the subject whom the issuer's answer is about. Raises: BadInput where it does not prove one, TransientError."""
        said = {name: values[0] for name, values in parse_qs(urlsplit(answer).query).items()}
        if "error" in said:
            raise BadInput(f"the issuer refused: {said['error'][:80]}")
        if not secrets.compare_digest(said.get("state", "").encode(), step["state"].encode()):
            raise BadInput("the answer belongs to another log-in: begin again")
        async with self._session(back) as session:
            known = await self._metadata(session)
            token = await self._token(session, known["token_endpoint"], said.get("code", ""), step["verifier"])
            keys = await self._get(session, known["jwks_uri"])
        return self._subject(token, keys, step["nonce"])

    def _session(self, back: str) -> Any:
        return AsyncOAuth2Client(
            self._client, self._secret, scope="openid", redirect_uri=back, code_challenge_method="S256", timeout=SECONDS, trust_env=False
        )

    async def _metadata(self, session: Any) -> dict[str, Any]:
        found = await self._get(session, self._issuer.rstrip("/") + DISCOVERY)
        if found.get("issuer") != self._issuer:
            raise BadInput(
                f"the issuer calls itself {str(found.get('issuer'))[:200]!r}: PERDURE_OIDC_ISSUER has to be the same, letter by letter"
            )
        return found

    async def _get(self, session: Any, url: str) -> dict[str, Any]:
        try:
            answer = await session.request("GET", url, withhold_token=True)
            answer.raise_for_status()
            return answer.json()
        except (HTTPError, ValueError) as error:
            raise TransientError(f"the issuer cannot be asked ({type(error).__name__}): try again in a moment") from None

    async def _token(self, session: Any, url: str, code: str, verifier: str) -> str:
        try:
            found = await session.fetch_token(url, code=code, code_verifier=verifier, grant_type="authorization_code")
        except HTTPError as error:
            raise TransientError(f"the issuer cannot be asked ({type(error).__name__}): try again in a moment") from None
        except (OAuthError, ValueError) as error:
            raise BadInput(f"the issuer did not take the code ({type(error).__name__}): begin again") from None
        return str(found.get("id_token", ""))

    def _subject(self, token: str, keys: dict[str, Any], nonce: str) -> str:
        essential = {"essential": True}
        wanted: dict[str, Any] = {
            "iss": {**essential, "value": self._issuer}, "aud": {**essential, "value": self._client},
            "nonce": {**essential, "value": nonce},
            "exp": essential, "iat": essential, "sub": essential,
        }  # fmt: skip
        try:
            claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims  # pyright: ignore[reportArgumentType]
            jwt.JWTClaimsRegistry(leeway=LEEWAY, **wanted).validate(claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise BadInput(f"the issuer's word does not prove who this is ({type(error).__name__}): begin again") from None
        # With several audiences the token may be meant for another. Source: OpenID Connect Core 1.0, 3.1.3.7.
        if claims.get("azp", self._client) != self._client:
            raise BadInput("the issuer's word is meant for another client: begin again")
        return str(claims["sub"])
