"""The bucket that the balancer writes its access log into. Balancers take SSE-S3 only, no key of ours."""

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.roles import document


@dataclass(frozen=True, slots=True)
class Logbook:
    """`policy` must stand before the balancer is told to write."""

    bucket: aws.s3.Bucket
    policy: aws.s3.BucketPolicy


def logbook(name: str, days: int, opts: pulumi.ResourceOptions, *, keep: bool) -> Logbook:
    # A bucket that is not empty holds up the end of its stack: only what is to be kept may do that.
    bucket = aws.s3.Bucket(f"{name}-log", force_destroy=not keep, opts=opts)
    child = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=bucket))
    aws.s3.BucketPublicAccessBlock(
        f"{name}-log",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=child,
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-log",
        bucket=bucket.id,
        rules=[
            aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                apply_server_side_encryption_by_default=(
                    aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                        sse_algorithm="AES256"
                    )
                )
            )
        ],
        opts=child,
    )
    aws.s3.BucketVersioning(
        f"{name}-log",
        bucket=bucket.id,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
        opts=child,
    )
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-log",
        bucket=bucket.id,
        rules=[
            aws.s3.BucketLifecycleConfigurationRuleArgs(
                id="expire",
                status="Enabled",
                filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
                noncurrent_version_expiration=(
                    aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(noncurrent_days=7)
                ),
            )
        ],
        opts=child,
    )
    # Where balancers of this account write: another account's cannot fill it.
    own = pulumi.Output.concat(bucket.arn, "/AWSLogs/", aws.get_caller_identity_output().account_id, "/*")
    policy = aws.s3.BucketPolicy(
        f"{name}-log",
        bucket=bucket.id,
        policy=document(
            [
                {
                    "Sid": "Balancer",
                    "Effect": "Allow",
                    "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                    "Action": "s3:PutObject",
                    "Resource": own,
                },
                tls_only(bucket),
            ]
        ),
        opts=child,
    )
    return Logbook(bucket, policy)


def tls_only(bucket: aws.s3.Bucket) -> dict[str, Any]:
    """The policy statement by which a bucket answers over TLS alone (FSBP S3.5)."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
