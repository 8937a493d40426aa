"""Templates call what the record's functions have: a name that is gone fails one page alone."""

import re
from pathlib import Path

from apps import console
from apps.console.neighbours import fhir

TEMPLATES = Path(console.__file__).parent / "templates"


def test_each_function_that_a_template_calls_is_there() -> None:
    used = {
        name
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r"\bfhir\.(\w+)", path.read_text())
    }
    assert len(used) > 10
    assert sorted(name for name in used if not hasattr(fhir, name)) == []
