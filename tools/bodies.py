"""The body of an HTTP answer, read no further than it may be long."""

import zlib

import httpx2


class Unreadable(Exception):
    """An answer came that is too long, or packed in a way that cannot be undone."""


async def read(response: httpx2.Response, most: int) -> bytes:
    """Return the body, unpacked. Raises: Unreadable."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise Unreadable(f"packed its answer as {coding[:40]!r}, which nobody asked for")
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > most:
        raise Unreadable(f"has an answer of more than {most} bytes")
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16) if "gzip" in coding else None
    body, raw = bytearray(), 0
    try:
        async for part in response.aiter_raw():
            raw += len(part)
            # Never more than may be kept, however little it was packed into.
            body += unpacking.decompress(part, most + 1 - len(body)) if unpacking else part
            if raw > most or len(body) > most:
                raise Unreadable(f"has an answer of more than {most} bytes")
    except zlib.error:
        raise Unreadable("packed its answer wrongly") from None
    if unpacking and raw and (not unpacking.eof or unpacking.unused_data):
        raise Unreadable("packed its answer wrongly")
    return bytes(body)
