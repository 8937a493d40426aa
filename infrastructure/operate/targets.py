"""What may be operated on AWS: an environment or a preview."""

from infrastructure.config.naming import ENVIRONMENTS, PREVIEW

__all__ = ["ENVIRONMENTS", "is_environment"]


def is_environment(name: str) -> bool:
    """Tells whether the name is an environment's or a preview's stack."""
    return name in ENVIRONMENTS or PREVIEW.match(name) is not None
