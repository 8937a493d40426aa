"""The WAF before the balancer: AWS's managed rules in blocking mode, and a rate for each address.

Some rules of the common set would block the product itself: `SizeRestrictions_BODY` (8 KiB) every
Bundle, `CrossSiteScripting_BODY` every record's narrative, which is XHTML by its definition (FHIR
R4, Narrative.div), and those against URLs with an address in them every native app, whose
`redirect_uri` is `http://127.0.0.1` (RFC 8252, 7.3). They only count, and label; rules after the
set block what they labelled everywhere but under the paths that need it. Nothing behind those paths
fetches a URL that it was given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infrastructure.config.naming import LOG_PREFIX

Text = pulumi.Input[str]
COMMON = "AWSManagedRulesCommonRuleSet"
OTHERS = ("AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesAmazonIpReputationList")
LABEL = "awswaf:managed:aws:core-rule-set:"


@dataclass(frozen=True, slots=True)
class Exemption:
    """`counted`: rules of the common set, and the label that each leaves, under `LABEL`.

    They block but under `paths`.

    https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
    """

    name: str
    counted: dict[str, str]
    paths: tuple[str, ...]


RECORD = ("/fhir/R4", "/api")
OAUTH = "/oauth2/"
EXEMPTIONS = (
    Exemption(
        "bodies-elsewhere",
        {
            "SizeRestrictions_BODY": "SizeRestrictions_Body",
            "CrossSiteScripting_BODY": "CrossSiteScripting_Body",
        },
        RECORD,
    ),
    Exemption(
        "addresses-in-queries-elsewhere",
        {
            "GenericRFI_QUERYARGUMENTS": "GenericRFI_QueryArguments",
            "EC2MetaDataSSRF_QUERYARGUMENTS": "EC2MetaDataSSRF_QueryArguments",
        },
        # Pages of the sign-in hand the whole request on: /oauth2/sign-in?next=...redirect_uri...
        (OAUTH,),
    ),
    # A Bundle's entries may come from a server that has no name.
    Exemption(
        "addresses-in-bodies-elsewhere",
        {"GenericRFI_BODY": "GenericRFI_Body"},
        (OAUTH, "/auth/v1/clients", *RECORD),
    ),
)
WINDOW_SECONDS = 300


def firewall(name: str, rate_limit_requests: int, opts: pulumi.ResourceOptions) -> aws.wafv2.WebAcl:
    """Makes the firewall. `rate_limit_requests`: in five minutes, from one address."""
    return aws.wafv2.WebAcl(
        name,
        scope="REGIONAL",
        default_action={"allow": {}},
        rules=rules(rate_limit_requests),
        visibility_config=visibility("firewall"),
        opts=opts,
    )


def record_blocked(
    name: str, acl: aws.wafv2.WebAcl, days: int, key_arn: Text, opts: pulumi.ResourceOptions
) -> None:
    """Logs what the firewall blocks, for `days`: the address, the path and the rule.

    Queries, cookies and tokens are left out.
    """
    log = aws.cloudwatch.LogGroup(
        f"{name}-firewall",
        name=f"{LOG_PREFIX}{name}",
        retention_in_days=days,
        kms_key_id=key_arn,
        opts=opts,
    )
    redacted: list[Any] = [
        {"single_header": {"name": "authorization"}},
        {"single_header": {"name": "cookie"}},
        {"query_string": {}},
    ]
    blocked: Any = {
        "default_behavior": "DROP",
        "filters": [
            {
                "behavior": "KEEP",
                "requirement": "MEETS_ANY",
                "conditions": [{"action_condition": {"action": "BLOCK"}}],
            }
        ],
    }
    aws.wafv2.WebAclLoggingConfiguration(
        name,
        resource_arn=acl.arn,
        log_destination_configs=[log.arn],
        redacted_fields=redacted,
        logging_filter=blocked,
        opts=opts,
    )


def rules(rate_limit_requests: int) -> list[Any]:
    counted = [
        {"name": rule, "action_to_use": {"count": {}}}
        for each in EXEMPTIONS
        for rule in each.counted
    ]
    return [
        {
            "name": "rate",
            "priority": 0,
            "action": {"block": {"custom_response": {"response_code": 429}}},
            "statement": {
                "rate_based_statement": {
                    "limit": rate_limit_requests,
                    "evaluation_window_sec": WINDOW_SECONDS,
                    "aggregate_key_type": "IP",
                }
            },
            "visibility_config": visibility("rate"),
        },
        managed(COMMON, 1, counted),
        *(elsewhere(exemption, priority) for priority, exemption in enumerate(EXEMPTIONS, start=2)),
        *(
            managed(group, priority, [])
            for priority, group in enumerate(OTHERS, start=2 + len(EXEMPTIONS))
        ),
    ]


def elsewhere(exemption: Exemption, priority: int) -> dict[str, Any]:
    labels = [
        {"label_match_statement": {"scope": "LABEL", "key": LABEL + key}}
        for key in exemption.counted.values()
    ]
    paths = [under(path) for path in exemption.paths]
    return {
        "name": exemption.name,
        "priority": priority,
        "action": {"block": {}},
        "statement": {
            "and_statement": {
                "statements": [either(labels), {"not_statement": {"statement": either(paths)}}]
            }
        },
        "visibility_config": visibility(exemption.name),
    }


def managed(group: str, priority: int, overrides: list[Any]) -> dict[str, Any]:
    statement = {"vendor_name": "AWS", "name": group, "rule_action_overrides": overrides}
    return {
        "name": group,
        "priority": priority,
        # The group's own actions stand: they block.
        "override_action": {"none": {}},
        "statement": {"managed_rule_group_statement": statement},
        "visibility_config": visibility(group),
    }


def under(path: str) -> dict[str, Any]:
    return {
        "byte_match_statement": {
            "field_to_match": {"uri_path": {}},
            "positional_constraint": "STARTS_WITH",
            "search_string": path,
            "text_transformations": [{"priority": 0, "type": "NORMALIZE_PATH"}],
        }
    }


def either(statements: Sequence[Any]) -> dict[str, Any]:
    """Joins statements: AWS refuses an `or` of one."""
    return (
        {"or_statement": {"statements": list(statements)}}
        if len(statements) > 1
        else dict(statements[0])
    )


def visibility(metric: str) -> Any:
    # Sampled requests would hold what people send.
    return {
        "cloudwatch_metrics_enabled": True,
        "sampled_requests_enabled": False,
        "metric_name": metric,
    }
