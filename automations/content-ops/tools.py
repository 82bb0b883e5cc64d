"""Tools of content-ops: read notes, write briefs and drafts, keep the calendar, publish each piece, and take it back."""

import asyncio
import hashlib
import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from itertools import count, pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit

import aiosmtplib
import httpx2
import yaml
from bs4 import BeautifulSoup
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel, BeforeValidator, Field

from tools import Due, ToolContext, ToolFailed, ToolRetry, ToolUnknown, TransientError, tool

KINDS = (".md", ".markdown", ".txt", ".html", ".htm")
MAX_FILES, MAX_BYTES, MAX_TAGS, SHOWN = 200, 2_000_000, 20_000, 8
QUOTES = {"blog": 5, "newsletter": 4, "social": 3}
# A document refuses a second write of the same key for as long as it exists.
KEPT = timedelta(days=3650)
# What a service that takes Idempotency-Key can be expected to remember.
REMEMBERED = timedelta(hours=24)
# After a crash a claim waits until its attempt must have ended, so these are as short as their work allows.
QUICK, CALLS = 10.0, 20.0
Channel = Literal["blog", "newsletter", "social"]


def clean(text: str) -> str:
    """Drop what a reader cannot see: controls, zero-width and bidi marks, tag characters, variation selectors, private use."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", " ").replace("\u2029", " ")
    return "".join(
        c for c in text
        if c in "\n\t" or (unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cs", "Cn") and not "\ufe00" <= c <= "\ufe0f"
                           and not "\U000e0100" <= c <= "\U000e01ef")
    )  # fmt: skip


def one_line(text: str) -> str:
    """Return clean text without line breaks, as a title or a mail's header wants it."""
    return " ".join(clean(text).split())


# Before the length is checked: a text that nobody can see is an empty one.
Line = Annotated[str, BeforeValidator(lambda given: one_line(given) if isinstance(given, str) else given)]
Body = Annotated[str, BeforeValidator(lambda given: clean(given) if isinstance(given, str) else given)]


class UnreadableNote(Exception):
    """A file that is left out; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A paragraph, and the line of the file on which it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Note:
    """A source file as far as it can be quoted. ``id`` is its path below the folder."""

    id: str
    title: str
    sha256: str
    passages: tuple[Passage, ...]


class Quote(BaseModel):
    """A sentence of a note, word for word, and the lines it stands on."""

    text: str
    first: int
    last: int


class Nothing(BaseModel):
    """An undo has no output."""


class ReadSources(BaseModel):
    folder: str
    theme: Line


class NoteShown(BaseModel):
    id: str
    title: str
    excerpt: str
    sha256: str


class Sources(BaseModel):
    notes: list[NoteShown]
    """At most 8, the closest to the theme first."""
    left_out: list[str]


@tool("sources.read", effect="read", guarantee="pure")
async def read_sources(arguments: ReadSources, context: ToolContext) -> Sources:
    """Read the notes of a folder and return those closest to a theme."""
    return await asyncio.to_thread(_read_sources, Path(arguments.folder), arguments.theme, context.deadline - timedelta(seconds=5))


class ReadNote(BaseModel):
    source: str = Field(description="id of the note")


class NoteText(BaseModel):
    title: str
    text: str
    """At most 20,000 characters."""


@tool("note.read", effect="read", guarantee="pure", seconds=QUICK)
async def read_whole(arguments: ReadNote, context: ToolContext) -> NoteText:
    """Read one note as a whole."""
    note = await asyncio.to_thread(_source, Path(str(context.input["sources"])), arguments.source)
    return NoteText(title=note.title, text=_prose(note)[:20_000])


def _read_sources(folder: Path, theme: str, until: datetime) -> Sources:
    notes, left_out = read_folder(folder, until)
    if not notes:
        why = f"; left out: {'; '.join(left_out[:5])}" if left_out else ""
        raise ToolFailed(f"{folder} has no note that can be read: {', '.join(KINDS)} are{why}")
    wanted = words(theme)
    notes.sort(key=lambda note: (-3 * len(wanted & words(note.title)) - len(wanted & words(_prose(note))), note.id))
    shown = [NoteShown(id=note.id, title=note.title, excerpt=_excerpt(note), sha256=note.sha256) for note in notes[:SHOWN]]
    return Sources(notes=shown, left_out=left_out)


def read_folder(folder: Path, until: datetime) -> tuple[list[Note], list[str]]:
    """Return the notes below a folder by path, and what was left out with the reason. Raises: ToolFailed.

    until: when to stop reading, UTC; a thread cannot be stopped from outside.
    """
    if not folder.exists():
        raise ToolFailed(f"the source folder {folder} does not exist: give one as `sources`, by a path the worker can see")
    if not folder.is_dir():
        raise ToolFailed(f"{folder} is not a folder: give the folder that holds the notes as `sources`")
    notes: list[Note] = []
    left_out: list[str] = []
    for nth, path in enumerate(_files(folder)):
        if nth == MAX_FILES or datetime.now(UTC) > until:
            reason = f"{MAX_FILES} files are the most" if nth == MAX_FILES else "there was no time left"
            left_out.append(f"everything after {notes[-1].id if notes else 'the first'}: {reason}")
            break
        try:
            notes.append(read_note(folder, path))
        except (UnreadableNote, OSError) as error:
            reason = str(error) if isinstance(error, UnreadableNote) else error.strerror or type(error).__name__
            left_out.append(f"{ascii(str(path.relative_to(folder)))[1:-1]}: {reason}")
    return notes, left_out


def _files(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in sorted(files) if not name.startswith(".") and name.lower().endswith(KINDS))


def read_note(folder: Path, path: Path) -> Note:
    """Read one file. Raises: UnreadableNote or OSError."""
    name = path.relative_to(folder).as_posix()
    if one_line(name) != name:
        raise UnreadableNote("its name has characters that cannot be shown")
    # A link may point out of the folder, and a pipe would never end.
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise UnreadableNote("it is not a file of this folder")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise UnreadableNote(f"it has {size / 1e6:.1f} MB; {MAX_BYTES / 1e6:.0f} MB is the most")
    data = path.read_bytes()
    if b"\0" in data:
        raise UnreadableNote("it is a binary file")
    try:
        text = clean(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableNote("it is not UTF-8 text") from None
    read = _markdown if path.suffix.lower() in (".md", ".markdown") else _plain if path.suffix.lower() == ".txt" else _html
    try:
        title, passages = read(text)
    except RecursionError:
        raise UnreadableNote("it is nested too deeply") from None
    if not passages:
        raise UnreadableNote("it has no prose")
    return Note(name, one_line(title)[:120] or path.stem, hashlib.sha256(data).hexdigest(), tuple(passages))


def _markdown(text: str) -> tuple[str, list[Passage]]:
    if text.startswith("---\n") and (end := text.find("\n---\n", 3)) > 0:
        # Front matter is no prose; its lines stay counted.
        text = "\n" * (text.count("\n", 0, end) + 2) + text[end + 5 :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    inlines = [(before.type, _inline(token), token.map) for before, token in pairwise(tokens) if token.type == "inline"]
    title = next((words for kind, words, _ in inlines if kind == "heading_open"), "")
    return title, [Passage(at[0] + 1, words) for kind, words, at in inlines if kind == "paragraph_open" and at and words.strip()]


def _inline(token: Token) -> str:
    # Raw HTML, images and the targets of links are dropped: what is quoted is text.
    said = {"softbreak": "\n", "hardbreak": "\n"}
    spoken = ("text", "text_special")
    return "".join(
        child.content if child.type in spoken else f"`{child.content}`" if child.type == "code_inline" else said.get(child.type, "")
        for child in token.children or ()
    )


def _plain(text: str) -> tuple[str, list[Passage]]:
    passages: list[Passage] = []
    begun = 0
    lines = text.split("\n")
    for nth, line in enumerate([*lines, ""]):
        if not line.strip():
            if nth > begun:
                passages.append(Passage(begun + 1, "\n".join(lines[begun:nth])))
            begun = nth + 1
    first = passages[0].text if passages else ""
    is_title = "\n" not in first and len(first) <= 80 and not first.rstrip().endswith((".", ":"))
    return (first, passages[1:] or passages) if is_title else ("", passages)


def _html(text: str) -> tuple[str, list[Passage]]:
    if text.count("<") > MAX_TAGS:
        # The parser's time grows with the square of the depth.
        raise UnreadableNote(f"it has more than {MAX_TAGS:,} tags")
    soup = BeautifulSoup(text, "html.parser")
    unseen = "script, style, template, noscript, nav, [hidden], [aria-hidden=true], [style*='display:none' i], [style*='display: none' i]"
    heading = soup.find("h1") or soup.title
    title = heading.get_text(" ") if heading else ""
    for element in soup.select(unseen):
        element.extract()
    blocks = ["p", "li", "blockquote", "dd"]
    found = soup.find_all(blocks)
    # Only the innermost say something of their own. Looked at from below: from above it takes the square of the depth.
    outer = {id(block.find_parent(blocks)) for block in found}
    found = [block for block in found if id(block) not in outer and block.get_text().strip()]
    return title, [Passage(block.sourceline or 1, block.get_text()) for block in found]


def _prose(note: Note) -> str:
    return "\n".join(passage.text for passage in note.passages)


def _excerpt(note: Note) -> str:
    text = one_line(next((passage.text for passage in note.passages if len(passage.text) >= 60), note.passages[0].text))
    return text if len(text) <= 200 else text[:200].rsplit(" ", 1)[0] + " …"


def words(text: str) -> set[str]:
    """Return the beginnings of a text's longer words, so that `publish` meets `publishing`."""
    return {word[:6] for word in re.findall(r"\w{4,}", text.lower())}


# Ends of sentences in Latin and in East Asian writing, and the marks that may close around them.
STOPS, WIDE_STOPS, CLOSING = ".!?\u2026", "\u3002\uff01\uff1f", '"\u201d\u2019)`'
SENTENCE = re.compile(rf"\S.*?(?:[{WIDE_STOPS}]|[{STOPS}][{CLOSING}]*(?=\s+[^\sa-z\u00df-\u00ff]|\s*$)|$)", re.DOTALL)
WHOLE = re.compile(rf"[{STOPS}{WIDE_STOPS}][{CLOSING}]*$")
# A link or an address in a note may be bait; a sentence with one is never quoted.
BAIT = re.compile(r"https?:|www\.|\w@\w|javascript:|data:", re.IGNORECASE)

# Legends, versions and code make true quotes, but dull ones: they are taken where there is nothing else.
NO_PROSE = re.compile(r"^[\d\W]|[\[\]{}<>=|*\\]")


def sentences(note: Note) -> list[Quote]:
    """Return the sentences of a note that may be quoted, in its order."""
    found: list[Quote] = []
    for passage in note.passages:
        for match in SENTENCE.finditer(passage.text[:20_000]):
            first = passage.line + passage.text.count("\n", 0, match.start())
            text = " ".join(match.group().split())
            if len(text) <= 300 and WHOLE.search(text) and not BAIT.search(text):
                found.append(Quote(text=text, first=first, last=first + match.group().count("\n")))
    return found


def pick(note: Note, wanted: set[str], most: int) -> list[Quote]:
    """Return the sentences closest to the wanted words, in the note's order. Raises: ToolFailed where there is none."""
    known = sentences(note)
    if not known:
        raise ToolFailed(f"{note.id} has no whole sentence without a link that could be quoted: choose another source")
    full = [quote for quote in known if 40 <= len(quote.text) <= 240 and not NO_PROSE.search(quote.text)] or known
    best = sorted(range(len(full)), key=lambda i: (-len(wanted & words(full[i].text)), i))[:most]
    return [full[i] for i in sorted(best)]


class WriteBrief(BaseModel):
    source: str = Field(description="id of the note")
    title: Line = Field(min_length=1, max_length=120)
    channel: Channel


class Brief(BaseModel):
    brief: str
    title: str
    quotes: int


class DeleteBrief(BaseModel):
    brief: str


@tool("brief.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="brief.delete", seconds=QUICK, quick=True)
async def write_brief(arguments: WriteBrief, context: ToolContext) -> Brief:
    """Write the brief of one piece: its title, its channel and the sentences of the note it will quote."""
    folder, theme = Path(str(context.input["sources"])), one_line(str(context.input["theme"]))
    note = await asyncio.to_thread(_source, folder, arguments.source)
    title = headline(arguments.title, note)
    quotes = pick(note, words(title) | words(theme), QUOTES[arguments.channel])
    body = {
        "title": title,
        "channel": arguments.channel,
        "theme": theme,
        "source": {"path": note.id, "title": note.title, "sha256": note.sha256},
        "quotes": [quote.model_dump() for quote in quotes],
        "lineage": context.lineage,
    }
    kept = await context.documents.put("brief", _id(context), body, writer=context.key)
    return Brief(brief=kept.id, title=kept.body["title"], quotes=len(kept.body["quotes"]))


def _source(folder: Path, source: str) -> Note:
    path = folder / source
    if ".." in Path(source).parts or not path.is_file() or not source.lower().endswith(KINDS):
        known = ", ".join(found.relative_to(folder).as_posix() for _, found in zip(range(SHOWN), _files(folder), strict=False))
        raise ToolRetry(f"there is no note {source!r}; some are {known}")
    try:
        return read_note(folder, path)
    except (UnreadableNote, OSError) as error:
        raise ToolFailed(f"{source} cannot be read: {error}") from None


# Words that any note has, so that a title made of them says nothing about this one.
FILLER = words(
    "about after again always another anything because been before being both down each even ever every everything first from have here "
    "into just last like made make many more most much must never next once only open other over said same should some such take than that "
    "their them then there these they thing things this those through time under very want well were what when where which while will with "
    "without would your yourself"
)


def headline(title: str, note: Note) -> str:
    """Return the title cut at a word, or the note's own where most words of the given one are not in the note."""
    title = title if len(title) < 70 or " " not in title else title[:70].rsplit(" ", 1)[0]
    title = title.strip(" ,;:-\u2013\u2014\"\u201c\u201d'")
    # A small model likes to copy the title of its example.
    said = words(title) - FILLER
    return title if said and 2 * len(said & (words(_prose(note)) | words(note.title))) >= len(said) else note.title


@tool("brief.delete", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def delete_brief(arguments: DeleteBrief, context: ToolContext) -> Nothing:
    """Delete a brief."""
    await context.documents.delete("brief", arguments.brief)
    return Nothing()


class WriteDraft(BaseModel):
    brief: str
    text: Body | None = Field(None, min_length=1, max_length=20_000, description="the piece in your own words, instead of the template")


class Draft(BaseModel):
    draft: str
    title: str
    text: str


class DeleteDraft(BaseModel):
    draft: str


@tool("draft.write", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="draft.delete", seconds=QUICK, quick=True)
async def write_draft(arguments: WriteDraft, context: ToolContext) -> Draft:
    """Write the draft of a brief: a template arranges its quotes for its channel, unless a text is given."""
    brief = await _document(context, "brief", arguments.brief)
    name = "" if arguments.text else str(context.settings["templates"][brief["channel"]])
    if arguments.text:
        text, template = _own_words(arguments.text), ""
    else:
        text, template = await asyncio.to_thread(_render, name, {**brief, "settings": context.settings})
    most = int(context.settings["most_characters"][brief["channel"]])
    if len(text) > most:
        raise ToolFailed(f"the {brief['channel']} draft has {len(text)} characters; {most} is the most: give it a shorter title")
    lines = [[quote["first"], quote["last"]] for quote in brief["quotes"] if quote["text"] in text or _markdown_safe(quote["text"]) in text]
    body = {
        "title": brief["title"],
        "channel": brief["channel"],
        "text": text,
        "brief": arguments.brief,
        "source": {**brief["source"], "lines": lines},
        "template": {"name": name, "sha256": template},
        "lineage": context.lineage,
    }
    kept = await context.documents.put("draft", _id(context), body, writer=context.key)
    return Draft(draft=kept.id, title=kept.body["title"], text=kept.body["text"])


def _own_words(text: str) -> str:
    if found := BAIT.search(text):
        raise ToolRetry(f"`text`: leave out links and addresses, like the one at character {found.start()}: a note's may be bait")
    return text.strip() + "\n"


def _markdown_safe(text: str) -> str:
    """Escape what Markdown would read as markup; whole code spans stay as they are."""
    # Where backticks do not pair plainly, a reader of Markdown may pair them otherwise than we do.
    plain = "``" not in text and text.count("`") % 2 == 0
    parts = text.split("`") if plain else [text.replace("`", "'")]
    return "`".join(part if nth % 2 else re.sub(r"([\\*\[\]])", r"\\\1", part).replace("<", "&lt;") for nth, part in enumerate(parts))


def _render(name: str, values: dict[str, Any]) -> tuple[str, str]:
    """Render a template of this folder; return the text and the template's SHA-256."""
    folder = Path(__file__).parent / "templates"
    environment = ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(folder), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["markdown"] = _markdown_safe
    try:
        text = environment.get_template(name).render(values).strip() + "\n"
    except TemplateNotFound:
        raise ToolFailed(f"{folder} has no template {name!r}; settings.templates names it") from None
    except TemplateError as error:
        line = f":{error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
        raise ToolFailed(f"{folder / name}{line}: {error.message or type(error).__name__}") from None
    return text, hashlib.sha256((folder / name).read_bytes()).hexdigest()


@tool("draft.delete", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def delete_draft(arguments: DeleteDraft, context: ToolContext) -> Nothing:
    """Delete a draft."""
    await context.documents.delete("draft", arguments.draft)
    return Nothing()


def _id(context: ToolContext) -> str:
    # Run ids that begin alike are common (they begin with the time), so the whole id and the step are hashed.
    return f"{context.lineage[:8]}-{hashlib.sha256(f'{context.lineage}/{context.step}'.encode()).hexdigest()[:10]}"


async def _own(context: ToolContext, kind: str, id: str) -> dict[str, Any]:
    """Return a document that this run made, or that a fork took over: an edit may not point at another run's."""
    found = await _document(context, kind, id)
    if found["lineage"] not in (context.lineage, *context.ancestors):
        raise ToolFailed(f"the {kind} {id!r} belongs to another run: keep the one that the step had")
    return found


async def _document(context: ToolContext, kind: str, id: str) -> dict[str, Any]:
    found = await context.documents.get(kind, id)
    if found is None:
        raise ToolFailed(f"there is no {kind} {id!r}")
    return found.body


class PlaceEntry(BaseModel):
    draft: str
    channel: Channel


class Entry(BaseModel):
    entry: str
    at: str
    """UTC, ISO 8601."""


class RemoveEntry(BaseModel):
    entry: str


@tool("calendar.place", effect="write", guarantee="idempotent", key_ttl=KEPT, compensate_with="calendar.remove", seconds=QUICK, quick=True)
async def place_entry(arguments: PlaceEntry, context: ToolContext) -> Entry:
    """Put a draft on the editorial calendar, at the run's next free slot."""
    id = _id(context)
    # Read first: a person may have moved the entry since, and that must stand.
    if kept := await context.documents.get("calendar", id):
        return Entry(entry=id, at=kept.body["at"])
    draft = await _document(context, "draft", arguments.draft)
    nth = await _take_slot(context, id)
    first, every = (int(context.input.get(name, context.settings[name])) for name in ("first_slot_seconds", "slot_every_seconds"))
    at = (datetime.now(UTC) + timedelta(seconds=first + nth * every)).isoformat(timespec="seconds")
    named = {"title": draft["title"], "channel": arguments.channel, "at": at, "draft": arguments.draft}
    made = await context.documents.put(
        "calendar", id, {**named, "lineage": context.lineage, "state": "planned"}, writer=context.key, version=0
    )
    return Entry(entry=id, at=made.body["at"])


async def _take_slot(context: ToolContext, entry: str) -> int:
    """Take the run's first free slot and return its number; pieces that are placed at the same time get different ones."""
    for n in count():
        id = f"{context.lineage}-{n}"
        held = await context.documents.get("slot", id)
        if held and held.body["entry"] != entry:
            continue
        try:
            # No document has version 0, so this creates the slot or fails where another step was faster.
            await context.documents.put("slot", id, {"entry": entry}, writer=context.key, version=0)
        except ToolFailed:
            continue
        return n
    raise AssertionError


@tool("calendar.remove", effect="write", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def remove_entry(arguments: RemoveEntry, context: ToolContext) -> Nothing:
    """Take an entry off the calendar and free its slot."""
    for slot in await context.documents.list("slot"):
        if slot.body["entry"] == arguments.entry:
            await context.documents.delete("slot", slot.id)
    await context.documents.delete("calendar", arguments.entry)
    return Nothing()


class Publish(BaseModel):
    """What is shown to the person is what is published: title and text are arguments, not looked up."""

    draft: str
    entry: str
    title: Line = Field(min_length=1, max_length=120)
    text: Body = Field(min_length=1, max_length=20_000)


async def slot(arguments: Publish, context: ToolContext) -> Due:
    """Return when a piece is due. Raises: ToolFailed where its entry is gone or held back."""
    entry = await _own(context, "calendar", arguments.entry)
    await _own(context, "draft", arguments.draft)
    if entry["state"] != "planned":
        raise ToolFailed(f"the calendar's entry {arguments.entry} is {entry['state']}, not planned")
    try:
        at = datetime.fromisoformat(entry["at"])
    except (TypeError, ValueError):
        raise ToolFailed(
            f"the calendar's entry {arguments.entry} has no time but {entry['at']!r}; write 2030-01-31T09:00:00+00:00"
        ) from None
    grace = timedelta(seconds=int(context.settings["grace_seconds"]))
    return Due(at if at.tzinfo else at.replace(tzinfo=UTC), context.settings["missed"], grace)


class Published(BaseModel):
    channel: Channel
    ref: str


class UnpublishPost(BaseModel):
    ref: str


@tool("blog.publish", effect="egress", guarantee="idempotent", key_ttl=KEPT, compensate_with="blog.unpublish", due=slot, seconds=QUICK)
async def publish_post(arguments: Publish, context: ToolContext) -> Published:
    """Publish a draft in the site folder, as Markdown with front matter."""
    draft, entry = await _own(context, "draft", arguments.draft), await _own(context, "calendar", arguments.entry)
    head = {
        "title": arguments.title,
        "date": entry["at"],
        "site": context.settings["site"]["title"],
        "source": draft["source"],
        "key": context.key,
    }
    # The key is part of the name: two runs may have the same title, and neither may overwrite the other's post.
    slug = re.sub(r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", arguments.title).encode("ascii", "ignore").decode().lower()).strip("-")
    ref = f"site/posts/{slug[:60].rstrip('-') or 'post'}-{_digest(context.key)[:8]}.md"
    text = f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n{arguments.text}"
    await asyncio.to_thread(_write_once, context.folder / ref, text)
    return Published(channel="blog", ref=ref)


def _write_once(path: Path, text: str) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole file appears at once or not at all, whenever the process dies.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".part", encoding="utf-8", delete=False) as part:
        part.write(text)
        part.flush()
        os.fsync(part.fileno())
    Path(part.name).chmod(0o644)
    Path(part.name).replace(path)


@tool("blog.unpublish", effect="egress", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=QUICK)
async def unpublish_post(arguments: UnpublishPost, context: ToolContext) -> Nothing:
    """Take a post off the site folder."""
    site = (context.folder / "site").resolve()
    path = (context.folder / arguments.ref).resolve()
    if not path.is_relative_to(site):
        raise ToolFailed(f"{arguments.ref} is not a post of the site")
    await asyncio.to_thread(path.unlink, missing_ok=True)
    return Nothing()


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


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
    message["Message-ID"] = f"<{_digest(context.key)[:32]}@{newsletter['from'].rpartition('@')[2].rstrip('>')}>"
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
    url = urlsplit(_endpoint(context, "smtp"))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise ToolFailed("the endpoint `smtp` is of the form smtp://host:port or smtps://user:password@host")
    return aiosmtplib.SMTP(
        hostname=url.hostname,
        port=url.port or (465 if url.scheme == "smtps" else 587 if url.username else 25),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        use_tls=url.scheme == "smtps",
        timeout=_patience(context),
    )


def _endpoint(context: ToolContext, name: str) -> str:
    if not context.endpoints.get(name):
        raise ToolFailed(f"no endpoint {name!r} is configured on this worker; there are: {', '.join(sorted(context.endpoints)) or 'none'}")
    return context.endpoints[name].rstrip("/")


def _patience(context: ToolContext) -> float:
    return max(0.5, min(30.0, (context.deadline - datetime.now(UTC)).total_seconds() - 1))


class Posted(Published):
    post: str


class DeletePost(BaseModel):
    post: str


@tool("social.post", effect="egress", guarantee="idempotent", key_ttl=REMEMBERED, compensate_with="social.delete", due=slot, seconds=CALLS)
async def post_social(arguments: Publish, context: ToolContext) -> Posted:
    """Post a draft on the social network."""
    reply = await _call(context, "POST", "/posts", {"title": arguments.title, "text": arguments.text})
    try:
        post = reply.json()
        return Posted(channel="social", ref=str(post.get("url") or post["id"]), post=str(post["id"]))
    except (ValueError, AttributeError, LookupError, TypeError):
        raise ToolUnknown(f"the social network answered {reply.status_code} but did not name the post") from None


@tool("social.delete", effect="egress", guarantee="idempotent", key_ttl=KEPT, irreversible=True, seconds=CALLS)
async def delete_social(arguments: DeletePost, context: ToolContext) -> Nothing:
    """Delete a post from the social network; one that is gone already is fine."""
    await _call(context, "DELETE", f"/posts/{quote(arguments.post, safe='')}", fine=(404, 410))
    return Nothing()


async def _call(context: ToolContext, method: str, path: str, body: Any = None, *, fine: Sequence[int] = ()) -> httpx2.Response:
    """Call the social network once.

    Raises: TransientError where it surely did nothing yet, ToolFailed where it refused, ToolUnknown where nobody saw the answer.
    """
    content = None if body is None else json.dumps(body, ensure_ascii=False, sort_keys=True).encode()
    headers = {"Idempotency-Key": context.key, "Content-Type": "application/json"}
    try:
        async with httpx2.AsyncClient(timeout=httpx2.Timeout(_patience(context), connect=5.0)) as client:
            reply = await client.request(method, _endpoint(context, "social") + path, content=content, headers=headers)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise TransientError(f"the social network cannot be reached ({type(error).__name__})") from None
    except httpx2.TransportError as error:
        raise ToolUnknown(f"the social network did not answer ({type(error).__name__})") from None
    if reply.is_success or reply.status_code in fine:
        return reply
    if reply.status_code in (408, 409, 429) or reply.status_code >= 500:
        raise TransientError(f"the social network said {reply.status_code}", retry_after=_retry_after(reply))
    raise ToolFailed(f"the social network refused with {reply.status_code}: {one_line(reply.text)[:200]}")


def _retry_after(reply: httpx2.Response) -> float | None:
    said = reply.headers.get("retry-after", "")
    return float(said) if re.fullmatch(r"\d{1,5}(\.\d+)?", said) else None
