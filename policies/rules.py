"""Rules in CEL: what may run, what a person must see, what is refused, and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cel_expr_python import cel

from contracts.errors import BadInput
from policies.automation import Rule

# A fact a rule may name -> its CEL type. Money is integer micro-dollars; nothing here reads a clock or the network,
# so that a decision can be judged again years later.
FACTS: dict[str, Any] = {
    "tool": cel.Type.STRING,
    "effect": cel.Type.STRING,
    "guarantee": cel.Type.STRING,
    "reversible": cel.Type.BOOL,
    "arguments": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "input": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "taint": cel.Type.List(cel.Type.STRING),
    "automation": cel.Type.STRING,
    "tenant": cel.Type.STRING,
    "cost_micros": cel.Type.INT,
    "budget_left_micros": cel.Type.INT,
}
STRICTNESS = ("allow", "require_approval", "deny")


class Condition(Protocol):
    """A compiled expression."""

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Evaluate it. Raises: ValueError where it cannot be evaluated or is not a truth value."""
        ...


class Engine(Protocol):
    """The two methods a rule engine needs; see `Cel` for ours."""

    def compile(self, expression: str) -> Condition:
        """Check names and types. Raises: BadInput."""
        ...


class _CelCondition:
    def __init__(self, expression: Any) -> None:
        self._expression = expression

    def holds(self, facts: Mapping[str, Any]) -> bool:
        try:
            value = self._expression.eval(data=facts)
        except RuntimeError as error:
            # Facts that CEL cannot hold, such as text with half a surrogate pair, are raised and not returned.
            raise ValueError(str(error)) from None
        if value.type().name() != "bool" and value.type() != cel.Type.BOOL:
            # An error is a value in CEL, and it must never read as "no rule against it".
            raise ValueError(str(value.value()))
        return bool(value.value())


class Cel:
    """CEL by cel-expr-python."""

    def __init__(self) -> None:
        self._environment = cel.NewEnv(variables=FACTS)

    def compile(self, expression: str) -> Condition:
        """Check names and types. Raises: BadInput with the position and the known facts."""
        try:
            compiled = self._environment.compile(expression)
        except RuntimeError as error:
            # Below each mistake CEL draws the expression with an arrow; the position says it in one line.
            reason = "; ".join(re.findall(r"(?m)ERROR: <input>:(.+?)(?: \[INVALID_ARGUMENT\])?$", str(error))) or str(error)
            raise BadInput(f"{reason} (facts are {', '.join(sorted(FACTS))})") from None
        if compiled.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
            raise BadInput(f"{expression!r} is not a truth value")
        return _CelCondition(compiled)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rules say of one action: the outcome, the rules that matched, and why."""

    outcome: str
    matched: tuple[str, ...]
    because: str

    def as_json(self) -> dict[str, Any]:
        """Return it as a record keeps it."""
        return {"outcome": self.outcome, "rules": list(self.matched), "because": self.because}


class Rules:
    """The rules of one bundle. The strictest match wins; no match denies, and so does a rule that fails."""

    def __init__(self, rules: Sequence[Rule], engine: Engine | None = None) -> None:
        """Raises: BadInput naming the rule that does not compile."""
        engine = engine or Cel()
        self._compiled: list[tuple[Rule, Condition]] = []
        for rule in rules:
            try:
                self._compiled.append((rule, engine.compile(rule.when)))
            except BadInput as error:
                raise BadInput(f"rule {rule.id}: {error}") from None

    def judge(self, facts: Mapping[str, Any], *, asked: bool = False) -> Judgement:
        """Judge one action. asked: the plan itself wants a person, which may only tighten.

        An irreversible action passes a person unless an allowing rule names its tool.
        """
        matched: list[Rule] = []
        for rule, condition in self._compiled:
            try:
                if condition.holds(facts):
                    matched.append(rule)
            except ValueError as error:
                return Judgement("deny", (rule.id,), f"rule {rule.id} could not be evaluated: {error}")
        if not matched:
            return Judgement("deny", (), "no rule allows it")
        winner = max(matched, key=lambda rule: STRICTNESS.index(rule.outcome))
        ids = tuple(rule.id for rule in matched)
        if winner.outcome == "allow" and asked:
            return Judgement("require_approval", ids, "the plan asks for a person here")
        if winner.outcome == "allow" and not facts["reversible"] and not any(facts["tool"] in rule.irreversible for rule in matched):
            return Judgement("require_approval", ids, "it cannot be undone and no rule names it")
        return Judgement(winner.outcome, ids, winner.because)
