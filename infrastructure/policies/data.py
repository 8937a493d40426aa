"""What everything that holds data must hold, by FSBP and HIPAA control: databases, brokers, keys, images, logs."""

from collections.abc import Iterator

from infrastructure import limits
from infrastructure.policies.rule import Props, Rule, demand

DATABASE = "aws:rds/instance:Instance"
BROKERS = "aws:msk/cluster:Cluster"
BACKUP_DAYS = 7
DOORS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")


def parameters(props: Props) -> dict[str, str]:
    return {each["name"]: each["value"] for each in props.get("parameters") or []}


def retention(props: Props) -> Iterator[str]:
    if props.get("retentionInDays") not in limits.LOG_RETENTION_DAYS:
        yield "it keeps its log for ever, or for no time that CloudWatch has"


def in_transit(props: Props) -> bool:
    transit = (props.get("encryptionInfo") or {}).get("encryptionInTransit") or {}
    return transit.get("clientBroker") == "TLS" and transit.get("inCluster") is not False


def authenticated(props: Props) -> bool:
    given = props.get("clientAuthentication") or {}
    return bool((given.get("sasl") or {}).get("iam")) and not given.get("unauthenticated")


DATA_RULES: tuple[Rule, ...] = (
    Rule(
        "database-not-public",
        ("RDS.2", "HIPAA.Security-RDSInstancePublicAccess"),
        (DATABASE,),
        "a database has no public address",
        demand("it is publicly accessible", lambda props: props.get("publiclyAccessible") is False),
    ),
    Rule(
        "database-encrypted",
        ("RDS.3", "HIPAA.Security-RDSStorageEncrypted"),
        (DATABASE,),
        "a database's storage is encrypted under our key",
        demand(
            "its storage is not encrypted",
            lambda props: props.get("storageEncrypted") and props.get("kmsKeyId"),
        ),
    ),
    Rule(
        "database-iam",
        ("RDS.10",),
        (DATABASE,),
        "services sign in by IAM",
        demand(
            "IAM authentication is off", lambda props: props.get("iamDatabaseAuthenticationEnabled")
        ),
    ),
    Rule(
        "database-managed-password",
        ("PM.1", "SecretsManager.1"),
        (DATABASE,),
        "RDS itself makes, keeps and rotates the master's password",
        demand(
            "a password is given",
            lambda props: props.get("manageMasterUserPassword") and not props.get("password"),
        ),
    ),
    Rule(
        "database-backups",
        ("RDS.11", "HIPAA.Security-RDSInBackupPlan"),
        (DATABASE,),
        "a database can be brought back to any moment of a week",
        demand(
            "backups are kept too short",
            lambda props: (props.get("backupRetentionPeriod") or 0) >= BACKUP_DAYS,
        ),
    ),
    Rule(
        "database-logs",
        ("RDS.9", "HIPAA.Security-RDSLoggingEnabled"),
        (DATABASE,),
        "a database's log leaves it",
        demand(
            "its log is not exported",
            lambda props: "postgresql" in (props.get("enabledCloudwatchLogsExports") or []),
        ),
    ),
    Rule(
        "database-monitoring",
        ("RDS.6", "HIPAA.Security-RDSEnhancedMonitoringEnabled"),
        (DATABASE,),
        "a database's host is measured",
        demand("enhanced monitoring is off", lambda props: props.get("monitoringInterval")),
    ),
    Rule(
        "database-tls",
        ("RDS.38",),
        ("aws:rds/parameterGroup:ParameterGroup",),
        "a database takes TLS only",
        demand(
            "rds.force_ssl is not 1", lambda props: parameters(props).get("rds.force_ssl") == "1"
        ),
    ),
    Rule(
        "brokers-tls",
        ("MSK.1",),
        (BROKERS,),
        "brokers speak TLS only",
        demand("plain text is taken", in_transit),
    ),
    Rule(
        "brokers-authenticated",
        ("MSK.6",),
        (BROKERS,),
        "brokers take IAM only",
        demand("clients without a name are taken", authenticated),
    ),
    Rule(
        "brokers-encrypted",
        ("PM.2",),
        (BROKERS,),
        "events at rest are encrypted under our key",
        demand(
            "no key",
            lambda props: (props.get("encryptionInfo") or {}).get("encryptionAtRestKmsKeyArn"),
        ),
    ),
    Rule(
        "key-rotates",
        ("KMS.4", "HIPAA.Security-KMSBackingKeyRotationEnabled"),
        ("aws:kms/key:Key",),
        "keys rotate",
        demand("it does not", lambda props: props.get("enableKeyRotation")),
    ),
    Rule(
        "registry-scan",
        ("ECR.1",),
        ("aws:ecr/repository:Repository",),
        "images are scanned",
        demand(
            "they are not",
            lambda props: (props.get("imageScanningConfiguration") or {}).get("scanOnPush"),
        ),
    ),
    Rule(
        "registry-immutable",
        ("ECR.2",),
        ("aws:ecr/repository:Repository",),
        "a tag stays what it was",
        demand(
            "tags can be moved",
            lambda props: str(props.get("imageTagMutability")).startswith("IMMUTABLE"),
        ),
    ),
    Rule(
        "bucket-private",
        ("S3.1", "S3.8", "HIPAA.Security-S3BucketLevelPublicAccessProhibited"),
        ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",),
        "a bucket is nobody else's",
        demand("a door is left", lambda props: all(props.get(door) for door in DOORS)),
    ),
    Rule(
        "log-kept",
        ("CloudWatch.16", "HIPAA.Security-CloudWatchLogGroupRetentionPeriod"),
        ("aws:cloudwatch/logGroup:LogGroup",),
        "a log has an end",
        retention,
    ),
    Rule(
        "log-encrypted",
        ("HIPAA.Security-CloudWatchLogGroupEncrypted",),
        ("aws:cloudwatch/logGroup:LogGroup",),
        "a log is encrypted under our key",
        demand("no key", lambda props: props.get("kmsKeyId")),
    ),
    Rule(
        "notices-encrypted",
        ("SNS.1", "HIPAA.Security-SNSEncryptedKMS"),
        ("aws:sns/topic:Topic",),
        "notices are encrypted",
        demand("they are not", lambda props: props.get("kmsMasterKeyId")),
    ),
    Rule(
        "secret-key",
        ("HIPAA.Security-SecretsManagerUsingKMSKey",),
        ("aws:secretsmanager/secret:Secret",),
        "secrets are encrypted under our key",
        demand("no key of ours", lambda props: props.get("kmsKeyId")),
    ),
)
