"""The services' secrets: made without a value, which the release fills in, so that none lies in a
stack's state.
"""

import pulumi
import pulumi_aws as aws

from apps.catalogue import SECRETS, TRIAL_SECRETS
from infrastructure.config.model import EnvironmentStack, PreviewStack, Stack
from infrastructure.config.naming import Names

SHORTEST_RECOVERY_DAYS, LONGEST_RECOVERY_DAYS = 7, 30


def make_secrets(
    names: Names, stack: Stack, *, key_arn: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> dict[str, pulumi.Output[str]]:
    """Returns each secret's place (apps/release/secret_places.py) by its variable.

    A preview has one secret, with all values in it, its trial accounts' too: docs/decisions/0112.
    """
    if isinstance(stack, EnvironmentStack):
        return {
            variable: make_secret(variable, names, stack, key_arn=key_arn, opts=opts)
            for variable in sorted(SECRETS)
        }
    arn = make_secret("SECRETS", names, stack, key_arn=key_arn, opts=opts)
    variables = sorted([*SECRETS, *(secret.name for secret in TRIAL_SECRETS)])
    return {variable: pulumi.Output.concat(arn, f":{variable}::") for variable in variables}


def make_secret(
    variable: str,
    names: Names,
    stack: Stack,
    *,
    key_arn: pulumi.Input[str],
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """Makes an empty secret and returns its ARN."""
    return aws.secretsmanager.Secret(
        f"{names.stack}-{variable.lower().replace('_', '-')}",
        # A name that is being deleted cannot be used again: AWS appends what makes it unique.
        name_prefix=f"{names.secret_prefix}{variable}-",
        kms_key_id=key_arn,
        recovery_window_in_days=recovery_days(stack),
        opts=opts,
    ).arn


def recovery_days(stack: Stack) -> int:
    """Returns for how long a deleted secret can be brought back."""
    if isinstance(stack, PreviewStack):
        return 0
    return LONGEST_RECOVERY_DAYS if stack.config.deletion_protection else SHORTEST_RECOVERY_DAYS
