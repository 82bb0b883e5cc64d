"""Tools of LangChain and functions of Semantic Kernel as tools of an automation: known by what they have, with neither imported."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from contracts.errors import BadInput, ToolFailed, ToolRetry, ToolUnknown
from tools.contract import Effect, Guarantee, Tool, ToolCall, ToolContext
from tools.invisible import visible, visible_in
from tools.shapes import shape, without

Run = Callable[[dict[str, Any], ToolContext], Awaitable[Any]]
OURS = "perdure"
"""Under this name a LangChain tool that takes a `RunnableConfig` finds our `ToolContext`, in `configurable`."""
TAKEN = ("self", "kernel", "arguments", "metadata")
"""Arguments that a kernel function's own `invoke` has."""


class Output(BaseModel):
    """What a tool of another framework answered: any JSON."""

    model_config = ConfigDict(frozen=True)

    output: Any = None


def langchain(
    given: Any,
    *,
    effect: Effect,
    guarantee: Guarantee,
    name: str | None = None,
    description: str | None = None,
    result: type[BaseModel] = Output,
    key_argument: str | None = None,
    **declared: Any,
) -> ToolCall:
    """Declare a LangChain tool as one of this automation.

    result: a model of what it answers, where that is an object; without one it stands under `output`. key_argument: takes the
    effect's key, and a model never sees it. declared: the other fields of `Tool`.
    Raises: BadInput where it is no such tool, or the declaration contradicts itself.
    """
    if not all(hasattr(given, one) for one in ("name", "description", "ainvoke", "args_schema")):
        raise BadInput(f"langchain() takes a LangChain tool, with `args_schema` and `ainvoke`, and this is a {type(given).__name__}")
    # What LangChain shows to a model: without the arguments that it injects.
    schema = getattr(given, "tool_call_schema", None) or given.args_schema

    async def run(arguments: dict[str, Any], context: ToolContext) -> Any:
        _check(given.name, schema, arguments)
        try:
            return await given.ainvoke(arguments, config={"configurable": {OURS: context}})
        except Exception as error:
            # By it a tool says that it failed; whatever else it raises says nothing of what it has done.
            if any(kind.__name__ == "ToolException" for kind in type(error).__mro__):
                raise ToolFailed(str(error)[:2000]) from error
            raise

    return _declared(
        name or given.name, description or given.description, _json_schema(schema), run, result, key_argument,
        effect=effect, guarantee=guarantee, **declared,
    )  # fmt: skip


def semantic_kernel(
    given: Any,
    kernel: Any,
    *,
    effect: Effect,
    guarantee: Guarantee,
    name: str | None = None,
    description: str | None = None,
    result: type[BaseModel] = Output,
    key_argument: str | None = None,
    **declared: Any,
) -> ToolCall:
    """Declare a Semantic Kernel function as a tool of this automation; see `langchain`.

    kernel: the one that it is invoked with.
    """
    parameters = getattr(getattr(given, "metadata", None), "parameters", None)
    if parameters is None or not hasattr(given, "invoke"):
        raise BadInput(f"semantic_kernel() takes a kernel function, with `metadata` and `invoke`, and this is a {type(given).__name__}")
    if clash := sorted({one.name for one in parameters} & set(TAKEN)):
        raise BadInput(f"the kernel function {given.name} has an argument {clash[0]!r}, which cannot be handed on: rename it")

    async def run(arguments: dict[str, Any], context: ToolContext) -> Any:
        answer = await given.invoke(kernel, **arguments)
        return None if answer is None else answer.value

    plugin = getattr(given, "plugin_name", None)
    return _declared(
        name or (f"{plugin}.{given.name}" if plugin else given.name), description or given.description, _of(parameters), run, result,
        key_argument, effect=effect, guarantee=guarantee, **declared,
    )  # fmt: skip


def _declared(
    name: str,
    description: str | None,
    schema: Mapping[str, Any],
    run: Run,
    result: type[BaseModel],
    key_argument: str | None,
    **declared: Any,
) -> ToolCall:
    async def call(arguments: Any, context: ToolContext) -> BaseModel:
        given = arguments.model_dump(mode="json")
        if key_argument is not None:
            given[key_argument] = context.key
        return _output(name, await run(given, context), result, declared["effect"] == "read")

    made = Tool(
        name=name,
        description=visible(description or ""),
        call=call,
        arguments=shape(f"{name} arguments", without(name, visible_in(dict(schema)), key_argument)),
        result=result,
        **declared,
    )
    if problems := made.problems():
        raise BadInput(f"tool {name} cannot be registered: {'; '.join(problems)}")
    call.__perdure_tool__ = made  # pyright: ignore[reportFunctionMemberAccess]
    return call


def _output(name: str, value: Any, result: type[BaseModel], reads: bool) -> BaseModel:
    try:
        found = to_jsonable_python(value, inf_nan_mode="null")
        return result(output=found) if result is Output else result.model_validate(found)
    except (PydanticSerializationError, ValidationError) as error:
        message = f"{name} answered what is not the {result.__name__} it declares ({str(error).splitlines()[0][:200]})"
        raise ToolFailed(message) if reads else ToolUnknown(f"{message}; it may have acted") from None


def _check(name: str, schema: Any, arguments: Mapping[str, Any]) -> None:
    """Let the tool's own model look at the arguments first: an error of the same kind out of the call would say nothing of the cause."""
    if not hasattr(schema, "model_validate"):
        return
    try:
        schema.model_validate(arguments)
    except ValidationError as error:
        said = "; ".join(f"`{'.'.join(map(str, item['loc']))}`: {item['msg']}" for item in error.errors(include_url=False)[:5])
        raise ToolRetry(f"the arguments do not fit {name}: {said}") from None


def _json_schema(schema: Any) -> dict[str, Any]:
    if isinstance(schema, Mapping):
        return dict(schema)
    for method in ("model_json_schema", "schema"):
        if hasattr(schema, method):
            return dict(getattr(schema, method)())
    raise BadInput(f"its `args_schema` is neither a model nor a JSON schema, but a {type(schema).__name__}")


def _of(parameters: Any) -> dict[str, Any]:
    shown = [one for one in parameters if getattr(one, "include_in_function_choices", True)]
    properties = {one.name: dict(one.schema_data or {"description": one.description or ""}) for one in shown}
    return {"type": "object", "properties": properties, "required": [one.name for one in shown if one.is_required]}
