"""The balancer in front of the app: TLS with a certificate of its own, a firewall, an access log.

It knows no service: the app adds a rule for its host. What no rule takes is answered 404.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from apps.catalogue import SERVICES
from infrastructure.network.access_log_bucket import make_access_log_bucket
from infrastructure.network.firewall import firewall, record_blocked
from infrastructure.network.security_groups import (
    allow_traffic,
    id_when_open,
    make_group,
    open_ingress,
)

# TLS 1.3 and, for clients that lack it, 1.2 with forward secrecy.
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
# The gateway's keep-alive is longer, so that no connection closes under a request
# (apps/kit/web.py).
IDLE_SECONDS = 60
ACCESS_LOG_DAYS = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancerArgs:
    vpc_id: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[str]]
    domain: str
    zone_name: str
    waf: bool
    rate_limit_requests: int
    log_retention_days: int
    key_arn: pulumi.Input[str]
    deletion_protection: bool
    wildcard: bool


class Balancer(pulumi.ComponentResource):
    """Outputs: `listener_arn`, `arn_suffix`, and `target_group_id`: the security group that a
    target carries.
    """

    def __init__(
        self, name: str, args: BalancerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("patient:infrastructure:Balancer", name, None, opts)
        self.child = pulumi.ResourceOptions(parent=self)
        balancer_group = make_group(f"{name}-door", args.vpc_id, "The balancer", self.child)
        for port in (80, 443):
            open_ingress(
                f"{name}-{port}",
                balancer_group.id,
                port,
                "The internet",
                self.child,
                cidr="0.0.0.0/0",
            )
        targets = make_group(
            f"{name}-target", args.vpc_id, "Carried by what the balancer reaches", self.child
        )
        rules = [
            rule
            for service in SERVICES.values()
            if service.public
            for rule in allow_traffic(
                f"{name}-{service.name}",
                source_id=balancer_group.id,
                target_id=targets.id,
                port=service.port,
                description="Balancer to target",
                opts=self.child,
            )
        ]
        log = make_access_log_bucket(
            name, ACCESS_LOG_DAYS, self.child, keep=args.deletion_protection
        )
        made = aws.lb.LoadBalancer(
            name,
            load_balancer_type="application",
            internal=False,
            subnets=args.subnet_ids,
            security_groups=[balancer_group.id],
            drop_invalid_header_fields=True,
            desync_mitigation_mode="strictest",
            enable_http2=True,
            idle_timeout=IDLE_SECONDS,
            xff_header_processing_mode="append",
            enable_deletion_protection=args.deletion_protection,
            access_logs=aws.lb.LoadBalancerAccessLogsArgs(bucket=log.bucket.bucket, enabled=True),
            opts=pulumi.ResourceOptions.merge(
                self.child, pulumi.ResourceOptions(depends_on=[log.policy])
            ),
        )
        certificate_arn = self.certify(name, args)
        self.listener_arn = self.listen(name, made, certificate_arn)
        if args.waf:
            acl = firewall(name, args.rate_limit_requests, self.child)
            record_blocked(name, acl, args.log_retention_days, args.key_arn, self.child)
            aws.wafv2.WebAclAssociation(
                name, resource_arn=made.arn, web_acl_arn=acl.arn, opts=self.child
            )
        self.point(name, args, made)
        self.arn_suffix = made.arn_suffix
        self.target_group_id = id_when_open(targets, rules)
        self.register_outputs({"listener_arn": self.listener_arn})

    def certify(self, name: str, args: BalancerArgs) -> pulumi.Output[str]:
        """Returns a certificate for the domain and, where previews are, one level below it;
        proven by DNS.
        """
        self.zone = aws.route53.get_zone_output(name=args.zone_name, private_zone=False)
        certificate = aws.acm.Certificate(
            name,
            domain_name=args.domain,
            subject_alternative_names=[f"*.{args.domain}"] if args.wildcard else [],
            validation_method="DNS",
            key_algorithm="EC_prime256v1",
            opts=self.child,
        )
        # The wildcard's proof is the domain's own: one record for both.
        proof = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            f"{name}-proof",
            zone_id=self.zone.zone_id,
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=300,
            allow_overwrite=True,
            opts=self.child,
        )
        return aws.acm.CertificateValidation(
            name,
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=self.child,
        ).certificate_arn

    def listen(
        self, name: str, balancer: aws.lb.LoadBalancer, certificate_arn: pulumi.Output[str]
    ) -> pulumi.Output[str]:
        aws.lb.Listener(
            f"{name}-http",
            load_balancer_arn=balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="redirect",
                    redirect=aws.lb.ListenerDefaultActionRedirectArgs(
                        protocol="HTTPS", port="443", status_code="HTTP_301"
                    ),
                )
            ],
            opts=self.child,
        )
        return aws.lb.Listener(
            f"{name}-https",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=certificate_arn,
            routing_http_response_server_enabled=False,
            default_actions=[
                aws.lb.ListenerDefaultActionArgs(
                    type="fixed-response",
                    fixed_response=aws.lb.ListenerDefaultActionFixedResponseArgs(
                        content_type="text/plain", message_body="Not found", status_code="404"
                    ),
                )
            ],
            opts=self.child,
        ).arn

    def point(self, name: str, args: BalancerArgs, balancer: aws.lb.LoadBalancer) -> None:
        for label, host in {"apex": args.domain, "wildcard": f"*.{args.domain}"}.items():
            if label == "apex" or args.wildcard:
                aws.route53.Record(
                    f"{name}-{label}",
                    zone_id=self.zone.zone_id,
                    name=host,
                    type="A",
                    aliases=[
                        aws.route53.RecordAliasArgs(
                            name=balancer.dns_name,
                            zone_id=balancer.zone_id,
                            evaluate_target_health=True,
                        )
                    ],
                    opts=self.child,
                )
