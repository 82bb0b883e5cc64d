"""What every answer of the console says to browsers, and which names it answers to."""

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing comes from elsewhere, nothing is written into the page, and no other page may hold this one.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SAYS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
LARGEST = 4 * 1024 * 1024
"""Bytes of a request: an edit may hold a text of a megabyte, written twice."""


class Shield:
    """Wraps an application. hosts: names, without a port, that this console is reached by; others are a trick (DNS rebinding)."""

    def __init__(self, app: ASGIApp, hosts: Collection[str], *, secure: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._says = SAYS | ({"strict-transport-security": "max-age=31536000"} if secure else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._says.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        given = Headers(scope=scope)
        if _name(given.get("host", "")) not in self._hosts:
            await PlainTextResponse("this console is not reached by that name\n", 400)(scope, receive, answer)
        elif int(length if (length := given.get("content-length", "0")).isdecimal() else "0") > LARGEST or "transfer-encoding" in given:
            await PlainTextResponse(f"at most {LARGEST} bytes, with their length said first\n", 413)(scope, receive, answer)
        else:
            await self._app(scope, receive, answer)


def _name(host: str) -> str:
    return (host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host).lower()
