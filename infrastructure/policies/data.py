"""What everything that holds data must hold, by FSBP and HIPAA control: databases, brokers, keys,
images, logs.
"""

from collections.abc import Iterator

from infrastructure.config import limits
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
        name="database-not-public",
        controls=("RDS.2", "HIPAA.Security-RDSInstancePublicAccess"),
        types=(DATABASE,),
        why="a database has no public address",
        check=demand(
            "it is publicly accessible", lambda props: props.get("publiclyAccessible") is False
        ),
    ),
    Rule(
        name="database-encrypted",
        controls=("RDS.3", "HIPAA.Security-RDSStorageEncrypted"),
        types=(DATABASE,),
        why="a database's storage is encrypted under our key",
        check=demand(
            "its storage is not encrypted",
            lambda props: props.get("storageEncrypted") and props.get("kmsKeyId"),
        ),
    ),
    Rule(
        name="database-iam",
        controls=("RDS.10",),
        types=(DATABASE,),
        why="services sign in by IAM",
        check=demand(
            "IAM authentication is off", lambda props: props.get("iamDatabaseAuthenticationEnabled")
        ),
    ),
    Rule(
        name="database-managed-password",
        controls=("PM.1", "SecretsManager.1"),
        types=(DATABASE,),
        why="RDS itself makes, keeps and rotates the master's password",
        check=demand(
            "a password is given",
            lambda props: props.get("manageMasterUserPassword") and not props.get("password"),
        ),
    ),
    Rule(
        name="database-backups",
        controls=("RDS.11", "HIPAA.Security-RDSInBackupPlan"),
        types=(DATABASE,),
        why="a database can be brought back to any moment of a week",
        check=demand(
            "backups are kept too short",
            lambda props: (props.get("backupRetentionPeriod") or 0) >= BACKUP_DAYS,
        ),
    ),
    Rule(
        name="database-logs",
        controls=("RDS.9", "HIPAA.Security-RDSLoggingEnabled"),
        types=(DATABASE,),
        why="a database's log leaves it",
        check=demand(
            "its log is not exported",
            lambda props: "postgresql" in (props.get("enabledCloudwatchLogsExports") or []),
        ),
    ),
    Rule(
        name="database-monitoring",
        controls=("RDS.6", "HIPAA.Security-RDSEnhancedMonitoringEnabled"),
        types=(DATABASE,),
        why="a database's host is measured",
        check=demand("enhanced monitoring is off", lambda props: props.get("monitoringInterval")),
    ),
    Rule(
        name="database-tls",
        controls=("RDS.38",),
        types=("aws:rds/parameterGroup:ParameterGroup",),
        why="a database takes TLS only",
        check=demand(
            "rds.force_ssl is not 1", lambda props: parameters(props).get("rds.force_ssl") == "1"
        ),
    ),
    Rule(
        name="brokers-tls",
        controls=("MSK.1",),
        types=(BROKERS,),
        why="brokers speak TLS only",
        check=demand("plain text is taken", in_transit),
    ),
    Rule(
        name="brokers-authenticated",
        controls=("MSK.6",),
        types=(BROKERS,),
        why="brokers take IAM only",
        check=demand("clients without a name are taken", authenticated),
    ),
    Rule(
        name="brokers-encrypted",
        controls=("PM.2",),
        types=(BROKERS,),
        why="events at rest are encrypted under our key",
        check=demand(
            "no key",
            lambda props: (props.get("encryptionInfo") or {}).get("encryptionAtRestKmsKeyArn"),
        ),
    ),
    Rule(
        name="key-rotates",
        controls=("KMS.4", "HIPAA.Security-KMSBackingKeyRotationEnabled"),
        types=("aws:kms/key:Key",),
        why="keys rotate",
        check=demand("it does not", lambda props: props.get("enableKeyRotation")),
    ),
    Rule(
        name="registry-scan",
        controls=("ECR.1",),
        types=("aws:ecr/repository:Repository",),
        why="images are scanned",
        check=demand(
            "they are not",
            lambda props: (props.get("imageScanningConfiguration") or {}).get("scanOnPush"),
        ),
    ),
    Rule(
        name="registry-immutable",
        controls=("ECR.2",),
        types=("aws:ecr/repository:Repository",),
        why="a tag stays what it was",
        check=demand(
            "tags can be moved",
            lambda props: str(props.get("imageTagMutability")).startswith("IMMUTABLE"),
        ),
    ),
    Rule(
        name="bucket-private",
        controls=("S3.1", "S3.8", "HIPAA.Security-S3BucketLevelPublicAccessProhibited"),
        types=("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",),
        why="a bucket is nobody else's",
        check=demand("a door is left", lambda props: all(props.get(door) for door in DOORS)),
    ),
    Rule(
        name="log-kept",
        controls=("CloudWatch.16", "HIPAA.Security-CloudWatchLogGroupRetentionPeriod"),
        types=("aws:cloudwatch/logGroup:LogGroup",),
        why="a log has an end",
        check=retention,
    ),
    Rule(
        name="log-encrypted",
        controls=("HIPAA.Security-CloudWatchLogGroupEncrypted",),
        types=("aws:cloudwatch/logGroup:LogGroup",),
        why="a log is encrypted under our key",
        check=demand("no key", lambda props: props.get("kmsKeyId")),
    ),
    Rule(
        name="notices-encrypted",
        controls=("SNS.1", "HIPAA.Security-SNSEncryptedKMS"),
        types=("aws:sns/topic:Topic",),
        why="notices are encrypted",
        check=demand("they are not", lambda props: props.get("kmsMasterKeyId")),
    ),
    Rule(
        name="secret-key",
        controls=("HIPAA.Security-SecretsManagerUsingKMSKey",),
        types=("aws:secretsmanager/secret:Secret",),
        why="secrets are encrypted under our key",
        check=demand("no key of ours", lambda props: props.get("kmsKeyId")),
    ),
)
