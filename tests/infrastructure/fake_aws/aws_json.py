"""Pulumi's words in the spelling of AWS's APIs."""

from typing import Any

# Where a capital is not a word's first letter alone.
SPELLED = {"CloudwatchMetricsEnabled": "CloudWatchMetricsEnabled", "OkActions": "OKActions"}


def pascal(value: Any) -> Any:
    """`fooBar` -> `FooBar` in keys, as most of AWS's APIs write them."""
    if isinstance(value, dict):
        return {capital(key): pascal(each) for key, each in value.items() if each is not None}
    return [pascal(each) for each in value] if isinstance(value, list) else value


def capital(key: str) -> str:
    word = key[0].upper() + key[1:]
    return SPELLED.get(word, word)
