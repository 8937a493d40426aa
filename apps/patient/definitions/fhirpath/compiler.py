"""Compiles FHIRPath expressions once to Python functions over decoded JSON.

The types of elements are known when an expression is compiled, so that `value.ofType(Quantity)`
reads `valueQuantity` and nothing else. A compiled part is a list of branches, one for each type
that its result may have; its function takes the environment and the focus, and returns a list.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from apps.patient.definitions.fhirpath.environment import (
    UCUM,
    Branch,
    Branches,
    Environment,
    Function,
    reference_type,
)
from apps.patient.definitions.fhirpath.functions import FUNCTIONS, LAMBDAS, OPERATORS
from apps.patient.definitions.fhirpath.logic import both, either, implies
from apps.patient.definitions.fhirpath.members import constant, identity, is_a, member
from apps.patient.definitions.fhirpath.parser import (
    Binary,
    Call,
    FhirPathError,
    Literal,
    Member,
    Node,
    Variable,
    parse,
)
from apps.patient.definitions.fhirpath.values import EMPTY, Items, boolean, truth


@cache
def compile_condition(expression: str, type_name: str) -> Callable[[Environment, Any], bool]:
    """Returns a function that tells whether an item of this type meets the invariant.

    An empty result is no breach: it says that the values cannot be compared.
    """
    evaluate = joined(_compile(parse(expression), _focus(type_name)))

    def holds(environment: Environment, item: Any) -> bool:
        return truth(evaluate(environment, [item])) is not False

    return holds


@cache
def compile_path(expression: str, type_name: str) -> Branches:
    """Returns the branches of a path from an item of this type, one for each type of its result."""
    return _compile(parse(expression), _focus(type_name))


def member_names(expression: str) -> frozenset[str]:
    """Returns the names that the expression's paths begin with; with variables, which lead
    elsewhere, every name at any depth.
    """
    first: set[str] = set()
    further: set[str] = set()
    variables: set[str] = set()
    waiting: list[Node | None] = [parse(expression)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Member):
            (further if _is_within(node.target) else first).add(node.name)
            waiting.append(node.target)
        elif isinstance(node, Call):
            waiting += [node.target, *node.arguments]
        elif isinstance(node, Binary):
            waiting += [node.left, node.right]
        elif isinstance(node, Variable):
            variables.add(node.name)
    return frozenset(first | further if variables else first)


def _is_within(target: Node | None) -> bool:
    """Tells whether a member of `target` is one of an element: a type's name is the item itself."""
    return isinstance(target, Member) and not (target.target is None and target.name[0].isupper())


def joined(branches: Branches) -> Function:
    """Returns one function for all branches."""
    if len(branches) == 1:
        return branches[0].evaluate
    functions = [branch.evaluate for branch in branches]
    if not all(branch.alone for branch in branches):
        return lambda environment, focus: [
            item for function in functions for item in function(environment, focus)
        ]
    # `value` of an Observation is one of eleven properties, of which it has one or none.
    properties = [(branch.alone, f"_{branch.alone}", branch.evaluate) for branch in branches]

    def evaluate(environment: Environment, focus: Items) -> Items:
        return [
            item
            for name, sibling, function in properties
            if any(type(each) is dict and (name in each or sibling in each) for each in focus)
            for item in function(environment, focus)
        ]

    return evaluate


def _focus(type_name: str) -> Branches:
    return (Branch(identity, type_name),)


def _compile(node: Node, focus: Branches) -> Branches:
    """Compiles a node; `focus` is what the expression starts from, `$this`."""
    if isinstance(node, Literal):
        kind = {bool: "boolean", str: "string", int: "integer"}.get(type(node.value), "decimal")
        return constant([] if node.value is None else [node.value], kind)
    if isinstance(node, Variable):
        return _variable(node.name, focus)
    if isinstance(node, Member):
        if node.target is None and node.name[0].isupper():
            # `Patient.name` of a Patient: the type that the path starts from, or one
            # that it is not.
            return tuple(branch for branch in focus if is_a(branch.type, node.name))
        target = focus if node.target is None else _compile(node.target, focus)
        return member(target, node.name)
    if isinstance(node, Call):
        return _call(node, focus)
    return _binary(node, focus)


def _variable(name: str, focus: Branches) -> Branches:
    if name == "$this":
        return focus
    if name == "%resource":
        return (Branch(lambda environment, focus: [environment.resource], ""),)
    if name == "%rootResource":
        return (Branch(lambda environment, focus: [environment.root], ""),)
    if name == "%ucum":
        return constant([UCUM], "string")
    raise FhirPathError(f"{name} is not supported")


def _call(node: Call, focus: Branches) -> Branches:
    name = node.name
    target = focus if node.target is None else _compile(node.target, focus)
    if name in ("ofType", "as", "is"):
        return _type_call(name, target, node.arguments[0])
    if name == "trace":
        return target
    if name == "resolve":
        return constant(EMPTY, "")
    if name in LAMBDAS:
        return _lambda_call(node, target)
    if name not in FUNCTIONS:
        raise FhirPathError(f"{name}() is not supported")
    function, kind = FUNCTIONS[name]
    subject = joined(target)
    # Arguments are evaluated where the whole expression starts, not on the function's target.
    arguments = [joined(_compile(argument, focus)) for argument in node.arguments]

    def evaluate(environment: Environment, focus: Items) -> Items:
        return function(
            subject(environment, focus),
            *(argument(environment, focus) for argument in arguments),
        )

    result = kind or (target[0].type if len(target) == 1 else "")
    return (Branch(evaluate, result, target[0].element if not kind and len(target) == 1 else None),)


def _lambda_call(node: Call, target: Branches) -> Branches:
    """Compiles a function whose argument is evaluated on each item of its target: `where(use =
    'home')`.
    """
    if node.name == "where":
        return tuple(
            Branch(_filter(branch, node.arguments[0]), branch.type, branch.element, branch.root)
            for branch in target
        )
    subject = joined(target)
    if node.name == "iif":
        chosen = [joined(_compile(argument, target)) for argument in node.arguments]

        def choose(environment: Environment, focus: Items) -> Items:
            index = 1 if truth(chosen[0](environment, focus)) else 2
            return chosen[index](environment, focus) if index < len(chosen) else EMPTY

        return (Branch(choose, ""),)
    inner_focus = tuple(Branch(identity, branch.type, branch.element) for branch in target)
    unique = tuple({branch.type: branch for branch in inner_focus}.values())
    if len(unique) != 1:
        unique = (Branch(identity, ""),)
    inner = joined(_compile(node.arguments[0], unique)) if node.arguments else None
    function = LAMBDAS[node.name]

    def evaluate(environment: Environment, focus: Items) -> Items:
        items = subject(environment, focus)
        if inner is None:
            return function(items, items)
        return function(items, [inner(environment, [item]) for item in items])

    return (Branch(evaluate, "boolean" if node.name != "select" else ""),)


def _filter(branch: Branch, criteria: Node) -> Function:
    subject = branch.evaluate
    resolved = _resolved_type(criteria)
    if resolved:
        return lambda environment, focus: [
            item for item in subject(environment, focus) if reference_type(item) == resolved
        ]
    inner = joined(_compile(criteria, (Branch(identity, branch.type, branch.element),)))
    return lambda environment, focus: [
        item for item in subject(environment, focus) if truth(inner(environment, [item]))
    ]


def _resolved_type(criteria: Node) -> str:
    """Returns `Patient` for the criteria `resolve() is Patient`, which a reference
    itself answers.
    """
    if (
        isinstance(criteria, Binary)
        and criteria.operator == "is"
        and isinstance(criteria.left, Call)
        and criteria.left.name == "resolve"
        and isinstance(criteria.right, Member)
    ):
        return criteria.right.name
    return ""


def _type_call(name: str, target: Branches, argument: Node) -> Branches:
    if not isinstance(argument, Member):
        raise FhirPathError(f"{name}() expects a type")
    wanted = argument.name
    if name == "is":
        return (Branch(_type_test(target, wanted), "boolean"),)
    kept = tuple(branch for branch in target if branch.type and is_a(branch.type, wanted))
    return kept or constant(EMPTY, wanted)


def _type_test(target: Branches, wanted: str) -> Function:
    """Tells whether the item is of a type: known from the definitions, or told by a resource
    itself.
    """
    subject = joined(target)
    known = all(branch.type and branch.type != "Resource" for branch in target)
    matches = any(is_a(branch.type, wanted) for branch in target)

    def evaluate(environment: Environment, focus: Items) -> Items:
        items = subject(environment, focus)
        if not items:
            return EMPTY
        if known:
            return boolean(matches)
        return boolean(isinstance(items[0], dict) and items[0].get("resourceType") == wanted)

    return evaluate


def _binary(node: Binary, focus: Branches) -> Branches:
    if node.operator == "|":
        return (*_compile(node.left, focus), *_compile(node.right, focus))
    if node.operator in ("is", "as"):
        return _type_call(node.operator, _compile(node.left, focus), node.right)
    left, right = joined(_compile(node.left, focus)), joined(_compile(node.right, focus))
    if node.operator == "or":
        return (Branch(either(left, right), "boolean"),)
    if node.operator == "and":
        return (Branch(both(left, right), "boolean"),)
    if node.operator == "implies":
        return (Branch(implies(left, right), "boolean"),)
    operator = OPERATORS.get(node.operator)
    if operator is None:
        raise FhirPathError(f"{node.operator} is not supported")
    return (
        Branch(
            lambda environment, focus: operator(
                left(environment, focus), right(environment, focus)
            ),
            "string" if node.operator == "&" else "boolean",
        ),
    )
