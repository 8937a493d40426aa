"""The bucket that the balancer writes its access log into.

Balancers take SSE-S3 only, no key of ours.
"""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infrastructure.buckets import close_bucket, encryption_rule, expiry_rule, tls_only
from infrastructure.iam.roles import document

NONCURRENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class AccessLogBucket:
    """`policy` must stand before the balancer is told to write."""

    bucket: aws.s3.Bucket
    policy: aws.s3.BucketPolicy


def make_access_log_bucket(
    name: str, days: int, opts: pulumi.ResourceOptions, *, keep: bool
) -> AccessLogBucket:
    # A bucket that is not empty holds up the end of its stack: only what is to be kept may do that.
    bucket = aws.s3.Bucket(f"{name}-log", force_destroy=not keep, opts=opts)
    child = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=bucket))
    expiration = aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days)
    lifecycle = expiry_rule("expire", expiration, NONCURRENT_DAYS)
    close_bucket(f"{name}-log", bucket, encryption_rule("AES256"), lifecycle, child)
    # Where balancers of this account write: another account's cannot fill it.
    own = pulumi.Output.concat(
        bucket.arn, "/AWSLogs/", aws.get_caller_identity_output().account_id, "/*"
    )
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
    return AccessLogBucket(bucket, policy)
