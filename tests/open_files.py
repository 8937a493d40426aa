"""Files that a test's own process holds open."""

import os
from contextlib import suppress


def open_files(start: str) -> list[str]:
    """Returns the paths of open descriptors that begin with `start`; other threads open and
    close files of their own meanwhile.
    """
    paths = []
    for descriptor in os.listdir("/proc/self/fd"):
        # It may be closed by now, as is the one that listed the folder.
        with suppress(FileNotFoundError):
            paths.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return sorted(path for path in paths if path.startswith(start))
