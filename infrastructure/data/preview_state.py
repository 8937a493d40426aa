"""Where previews keep their state: a bucket and a key of their own, so that none of the base's lies
beside it.

Both end with the base's stack: no base is production, and once the last preview is gone nobody
needs what is in them.
"""

import pulumi
import pulumi_aws as aws

from infrastructure.buckets import close_bucket, encryption_rule, expiry_rule, tls_only
from infrastructure.data.keys import SHORTEST_WINDOW_DAYS
from infrastructure.iam.roles import document

NONCURRENT_DAYS = 30


class PreviewState(pulumi.ComponentResource):
    """Outputs: `bucket_arn`, `key_arn`.

    The names are what `infrastructure.preview.settings` expects by default.
    """

    def __init__(
        self,
        name: str,
        bucket_name: pulumi.Input[str],
        key_alias: str,
        opts: pulumi.ResourceOptions | None = None,
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
        # The current ones stay, however old.
        expiration = aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(
            expired_object_delete_marker=True
        )
        lifecycle = expiry_rule("forget", expiration, NONCURRENT_DAYS)
        close_bucket(name, bucket, encryption_rule("aws:kms", key.arn), lifecycle, inner)
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.id,
            policy=document([tls_only(bucket)]),
            opts=inner,
        )
        self.bucket_arn = bucket.arn
        self.key_arn = key.arn
        self.register_outputs({"bucket_arn": self.bucket_arn, "key_arn": self.key_arn})
