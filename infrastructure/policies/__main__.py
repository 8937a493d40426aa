from pulumi_policy import EnforcementLevel, PolicyPack

from infrastructure.policies.pack import policies

PolicyPack("patient-management", [*policies()], enforcement_level=EnforcementLevel.MANDATORY)
