"""Reads `Pulumi.<stack>.yaml` as the engine would hand it over."""

import json
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]


def read_config(stack: str, root: Path = ROOT) -> dict[str, str]:
    """Strings by full key; structures as JSON.

    A preview has no file: its command writes its configuration.
    """
    text = (root / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)["config"]
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()
    }


def preview_config(base: str, region: str) -> dict[str, str]:
    return {
        "aws:region": region,
        "patient-management:base": base,
        "patient-management:expires": "2030-01-01T00:00:00+00:00",
    }
