"""How messages travel: plain JSON, so that a person can type them, and checked, so that a wrong one ends at once."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, ToJsonOptions
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from contracts.message import complaint


class StrictConverter(PydanticPayloadConverter):
    """Pydantic's converter, whose complaint is an answer: by default a bad start would be tried for ever."""

    def __init__(self) -> None:
        # What was left at its default is not written: history carries what was said, and nothing else.
        super().__init__(ToJsonOptions(exclude_unset=True))

    def from_payloads(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        """Decode. Raises: a non-retryable ApplicationError that names the fields."""
        if type_hints is None and len(payloads) > 1:
            raise _refusal(f"{len(payloads)} inputs were given; everything here takes one")
        try:
            values = super().from_payloads(payloads, type_hints)
        except ValidationError as error:
            # The SDK's own `create_payload_validation_error` hides the fields in the details, where no command line shows them.
            raise _refusal(f"{error.title} does not fit: {complaint(error)}") from None
        except Exception as error:
            raise _refusal(f"the input cannot be read ({type(error).__name__}): it has to be plain JSON") from None
        # Other encodings pass the hint by; and a hint may be a union, which is no type.
        hints: list[Any] = list(type_hints or ())
        for value, hint in zip(values, hints, strict=False):
            if isinstance(hint, type) and issubclass(hint, BaseModel) and value is not None and not isinstance(value, hint):
                raise _refusal(f"the input is {type(value).__name__} and not a JSON object: give {hint.__name__} as plain JSON")
        return values


def _refusal(why: str) -> ApplicationError:
    return ApplicationError(why, type="PayloadValidationError", non_retryable=True)


DATA_CONVERTER = DataConverter(payload_converter_class=StrictConverter)
