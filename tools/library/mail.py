"""`mail.send`: a mail through the installation's SMTP server, to people that the automation names."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Annotated
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import BaseModel, BeforeValidator, Field

from contracts.errors import ToolFailed, ToolRetry, ToolUnknown, TransientError
from tools.calls import Incapable
from tools.contract import ToolContext, tool
from tools.invisible import visible
from tools.library.options import Options, options
from tools.replies import one_line

ENDPOINT = "smtp"
LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))
ADDRESS = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$"

MailAddress = Annotated[str, Field(pattern=ADDRESS)]
# A header ends with its line: a line break in a subject would begin another header.
Line = Annotated[str, BeforeValidator(lambda given: " ".join(visible(given).split()) if isinstance(given, str) else given)]


class MailOptions(Options):
    """sender: whom mails come from. to: who may get them: addresses, and `@example.com` for all of a domain."""

    sender: MailAddress
    name: Line = ""
    to: Annotated[frozenset[Annotated[str, Field(pattern=r"^[^@\s]*@[^@\s]+$")]], Field(min_length=1)]


class SendMail(BaseModel):
    to: Annotated[list[MailAddress], Field(min_length=1, max_length=50)]
    subject: Annotated[Line, Field(min_length=1, max_length=300)]
    text: Annotated[str, Field(max_length=100_000)]


class SentMail(BaseModel):
    message_id: str
    accepted: list[str]
    refused: list[str]


@tool("mail.send", effect="egress", guarantee="guarded", irreversible=True, seconds=30)
async def send(arguments: SendMail, context: ToolContext) -> SentMail:
    """Send a plain-text mail to people whom the automation names."""
    chosen = options(MailOptions, "mail.send", context)
    recipients = list(dict.fromkeys(arguments.to))
    if strangers := [address for address in recipients if not _named(address, chosen.to)]:
        raise ToolRetry(f"`to`: {strangers[0]} may not be written to; {', '.join(sorted(chosen.to))} may")
    message = composed(arguments, chosen, context.key)
    refused = await _handed_over(_client(context), message, chosen.sender, recipients)
    accepted = [address for address in recipients if address not in refused]
    return SentMail(message_id=str(message["Message-ID"]), accepted=accepted, refused=refused)


def composed(arguments: SendMail, chosen: MailOptions, key: str) -> EmailMessage:
    """Return the mail. Its Message-ID comes from the key: two mails of one effect are the same mail to whoever gets both."""
    message = EmailMessage(policy=SMTP_POLICY)
    try:
        message["From"] = Address(chosen.name, addr_spec=chosen.sender)
        # Readers do not learn each other's addresses.
        message["To"] = arguments.to[0] if len(arguments.to) == 1 else "undisclosed-recipients:;"
        message["Subject"] = arguments.subject
        message["Date"] = datetime.now(UTC)
        message["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{chosen.sender.rpartition('@')[2]}>"
        message.set_content(arguments.text, cte="quoted-printable")
    except (ValueError, MessageError) as error:
        raise ToolRetry(f"that cannot be written as a mail ({type(error).__name__})") from None
    return message


def _named(address: str, known: frozenset[str]) -> bool:
    low = address.lower()
    return any(low == one.lower() or (one.startswith("@") and low.endswith(one.lower())) for one in known)


def _client(context: ToolContext) -> aiosmtplib.SMTP:
    known = ", ".join(sorted(context.endpoints)) or "none"
    if not (given := context.endpoints.get(ENDPOINT)):
        raise Incapable(f"no endpoint {ENDPOINT!r} is configured on this worker; there are: {known}")
    url = urlsplit(given)
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise Incapable(f"the endpoint {ENDPOINT!r} is of the form smtp://host:port or smtps://user:password@host")
    safe = url.scheme == "smtps"
    return aiosmtplib.SMTP(
        hostname=url.hostname,
        port=url.port or (465 if safe else 587 if url.username else 25),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=safe,
        # A password does not go over a line that anyone can read.
        start_tls=True if url.username and not safe and url.hostname not in LOOPBACK else None,
        timeout=max(0.5, (context.deadline - datetime.now(UTC)).total_seconds() - 1),
    )


async def _handed_over(client: aiosmtplib.SMTP, message: EmailMessage, sender: str, recipients: Sequence[str]) -> list[str]:
    """Hand the mail over and return who was refused.

    Raises: TransientError where it surely did not go, ToolFailed where it was refused, ToolUnknown where it may have gone.
    """
    handing = False
    try:
        await client.connect()
        await client.mail(sender)
        refused = [address for address in recipients if not await _takes(client, address)]
        if len(refused) == len(recipients):
            raise ToolFailed(f"the mail server refused every recipient: {', '.join(refused)[:300]}")
        handing = True
        await client.data(message.as_bytes())
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise _meant(error, handing=handing) from None
    finally:
        client.close()
    return refused


async def _takes(client: aiosmtplib.SMTP, address: str) -> bool:
    try:
        await client.rcpt(address)
    except aiosmtplib.SMTPRecipientRefused as error:
        if error.code < 500:
            raise
        return False
    return True


def _meant(error: Exception, *, handing: bool) -> Exception:
    # An answer with a code is the server's word that it did not take the mail; a line that broke after DATA says nothing.
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0
    # A server may say the user's name where it refuses a login.
    told = "" if isinstance(error, aiosmtplib.SMTPAuthenticationError) else f": {one_line(str(error), 200)}"
    said = f"{type(error).__name__}{told}"
    if 500 <= code < 600:
        return ToolFailed(f"the mail server refused ({said})")
    if handing and not 400 <= code < 500:
        return ToolUnknown(f"the mail may have gone out: the connection broke while it was handed over ({said})")
    return TransientError(f"no mail was sent ({said})")
