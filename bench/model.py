"""The model of the benchmarks: it answers at once, each time with another note. `python -m bench.model --port N`."""

import argparse
from itertools import count

from devstack import web_server
from devstack.script import Entry, Request, last_user_message
from devstack.scripted_model import ScriptedModel

NUMBERS = count()


def answer(request: Request) -> Entry:
    """Plan one note; a run that did the same thing twice would ask a person."""
    step = {"id": "note", "tool": "loop.note", "arguments": {"text": f"note {next(NUMBERS)}"}, "why": "it is asked for"}
    done = "This is the last one." in last_user_message(request)
    return Entry.model_validate({"answer": {"steps": [step], "done": done}})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    web_server.serve(ScriptedModel(answer), parser.parse_args().port)
