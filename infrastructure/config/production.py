"""Checks that production has what patients' real data needs, whatever it costs."""

from infrastructure.config.model import EnvironmentSettings


def production_faults(config: EnvironmentSettings) -> list[str]:
    """Returns a message for each setting that is not safe enough for production."""
    backups = config.data.backup_retention_days
    demands = {
        "data.multi-az must be true in production": config.data.multi_az,
        "data.deletion-protection must be true in production": config.data.deletion_protection,
        "deletion-protection must be true in production": config.deletion_protection,
        "waf must be true in production": config.waf,
        "service-tls must be true in production": config.service_tls,
        "interface-endpoints must be true in production": config.interface_endpoints,
        "insights must be true in production": config.insights,
        "nat must be none or per-zone in production": config.nat in ("none", "per-zone"),
        "spot must be false in production": not config.spot,
        "previews must be false in production": not config.previews,
        "images must be promote in production: what was tested is what runs": config.images
        == "promote",
        "replicas.minimum must be 2 or more in production": not config.replicas
        or config.replicas.minimum >= 2,
        "data.backup-retention-days must be 14 or more in production": backups >= 14,
        "log-retention-days must be 365 or more in production": config.log_retention_days >= 365,
        "availability-zones must be three in production": len(config.availability_zones) == 3,
    }
    return [message for message, held in demands.items() if not held]
