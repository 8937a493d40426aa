"""The command behind `scripts/definitions`; no service imports it."""
