"""Whom a fetch may call: which URLs, which hosts, and which of them in a private network."""

from dataclasses import dataclass

import httpx2

from tools.calls import Incapable


class Refused(Incapable):
    """What was asked for may not be fetched; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Which hosts may be called. An entry is `host` or `host:port`, and of ``only`` also `*.example.com`.

    only: these and nobody else, by a redirect neither; None: whoever is public.
    private: those that may lie at an address that is not public.
    """

    only: frozenset[str] | None = None
    private: frozenset[str] = frozenset()

    def called(self, url: httpx2.URL) -> bool:
        """Return whether this host may be called at all."""
        return self.only is None or _named(url, self.only) or _below(url, self.only)

    def at_home(self, url: httpx2.URL) -> bool:
        """Return whether this host may lie in a private network."""
        return _named(url, self.private)


def parsed(text: str, onto: httpx2.URL | None = None) -> httpx2.URL:
    """Return a URL, or where another one leads to. Raises: Refused where it is none of http, or names a user."""
    try:
        url = (onto.join(text) if onto else httpx2.URL(text)).copy_with(fragment=None)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise Refused("what was to be fetched is not a URL") from None
    if url.scheme not in ("http", "https"):
        raise Refused(f"only http and https are fetched, not {url.scheme[:20]!r}")
    if url.userinfo:
        raise Refused(f"{url.host}: a URL may not name a user or a password")
    if not url.host or not 0 < port(url) < 2**16 or url.port == 0:
        raise Refused("what was to be fetched names no host, or no port of one")
    return url


def _named(url: httpx2.URL, entries: frozenset[str]) -> bool:
    host = _host(url)
    name = f"[{host}]" if ":" in host else host
    return not {entry.lower() for entry in entries}.isdisjoint((host, name, f"{name}:{port(url)}"))


def _below(url: httpx2.URL, entries: frozenset[str]) -> bool:
    host = _host(url)
    ends = [entry[1:].lower() for entry in entries if entry.startswith("*.")]
    return any(host.endswith(end) or f"{host}:{port(url)}".endswith(end) for end in ends)


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode().lower().rstrip(".")


def port(url: httpx2.URL) -> int:
    """Return the port that a URL means."""
    return url.port or (443 if url.scheme == "https" else 80)


def origin(url: httpx2.URL) -> tuple[str, bytes, int]:
    """Return what two URLs share that may know the same secrets."""
    return url.scheme, url.raw_host, port(url)


def where(url: httpx2.URL) -> str:
    """Return a host, and its port where it is not the usual one."""
    return f"{url.host}:{url.port}" if url.port else url.host
