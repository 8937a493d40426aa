"""Ports for what the tests start."""

import os

from infrastructure.local import process


def free_port() -> int:
    """Each of pytest's workers draws from a share of its own: none knows what another was given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return next(port for port in iter(process.free_port, 0) if port % workers == worker)
