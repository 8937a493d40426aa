"""What a browser loads: pinned files, small, from this service alone."""

import subprocess
from pathlib import Path

from apps.console.web.assets import FOLDER, SCRIPTS, STYLES

ROOT = Path(__file__).parents[2]
MAX_SCRIPT_BYTES = 120_000


def test_assets_are_the_pinned_ones() -> None:
    subprocess.run([ROOT / "scripts" / "assets", "--check"], check=True)


def test_scripts_are_small_and_load_nothing() -> None:
    assert sum((FOLDER / name).stat().st_size for name in SCRIPTS) < MAX_SCRIPT_BYTES
    for name in (*STYLES, *SCRIPTS):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert "@import" not in text and "sourceMappingURL" not in text
        assert "url(http" not in text and "url(//" not in text
