"""The platform and the unit tests on the newest CPython: Debian's next release in a folder, made
by debootstrap.

The services' images and this machine may run an older one (`requires-python`): what runs
here runs on both.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = "forky"
NEWEST = (3, 14)
pytestmark = [
    pytest.mark.python,
    pytest.mark.skipif(
        sys.version_info[:2] == NEWEST, reason="python: every suite runs on the newest already"
    ),
]
PACKAGES = "python3,python3-venv,ca-certificates,git,procps"
MAKE_SECONDS = 900
RUN_SECONDS = 1800
CHECKOUT = "/srv/checkout"
SHELL_TESTS = ("test_scripts", "test_setup")
# Mounts are this process's own and end with it.
ENTER = """
set -e
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind /etc/ssl/certs "$1/etc/ssl/certs"
if [ -d "$HOME/.cache/pip" ]; then
    mkdir -p "$1/root/.cache/pip"
    mount --bind "$HOME/.cache/pip" "$1/root/.cache/pip"
fi
root=$1
shift
exec chroot "$root" "$@"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with Debian's newest Python and this checkout; skips if it cannot be
    made, and says why.
    """
    if os.geteuid() != 0:
        pytest.skip("python: debootstrap and chroot need root")
    made = tmp_path_factory.mktemp("newest") / "root"
    done = subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include={PACKAGES}",
            SUITE,
            str(made),
            mirror(),
            # An older debootstrap does not know the release's name yet.
            "/usr/share/debootstrap/scripts/sid",
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=MAKE_SECONDS,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    copy_checkout(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def mirror() -> str:
    """Returns where this machine's own packages come from; skips if that is not to be found."""
    for source in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        for line in source.read_text().splitlines() if source.is_file() else []:
            words = line.split()
            if words[:1] in (["URIs:"], ["deb"]):
                for word in words[1:]:
                    if "://" in word and word.rstrip("/").endswith("/debian"):
                        return word
    pytest.skip("python: this machine's apt names no Debian mirror")


def copy_checkout(made: Path) -> None:
    """Copies what git tracks, and Kafka's jars so that they are not downloaded again."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = made / CHECKOUT.lstrip("/") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    jars = ROOT / ".local" / "maven"
    if jars.is_dir():
        shutil.copytree(jars, made / CHECKOUT.lstrip("/") / ".local" / "maven")
    for name in ("resolv.conf", "hosts", "pip.conf"):
        if (Path("/etc") / name).exists():
            shutil.copy2(Path("/etc") / name, made / "etc" / name)


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # How packages are reached and trusted; nothing else of this machine.
    passed = [
        f"{name}={value}"
        for name, value in os.environ.items()
        if (name.startswith("PIP_") and name != "PIP_FIND_LINKS")
        or name.upper().endswith(("_PROXY", "_CERT_FILE", "_CA_BUNDLE"))
    ]
    path = "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    start = ["/usr/bin/env", "-i", "-C", CHECKOUT, path, "HOME=/root", *passed, *words]
    namespace = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    return subprocess.run(
        [*namespace, "sh", "-c", ENTER, "enter", str(root), *start],
        check=False,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
    )


def test_platform_runs_on_the_newest_python(root: Path) -> None:
    version = run(root, "python3", "-c", "import sys; print(sys.version_info[:2])")
    assert version.stdout.strip() == str(NEWEST), version.stderr
    done = run(root, "scripts/up", "--run", "scripts/operate", "status", "--json")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert '"not ready"' not in done.stdout
    assert "DeprecationWarning" not in done.stderr


def test_unit_tests_pass_on_the_newest_python(root: Path) -> None:
    # Those of the shell scripts say nothing about Python, and take a while.
    shell = [f"--ignore=tests/infrastructure/local/{name}.py" for name in SHELL_TESTS]
    done = run(root, "scripts/test", "unit", "-q", "-n", "2", *shell)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
