"""A process that has imported everything and makes workers by forking: hundreds of them are killed, and imports take seconds.

`python -m tests.chaos.nursery` with a worker's words: a line on its standard input makes a worker and answers `born PID`; the end
of each is answered with `ended PID CODE`. When its input ends, so do all its workers.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from temporalio.worker._worker import load_default_build_id

from tests.chaos import worker

ALIVE: set[int] = set()


def main() -> None:
    """Make workers until the input ends."""
    # The SDK names its build by a hash of all code that is loaded, which takes as long as the imports; it is kept.
    load_default_build_id()
    signal.signal(signal.SIGCHLD, _reap)
    ours, nobodys = os.pipe()
    for _ in sys.stdin:
        if (child := os.fork()) == 0:
            os.close(nobodys)
            _work(ours)
        ALIVE.add(child)
        _say(f"born {child}")
    for child in ALIVE:
        os.kill(child, signal.SIGKILL)


def _work(parent: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(2, 1)
    os.close(0)
    # Nothing is ever written to it: it ends when the nursery is gone, however that came, and so does this.
    threading.Thread(target=lambda: os.read(parent, 1) or os._exit(1), daemon=True).start()
    worker.main()
    os._exit(0)


def _reap(number: int, frame: FrameType | None) -> None:
    while ALIVE:
        try:
            child, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not child:
            return
        ALIVE.discard(child)
        _say(f"ended {child} {os.waitstatus_to_exitcode(status)}")


def _say(line: str) -> None:
    # Straight to the pipe: a signal may come in the middle of a buffered write.
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
