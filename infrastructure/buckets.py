"""What every bucket of ours has: closed to the public, encrypted, versioned, emptied in time."""

from typing import Any

import pulumi
import pulumi_aws as aws


def close_bucket(
    name: str,
    bucket: aws.s3.Bucket,
    encryption: aws.s3.BucketServerSideEncryptionConfigurationRuleArgs,
    lifecycle: aws.s3.BucketLifecycleConfigurationRuleArgs,
    opts: pulumi.ResourceOptions,
) -> None:
    """Returns the `opts` of what belongs to the bucket.

    Its policy is its owner's: it says who writes; see `tls_only`.
    """
    aws.s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        name, bucket=bucket.id, rules=[encryption], opts=opts
    )
    aws.s3.BucketVersioning(
        name,
        bucket=bucket.id,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(
            status="Enabled"
        ),
        opts=opts,
    )
    aws.s3.BucketLifecycleConfiguration(name, bucket=bucket.id, rules=[lifecycle], opts=opts)


def encryption_rule(
    algorithm: str, key_arn: pulumi.Input[str] | None = None
) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgs:
    """Returns `AES256`, or `aws:kms` with a key, which then makes data keys a bucket and
    not an object.
    """
    return aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=(
            aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                sse_algorithm=algorithm, kms_master_key_id=key_arn
            )
        ),
        bucket_key_enabled=True if key_arn is not None else None,
        # As AWS sets it by itself: no key of a caller's own.
        blocked_encryption_types=["SSE-C"],
    )


def expiry_rule(
    id: str, expiration: aws.s3.BucketLifecycleConfigurationRuleExpirationArgs, noncurrent_days: int
) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    """Returns a rule over the whole bucket."""
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id=id,
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        expiration=expiration,
        noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
            noncurrent_days=noncurrent_days
        ),
    )


def tls_only(bucket: aws.s3.Bucket) -> dict[str, Any]:
    """Returns the policy statement by which a bucket answers over TLS alone (FSBP S3.5)."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.arn, pulumi.Output.concat(bucket.arn, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
