"""Which version of a service runs: the first digits of its source's digest, by which its
image is tagged.
"""

import os


def service_version() -> str:
    """Returns the version that whoever started the process named; empty where nobody did."""
    return os.environ.get("SERVICE_VERSION", "")
