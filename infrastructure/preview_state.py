"""Where previews keep their state: a bucket and a key of their own, so that none of the base's lies beside it.

Both end with the base's stack: no base is production, and once the last preview is gone nobody needs what is in them.
"""

import pulumi
import pulumi_aws as aws

from infrastructure.keys import SHORTEST_WINDOW_DAYS
from infrastructure.logbook import tls_only
from infrastructure.roles import document

NONCURRENT_DAYS = 30


class PreviewState(pulumi.ComponentResource):
    """Outputs: `bucket_arn`, `key_arn`. The names are what `infrastructure.preview.settings` expects by default."""

    def __init__(
        self, name: str, bucket_name: pulumi.Input[str], key_alias: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:PreviewState", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        key = aws.kms.Key(
            name,
            description="State of previews",
            enable_key_rotation=True,
            deletion_window_in_days=SHORTEST_WINDOW_DAYS,
            opts=child,
        )
        aws.kms.Alias(name, name=key_alias, target_key_id=key.id, opts=child)
        bucket = aws.s3.Bucket(name, bucket=bucket_name, force_destroy=True, opts=child)
        inner = pulumi.ResourceOptions(parent=bucket)
        aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=inner,
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
                    apply_server_side_encryption_by_default=(
                        aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
                            sse_algorithm="aws:kms", kms_master_key_id=key.arn
                        )
                    ),
                    bucket_key_enabled=True,
                )
            ],
            opts=inner,
        )
        aws.s3.BucketVersioning(
            name,
            bucket=bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=inner,
        )
        aws.s3.BucketLifecycleConfiguration(
            name,
            bucket=bucket.id,
            rules=[
                aws.s3.BucketLifecycleConfigurationRuleArgs(
                    id="forget",
                    status="Enabled",
                    filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
                    # The current ones stay, however old.
                    expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
                    noncurrent_version_expiration=(
                        aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                            noncurrent_days=NONCURRENT_DAYS
                        )
                    ),
                )
            ],
            opts=inner,
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=document([tls_only(bucket)]),
            opts=inner,
        )
        self.bucket_arn = bucket.arn
        self.key_arn = key.arn
        self.register_outputs({"bucket_arn": self.bucket_arn, "key_arn": self.key_arn})
