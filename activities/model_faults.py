"""What can go wrong with a call of a model, known without the client that makes it."""

from contracts.errors import PermanentError, TransientError


class ModelFault(TransientError):
    """A model call failed and may be tried again; ``billed`` says whether it may have been paid for.

    busy: the endpoint is well and has too much to do, which its breaker does not count.
    """

    def __init__(self, message: str, *, billed: bool, retry_after: float | None = None, busy: bool = False) -> None:
        super().__init__(message, retry_after=retry_after)
        self.billed = billed
        self.busy = busy or retry_after is not None


class Rejected(PermanentError):
    """The endpoint did not take the request, and so has done nothing for it."""
