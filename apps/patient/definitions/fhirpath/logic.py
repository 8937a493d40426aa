"""Boolean operators of FHIRPath with three values: true, false and nothing. Each looks right
only if it must.
"""

from apps.patient.definitions.fhirpath.environment import Environment, Function
from apps.patient.definitions.fhirpath.values import EMPTY, FALSE, TRUE, Items, truth


def either(left: Function, right: Function) -> Function:
    def evaluate(environment: Environment, focus: Items) -> Items:
        first = truth(left(environment, focus))
        if first:
            return TRUE
        second = truth(right(environment, focus))
        if second:
            return TRUE
        return FALSE if first is False and second is False else EMPTY

    return evaluate


def both(left: Function, right: Function) -> Function:
    def evaluate(environment: Environment, focus: Items) -> Items:
        first = truth(left(environment, focus))
        if first is False:
            return FALSE
        second = truth(right(environment, focus))
        if second is False:
            return FALSE
        return TRUE if first and second else EMPTY

    return evaluate


def implies(left: Function, right: Function) -> Function:
    def evaluate(environment: Environment, focus: Items) -> Items:
        first = truth(left(environment, focus))
        if first is False:
            return TRUE
        second = truth(right(environment, focus))
        if second:
            return TRUE
        return FALSE if first and second is False else EMPTY

    return evaluate
