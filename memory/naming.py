"""Names as they are written: found whatever their case, the order of their words and their escapes, and taken out of texts."""

import itertools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from memory import escapes
from memory.bounds import UNSEEN
from memory.escapes import Plain

MARK = "[forgotten]"
# The vowels of many scripts are marks, which are no `\w`: without them one name would be another's.
MARKS = UNSEEN.sub("", "".join(chr(code) for code in range(0x300, 0x1F000) if unicodedata.category(chr(code)) in ("Mn", "Mc")))
WORD = re.compile(rf"[^\W_](?:[^\W_]|[{MARKS}])*")
FORMS = ("NFC", "NFKC", "NFD")
ORDERED = range(2, 5)
"""How many words a name has whose words may stand in any order."""
BLANK = r"[ \t\r\n\u00a0\u2002-\u200a\u202f\u205f\u3000+]"
# Words in another order are a name only where they stand side by side: 'we told Quimby. Zelda knew' names nobody, and
# 'Quimby met Zelda' two. After an initial a dot ends no sentence. `name_gap` of migration 0020 has the same.
GAP = re.compile(rf"{BLANK}{{0,2}},{BLANK}{{0,2}}|{BLANK}{{1,2}}|[._-]")
AFTER_INITIAL = re.compile(rf"\.{BLANK}{{0,2}},?{BLANK}{{0,2}}|{GAP.pattern}")


def normal(name: str) -> str:
    """Return a name as it is compared: its words in one case, whatever stands between them and whatever of it nobody sees."""
    return " ".join(WORD.findall(bare(name).casefold()))


def bare(text: str) -> str:
    """Return a text as a reader sees it: without what is invisible, in plain letters for those that only look otherwise."""
    return text if text.isascii() else unicodedata.normalize("NFKC", UNSEEN.sub("", text))


def keys(name: str) -> set[str]:
    """Return what a normal name is known by: itself, its words in any order, and its accounts."""
    words = name.split()
    if len(words) not in ORDERED:
        return {name, account(words)} if len(words) > 1 else {name}
    return {name, unordered(words), account(words), account([words[-1], *words[:-1]])}


def account(words: Sequence[str]) -> str:
    """Return the key of whoever's account or address has the words of a name written as one."""
    return "@" + "".join(words)


def unordered(words: Iterable[str]) -> str:
    """Return the key of a name whose words may stand in any order."""
    return "," + " ".join(sorted(words))


def wholes(written: str) -> set[str]:
    """Return the keys of whoever is meant by what is written, as a whole."""
    found = set[str]()
    for seen in {bare(written), bare(escapes.read(written))}:
        words = list(WORD.finditer(seen))
        found |= {normal(seen), normal(" ".join(_humps(seen)))}
        plain = [_plain(word) for word in words]
        if len(words) in ORDERED and all(_beside(seen, words, plain)):
            found.add(unordered(plain))
        if len(words) == 1 and len(parts := _humps(words[0].group())) in ORDERED:
            found.add(unordered(map(normal, parts)))
    return found


def goes_by(name: str, written: str) -> bool:
    """Tell whether what is written, as a whole, is this normal name."""
    return not keys(name).isdisjoint(wholes(written))


def candidates(text: str, sizes: Collection[int]) -> set[str]:
    """Return the keys of all who may be named in a text. sizes: how many words their names have."""
    found = set[str]()
    for reading in _readings(text):
        found |= {key for _, _, key in _spans(reading(text).text, sizes)}
    return found


def without(text: str, names: Iterable[str]) -> str:
    """Return a text with a mark in place of each of these normal names, wherever it stands as whole words.

    Where a name is hidden among invisible letters, or in letters that only look like its own, the text becomes `bare`.
    """
    return cleared(text, set[str]().union(*map(keys, names)))


def cleared(text: str, known: set[str]) -> str:
    """Return the same, without those who are known by these keys."""
    sizes = {len(key.split()) for key in known if not key.startswith("@")}
    for reading in _readings(text):
        seen = reading(text)
        if hits := [(first, last) for first, last, key in _spans(seen.text, sizes) if key in known]:
            text = _marked(text if seen.starts else seen.text, [seen.written(*hit) for hit in hits])
    return text


def spellings(subject: str) -> list[str]:
    """Return the ways in which a database that compares letter by letter, in any case, may find a name: words, one space between."""
    seen = UNSEEN.sub("", subject)
    forms = {form(unicodedata.normalize(kind, seen)) for kind in FORMS for form in (str.lower, str.casefold)}
    return sorted({" ".join(WORD.findall(form)) for form in forms})


def _composed(text: str) -> Plain:
    # A letter and its accent are one word's one letter, however they were typed.
    return Plain(unicodedata.normalize("NFC", text))


def _bare(text: str) -> Plain:
    return Plain(bare(text))


def _read(text: str) -> Plain:
    return Plain(bare(escapes.read(text)))


def _readings(text: str) -> list[Callable[[str], Plain]]:
    # As it is written, then as it is read. Where escapes are read, what is beside the name stays written as it is, if it can.
    found: list[Callable[[str], Plain]] = [_composed] if text.isascii() else [_composed, _bare]
    return [*found, escapes.located, _read] if escapes.escaped(text) and escapes.read(text) != text else found


def _spans(text: str, sizes: Collection[int]) -> Iterator[tuple[int, int, str]]:
    """Yield everything that may be a name of so many words, the longest first: where it begins, where it ends, its key."""
    words = list(WORD.finditer(text))
    plain = [_plain(word) for word in words]
    beside = _beside(text, words, plain) if any(size in ORDERED for size in sizes) else []
    for size in sorted(sizes, reverse=True):
        ordered = size in ORDERED
        for at in range(len(words) - size + 1):
            first, last, named = words[at].start(), words[at + size - 1].end(), plain[at : at + size]
            yield first, last, " ".join(named)
            if ordered and all(beside[at : at + size - 1]):
                yield first, last, unordered(named)
        for word in words if size > 1 else []:
            # `ZeldaQuimby` is two words, and as a whole only: a part of it is no name, no more than `Donald` is in `McDonald`.
            if not word.group().islower() and len(parts := _humps(word.group())) == size and _capitals(parts):
                yield word.start(), word.end(), normal(" ".join(parts))
                if size in ORDERED:
                    yield word.start(), word.end(), unordered(map(normal, parts))
    for word, name in zip(words, plain, strict=True) if "@" in text else []:
        if "@" in (text[word.end() : word.end() + 1], text[word.start() - 1 : word.start()]):
            yield word.start(), word.end(), account([name])


def _beside(text: str, words: Sequence[re.Match[str]], plain: Sequence[str]) -> list[bool]:
    """Tell of each word but the last whether the next one stands right beside it."""
    gaps = ((text[one.end() : other.start()], name) for (one, other), name in zip(itertools.pairwise(words), plain, strict=False))
    return [gap == " " or (AFTER_INITIAL if len(name) == 1 else GAP).fullmatch(gap) is not None for gap, name in gaps]


def _plain(word: re.Match[str]) -> str:
    return word.group().lower() if word.group().isascii() else normal(word.group())


def _humps(word: str) -> list[str]:
    cuts = [nth for nth in range(1, len(word)) if word[nth].isupper() and word[nth - 1].islower()]
    return [word[first:last] for first, last in itertools.pairwise([0, *cuts, len(word)])]


def _capitals(parts: Sequence[str]) -> bool:
    # Small letters after the first one; the last part may be in capitals altogether.
    return all(part[1:] == part[1:].lower() for part in parts[:-1]) and parts[-1][1:] in (parts[-1][1:].lower(), parts[-1][1:].upper())


def _marked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    # What is taken, letter by letter: a text may have a name ten thousand times.
    taken, kept, at = bytearray(len(text)), list[str](), 0
    free = [span for span in spans if _take(taken, *span)]
    for first, last in sorted(free):
        kept += [text[at:first], MARK]
        at = last
    return "".join([*kept, text[at:]])


def _take(taken: bytearray, first: int, last: int) -> bool:
    if any(taken[first:last]):
        return False
    taken[first:last] = b"\1" * (last - first)
    return True
