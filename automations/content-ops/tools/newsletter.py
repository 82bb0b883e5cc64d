"""Newsletters by mail, and the correction after one that should not have gone out."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import BaseModel, Field

from tools import ToolContext, ToolFailed, ToolUnknown, TransientError, tool

from .pieces import CALLS, Nothing, digest, endpoint, patience
from .publishing import Publish, Published, slot
from .text import Line, one_line


class SendNewsletter(Publish):
    recipients: list[str] = Field(min_length=1, max_length=500)


class SentNewsletter(Published):
    title: str
    recipients: list[str]
    """Those the mail server took."""
    refused: list[str]


class CorrectNewsletter(BaseModel):
    ref: str
    title: Line
    recipients: list[str]


@tool("newsletter.send", effect="egress", guarantee="guarded", compensate_with="newsletter.correct", due=slot, seconds=CALLS)
async def send_newsletter(arguments: SendNewsletter, context: ToolContext) -> SentNewsletter:
    """Send a draft as a newsletter by mail."""
    message = _mail(context, arguments.title, arguments.text, arguments.recipients)
    refused = await _send(context, message, arguments.recipients)
    took = [address for address in arguments.recipients if address not in refused]
    return SentNewsletter(channel="newsletter", ref=message["Message-ID"], title=arguments.title, recipients=took, refused=refused)


@tool("newsletter.correct", effect="egress", guarantee="guarded", irreversible=True, seconds=CALLS)
async def correct_newsletter(arguments: CorrectNewsletter, context: ToolContext) -> Nothing:
    """Send a correction after a newsletter that should not have gone out."""
    text = f"Please disregard our newsletter “{arguments.title}”: it was sent by mistake.\n"
    message = _mail(context, f"Correction: {arguments.title}", text, arguments.recipients)
    message["In-Reply-To"] = message["References"] = arguments.ref
    await _send(context, message, arguments.recipients)
    return Nothing()


def _mail(context: ToolContext, subject: str, text: str, recipients: Sequence[str]) -> EmailMessage:
    newsletter = context.settings["newsletter"]
    if strangers := sorted(set(recipients) - set(newsletter["to"])):
        raise ToolFailed(f"{', '.join(strangers)} are not readers of the newsletter; settings.newsletter.to names them")
    message = EmailMessage(policy=SMTP_POLICY)
    message["From"], message["Subject"] = newsletter["from"], subject
    # Readers do not learn each other's addresses.
    message["To"] = recipients[0] if len(recipients) == 1 else "undisclosed-recipients:;"
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = f"<{digest(context.key)[:32]}@{newsletter['from'].rpartition('@')[2].rstrip('>')}>"
    message.set_content(text, cte="quoted-printable")
    return message


async def _send(context: ToolContext, message: EmailMessage, recipients: Sequence[str]) -> list[str]:
    """Hand a mail to the server and return the addresses it refused.

    Raises: TransientError where the mail surely did not go, ToolFailed where the server refused it, ToolUnknown where it may have gone.
    """
    client = _smtp(context)
    data = False
    try:
        await client.connect()
        await client.mail(str(message["From"].addresses[0].addr_spec))
        refused = [address for address in recipients if not await _takes(client, address)]
        if len(refused) == len(recipients):
            raise ToolFailed(f"the mail server refused every recipient: {', '.join(refused)}")
        data = True
        await client.data(message.as_bytes())
    except (aiosmtplib.SMTPException, OSError) as error:
        raise _mail_error(error, handed_over=data) from None
    finally:
        client.close()
    return refused


def _mail_error(error: Exception, *, handed_over: bool) -> Exception:
    said = f"{type(error).__name__}: {one_line(str(error))[:200]}"
    # An answer with a code is the server's word that it did not take the mail; anything else after DATA says nothing.
    code = error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0
    if 500 <= code < 600:
        return ToolFailed(f"the mail server refused ({said})")
    if handed_over and not 400 <= code < 500:
        return ToolUnknown(f"the mail may have gone out: the connection broke while it was handed over ({said})")
    return TransientError(f"no mail was sent ({said})")


async def _takes(client: aiosmtplib.SMTP, address: str) -> bool:
    try:
        await client.rcpt(address)
    except aiosmtplib.SMTPRecipientRefused as error:
        if error.code < 500:
            raise
        return False
    return True


def _smtp(context: ToolContext) -> aiosmtplib.SMTP:
    url = urlsplit(endpoint(context, "smtp"))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise ToolFailed("the endpoint `smtp` is of the form smtp://host:port or smtps://user:password@host")
    return aiosmtplib.SMTP(
        hostname=url.hostname,
        port=url.port or (465 if url.scheme == "smtps" else 587 if url.username else 25),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=url.scheme == "smtps",
        timeout=patience(context),
    )
