"""Remembering: what an automation keeps of its work beyond the run that did it."""

from collections.abc import Mapping
from typing import Any

from contracts.errors import PermanentError
from database import Tx
from ledger import effects, records, steps
from ledger.runs import RunRow
from ledger.steps import StepRow
from memory import episodes, facts
from memory.episodes import NewEpisode
from memory.storing import NewFact
from memory.writes import WriteKey
from policies.automation import Remember
from policies.bundles import Bundle
from policies.prompts import render

SHOWN = 200  # characters of a complaint


async def remember(tx: Tx, bundle: Bundle, run: RunRow) -> None:
    """Keep one fact for each step that is done, stands, and whose tool the bundle's `memory.remember` names, in the close's transaction.

    Each write has the step's key, so a repetition keeps nothing twice. What cannot be kept (a template that cannot be rendered, a memory
    that refuses writes) costs the fact, never the run's end.
    """
    if not bundle.settings.memory.remember:
        return
    work = await _work(tx, run)
    for nth, wanted in enumerate(bundle.settings.memory.remember):
        for step in [step for step in work.values() if step["tool"] == wanted.tool and step["stands"]]:
            try:
                async with tx.savepoint():
                    await _keep(tx, bundle, run, work, step, wanted, WriteKey(run.lineage, step["step"], nth))
            except PermanentError as error:
                body = {"event": "not remembered", "tool": wanted.tool, "why": str(error)[:SHOWN]}
                await records.append(tx, f"{run.lineage}/{step['step']}/remember/{nth}", "configuration", run.lineage, step["step"], body)


async def _keep(
    tx: Tx, bundle: Bundle, run: RunRow, work: Mapping[str, dict[str, Any]], step: dict[str, Any], wanted: Remember, key: WriteKey
) -> None:
    recipe = step["step"].rpartition(".")[0]
    siblings = {id.rpartition(".")[2]: other for id, other in work.items() if id.rpartition(".")[0] == recipe} if recipe else {}
    values = {"input": run.input, "settings": bundle.settings.settings, "siblings": siblings, **step}
    body, subject = render(wanted.body, values).strip(), render(wanted.subject, values).strip()
    said = NewEpisode(body, session=run.lineage, speaker=bundle.automation, origin="agent", subject=subject)
    (source,) = await episodes.append(tx, key, [said])
    sources = (source,) if source else ()
    fact = NewFact(
        body, scope=wanted.scope, kind=wanted.kind, subject=subject, session=run.lineage, speaker=bundle.automation, sources=sources
    )
    await facts.write(tx, key, [fact])


async def _work(tx: Tx, run: RunRow) -> dict[str, dict[str, Any]]:
    """Return the run's steps by their ids, each with what it was really called with; `stands` where it is done and was not undone."""
    acted = {effect.step: effect for effect in await effects.of_run(tx, run.lineage) if effect.undoes is None}
    found: dict[str, dict[str, Any]] = {}
    for step in await steps.of_run(tx, run.lineage):
        effect = acted.get(step.step)
        found[step.step] = {
            "step": step.step,
            "tool": step.tool,
            "arguments": effect.arguments if effect else step.arguments,
            "output": step.output or {},
            "stands": _stands(step) and (effect is None or effect.state == "done"),
        }
    return found


def _stands(step: StepRow) -> bool:
    # What a fork inherited was remembered by the run that did it.
    return step.status == "done" and step.inherited is None
