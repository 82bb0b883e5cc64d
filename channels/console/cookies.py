"""What a browser carries: the name of its session, signed, and nothing else."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from itsdangerous import BadData, Signer, URLSafeTimedSerializer
from starlette.responses import Response

from contracts.errors import BadInput
from devstack.processes import write_atomically
from ledger.logins import SESSION_HOLDS
from settings import Settings

SHORTEST = 32  # characters of a key
STEPS_SECONDS = 600  # a log-in with another server in the middle


@dataclass(frozen=True, slots=True)
class Carried:
    """What a cookie says, once its signature was found good."""

    tenant: str
    session: str


class Cookies:
    """Signs and reads them. secure: whether browsers send them over HTTPS only."""

    def __init__(self, key: str, *, secure: bool) -> None:
        self._signed = URLSafeTimedSerializer(key, salt="perdure-session")
        self._steps = URLSafeTimedSerializer(key, salt="perdure-login")
        self._csrf = Signer(key, salt="perdure-csrf")
        self._secure = secure
        # With this prefix a browser takes the cookie from this very host only, never from one beside it.
        prefix = "__Host-" if secure else ""
        self.session, self.step = f"{prefix}perdure", f"{prefix}perdure-login"

    def read(self, cookie: str) -> Carried | None:
        """Return what a cookie says, or None where it is forged. Whether its session is over the ledger knows, by its own clock."""
        with suppress(BadData, ValueError, TypeError):
            tenant, session = self._signed.loads(cookie)
            return Carried(str(tenant), str(session))
        return None

    def give(self, response: Response, carried: Carried) -> None:
        """Let the browser carry a session."""
        self._set(response, self.session, self._signed.dumps([carried.tenant, carried.session]), int(SESSION_HOLDS.total_seconds()))

    def take(self, response: Response) -> None:
        """Let the browser forget its session."""
        response.delete_cookie(self.session, path="/", secure=self._secure, httponly=True, samesite="lax")

    def done(self, response: Response) -> None:
        """Let the browser forget the middle of a log-in."""
        response.delete_cookie(self.step, path="/", secure=self._secure, httponly=True, samesite="lax")

    def csrf(self, session: str) -> str:
        """Return what a form of this session has to say, and no page elsewhere can know."""
        return self._csrf.get_signature(session).decode()

    def begin(self, response: Response, step: dict[str, str]) -> None:
        """Let the browser carry the middle of a log-in."""
        self._set(response, self.step, self._steps.dumps(step), STEPS_SECONDS)

    def begun(self, cookie: str) -> dict[str, str] | None:
        """Return the middle of a log-in, None where it is forged or too old."""
        with suppress(BadData):
            return self._steps.loads(cookie, max_age=STEPS_SECONDS)
        return None

    def _set(self, response: Response, name: str, value: str, seconds: int) -> None:
        # Lax, since a person comes back from the issuer, or from a link in a chat, by following a link.
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self._secure, httponly=True, samesite="lax")


def key(settings: Settings) -> str:
    """Return what cookies are signed with: the secret, or on one machine a key that is made once and kept in the state folder.

    Raises: BadInput where there is none, or one that can be guessed.
    """
    if found := settings.secret(settings.console_key):
        if len(found) < SHORTEST:
            raise BadInput(
                f"the secret {settings.console_key} is too short: it signs cookies, so give it {SHORTEST} random characters or more"
            )
        return found
    if not settings.one_machine:
        raise BadInput(
            f"the secret {settings.console_key} is not set: it signs the console's cookies; set PERDURE_SECRET_{settings.console_key}"
        )
    return _kept(settings.state / "console" / "key")


def _kept(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, token_hex(32))
        path.chmod(0o600)
    return path.read_text()
