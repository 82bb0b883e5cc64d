"""What models are saying, on its way to the pages that watch: each page is told every piece once, and what ended."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ledger.said_so_far import Key, Saying


@dataclass(frozen=True, slots=True)
class Progress:
    """What is new of the calls of one run, and which are gone. whole: there are no others."""

    lineage: str
    calls: tuple[Saying, ...]
    gone: tuple[Key, ...] = ()
    whole: bool = False


@dataclass
class Heard:
    """What was heard of each call: how it stands, and how many characters of it."""

    calls: dict[Key, tuple[str, int]] = field(default_factory=dict[Key, tuple[str, int]])

    @property
    def said(self) -> dict[Key, int]:
        """How many characters of each call."""
        return {key: said for key, (_, said) in self.calls.items()}

    def keep(self, lineages: Iterable[str]) -> None:
        """Forget what belongs to other runs."""
        kept = set(lineages)
        self.calls = {key: known for key, known in self.calls.items() if key[0] in kept}

    def moved(self, calls: Iterable[Saying]) -> list[Progress]:
        """Take all that is being said now, and return what has changed, for each run."""
        now = {call.key: call for call in calls}
        fresh = [call for key, call in now.items() if self.calls.get(key) != (call.state, call.said)]
        gone = [key for key in self.calls if key not in now]
        self.calls = {key: (call.state, call.said) for key, call in now.items()}
        lineages = sorted({call.lineage for call in fresh} | {key[0] for key in gone})
        return [
            Progress(lineage, tuple(call for call in fresh if call.lineage == lineage), tuple(key for key in gone if key[0] == lineage))
            for lineage in lineages
        ]

    def hear(self, progress: Progress) -> Progress | None:
        """Return what one page has not been told yet of a progress; each text is then only what goes on from there."""
        fresh: list[Saying] = []
        for call in progress.calls:
            state, said = self.calls.get(call.key, ("", 0))
            more = call.said - said
            if more < 0 or (state, more) == (call.state, 0):
                continue
            self.calls[call.key] = call.state, call.said
            # What lies further back than the text goes was missed.
            fresh.append(replace(call, text=call.text[-more:] if more else "", anew=not state or more > len(call.text)))
        for key in progress.gone:
            self.calls.pop(key, None)
        return replace(progress, calls=tuple(fresh)) if fresh or progress.gone or progress.whole else None
