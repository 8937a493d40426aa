"""Reads a stack's configuration once into one typed settings object; refuses what is unsafe or
unknown, by key.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from infrastructure.config.checks import check_app, check_environment
from infrastructure.config.model import (
    EnvironmentSettings,
    EnvironmentStack,
    PreviewSettings,
    PreviewStack,
    SettingsError,
    Stack,
)
from infrastructure.config.naming import ENVIRONMENTS, HIGHEST_PREVIEW, PREVIEW, PROJECT

T = TypeVar("T")


def parse_stack(name: str, config: Mapping[str, str]) -> Stack:
    """Parses `config` as Pulumi hands it over: full keys, strings, structures as JSON.

    Raises SettingsError.
    """
    region = config.get("aws:region")
    if not region:
        raise SettingsError("aws:region is required")
    prefix = f"{PROJECT}:"
    values = {
        key.removeprefix(prefix): read(value)
        for key, value in config.items()
        if key.startswith(prefix)
    }
    if preview := PREVIEW.match(name):
        number = int(preview[1])
        if number > HIGHEST_PREVIEW:
            raise SettingsError(f"the stack {name}: a preview's number ends at {HIGHEST_PREVIEW}")
        settings = convert(values, PreviewSettings)
        if settings.base not in ENVIRONMENTS or settings.base == "prod":
            raise SettingsError(
                f"base must be dev or staging, never {settings.base}: previews hold no real data"
            )
        check_app(settings.app, "preview")
        return PreviewStack(name, region, number, settings)
    if name not in ENVIRONMENTS:
        raise SettingsError(
            f"a stack is one of {', '.join(ENVIRONMENTS)} or pr-<number>, not {name}"
        )
    environment = convert(values, EnvironmentSettings)
    check_environment(name, region, environment)
    return EnvironmentStack(name, region, environment)


def read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def convert(values: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(str(error).replace("`$.", f"`{PROJECT}:")) from error
