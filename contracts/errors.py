"""Every error Perdure raises, branched by what happens next; the docstring is the default message."""


class PerdureError(Exception):
    """Something went wrong in Perdure."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class TransientError(PerdureError):
    """A fault that may pass; Temporal tries again."""

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        """retry_after: seconds the other side asked us to wait, or None."""
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(PerdureError):
    """A fault that trying again cannot mend."""


class Superseded(PermanentError):
    """A newer attempt holds this decision; this one changes nothing."""


class BadInput(PermanentError):
    """What was given cannot be used; the message says what, where and what would be right."""


class BadConfiguration(BadInput):
    """A file of an automation is wrong; the message names file and line."""


class BadAnswer(PermanentError):
    """The model's answer could not be used, even after it was told what was wrong."""


class NoPrice(BadInput):
    """A model has no known price, so its cost cannot be bounded before it is spent."""


class BudgetExceeded(PermanentError):
    """The next call could cost more than the budget has left."""


class ToolRetry(PerdureError):
    """The arguments do not fit the tool; the model should correct them."""


class ToolFailed(PerdureError):
    """The tool could not do it; the model should adapt its plan."""


class ToolUnknown(PerdureError):
    """The tool may or may not have acted; only a look-up or a person can tell."""


class StackError(PerdureError):
    """A part of the one-machine stack is missing or in the way; the message names the mend."""
