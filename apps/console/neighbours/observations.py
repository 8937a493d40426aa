"""Reads the values of Observations as a page shows them."""

from collections.abc import Callable
from typing import Any

from apps.console.neighbours.fhir import as_dict, as_list, code_of, text_of

# LOINC, the parts of a blood pressure.
SYSTOLIC, DIASTOLIC = "8480-6", "8462-4"


def value_of(observation: Any, write: Callable[[Any], str] = str) -> str:
    """Writes an Observation's or component's value with its unit; `write` writes numbers as
    the reader does.
    """
    observation = as_dict(observation)
    quantity = as_dict(observation.get("valueQuantity"))
    if quantity:
        unit = quantity.get("unit") or quantity.get("code") or ""
        comparator = quantity.get("comparator", "")
        return f"{comparator}{write(rounded(quantity.get('value', '')))} {unit}".strip()
    if "valueCodeableConcept" in observation:
        return text_of(observation["valueCodeableConcept"])
    for name in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if name in observation:
            return str(observation[name])
    if "valueBoolean" in observation:
        return "✓" if observation["valueBoolean"] else "✗"
    by_code = {code_of(each.get("code"))[1]: each for each in as_list(observation.get("component"))}
    if by_code.keys() >= {SYSTOLIC, DIASTOLIC}:
        upper = as_dict(by_code[SYSTOLIC].get("valueQuantity")).get("value", "")
        return f"{write(rounded(upper))}/{value_of(by_code[DIASTOLIC], write)}"
    parts = [
        f"{text_of(each.get('code'))} {value_of(each, write)}"
        for each in as_list(observation.get("component"))
    ]
    return "; ".join(parts)


def number_of(observation: Any) -> float | None:
    """Gives a quantity's number for a plot."""
    value = as_dict(as_dict(observation).get("valueQuantity")).get("value")
    return float(value) if isinstance(value, (int, float)) else None


def rounded(value: Any) -> Any:
    """Shortens what a conversion left behind: 71.23400001 is 71.23."""
    return round(value, 2) if isinstance(value, float) else value


def reference_range(observation: Any) -> tuple[float | None, float | None]:
    """Gives the low and high limit of the first reference range."""
    first = next(iter(as_list(as_dict(observation).get("referenceRange"))), {})
    low, high = as_dict(first.get("low")).get("value"), as_dict(first.get("high")).get("value")
    return (
        float(low) if isinstance(low, (int, float)) else None,
        float(high) if isinstance(high, (int, float)) else None,
    )
