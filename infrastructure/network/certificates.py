"""The private authority that signs the certificates of Service Connect's proxies: TLS between
services.

In short-lived mode (certificates of at most seven days, which is what Service Connect takes) an
authority costs an eighth of a general one. No service has TLS code of its own for it; only the
gateway's listener is separate.
"""

import pulumi
import pulumi_aws as aws

from infrastructure.iam.roles import PermissionsBoundary, role_of_service

VALID_YEARS = 10
KEY_ACTIONS = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
]


class Certificates(pulumi.ComponentResource):
    """Outputs: `authority_arn`, `role_arn` (ECS asks for certificates with it)."""

    def __init__(
        self,
        name: str,
        environment: str,
        key_arn: pulumi.Input[str],
        boundary: PermissionsBoundary,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("patient:infrastructure:Certificates", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        authority = aws.acmpca.CertificateAuthority(
            name,
            type="ROOT",
            usage_mode="SHORT_LIVED_CERTIFICATE",
            certificate_authority_configuration=aws.acmpca.CertificateAuthorityCertificateAuthorityConfigurationArgs(
                key_algorithm="EC_prime256v1",
                signing_algorithm="SHA256WITHECDSA",
                subject=aws.acmpca.CertificateAuthorityCertificateAuthorityConfigurationSubjectArgs(
                    common_name=f"patient-management {environment}"
                ),
            ),
            permanent_deletion_time_in_days=7,
            # Service Connect uses only authorities that carry this tag.
            tags={"AmazonECSManaged": "true"},
            opts=child,
        )
        own = aws.acmpca.Certificate(
            name,
            certificate_authority_arn=authority.arn,
            certificate_signing_request=authority.certificate_signing_request,
            signing_algorithm="SHA256WITHECDSA",
            template_arn="arn:aws:acm-pca:::template/RootCACertificate/V1",
            validity=aws.acmpca.CertificateValidityArgs(type="YEARS", value=str(VALID_YEARS)),
            opts=child,
        )
        active = aws.acmpca.CertificateAuthorityCertificate(
            name,
            certificate_authority_arn=authority.arn,
            # Its own, so there is no chain: one asked for stays unknown in every preview, and reads
            # as a change.
            certificate=own.certificate,
            opts=child,
        )
        role = role_of_service(
            f"{name}-connect",
            "ecs.amazonaws.com",
            # AWS's own policy names no key: certificates' private keys are kept under ours.
            {
                "keep": [
                    {"Sid": "Key", "Effect": "Allow", "Action": KEY_ACTIONS, "Resource": key_arn}
                ]
            },
            child,
            boundary,
            managed=[
                "service-role/AmazonECSInfrastructureRolePolicyForServiceConnectTransportLayerSecurity"
            ],
        )
        # An authority without its own certificate signs nothing: what uses it waits.
        self.authority_arn = pulumi.Output.all(authority.arn, active.id).apply(
            lambda made: str(made[0])
        )
        self.role_arn = role.ready_arn
        self.register_outputs({"authority_arn": self.authority_arn})
