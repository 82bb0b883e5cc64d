"""The model of the benchmarks: it answers at once, each time with another note. `python -m bench.model --port N`."""

import argparse
import re
from itertools import count
from typing import Any

from devstack import web_server
from devstack.script import Entry, Request, last_user_message
from devstack.scripted_model import ScriptedModel

NUMBERS = count()
FIFTY = re.compile(r"Take fifty steps with ([a-z.]+)\.")
ACTS = 50


def chain(tool: str) -> list[dict[str, Any]]:
    """Plan fifty notes, one after the other."""
    return [
        {"id": f"n{nth}", "tool": tool, "arguments": {"text": f"{nth}"}, "needs": [f"n{nth - 1}"] if nth else [], "why": "asked for"}
        for nth in range(ACTS)
    ]


def answer(request: Request) -> Entry:
    """Plan one note; a run that did the same thing twice would ask a person."""
    told = last_user_message(request)
    if found := FIFTY.search(told):
        return Entry.model_validate({"answer": {"steps": chain(found[1])}})
    step = {"id": "note", "tool": "loop.note", "arguments": {"text": f"note {next(NUMBERS)}"}, "why": "it is asked for"}
    done = "This is the last one." in told
    return Entry.model_validate({"answer": {"steps": [step], "done": done}})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web_server.serve(ScriptedModel(answer), parser.parse_args().port)
