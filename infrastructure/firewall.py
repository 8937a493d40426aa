"""The WAF before the balancer: AWS's managed rules in blocking mode, and a rate for each address.

Two rules of the common set would block the product itself: `SizeRestrictions_BODY` (8 KiB) every Bundle, and
`CrossSiteScripting_BODY` every record's narrative, which is XHTML by its definition (FHIR R4, Narrative.div).
They only count, and label; the rule after the set blocks what they labelled everywhere but under the record's paths.
"""

from typing import Any

import pulumi
import pulumi_aws as aws

EXEMPT_PATHS = ("/fhir/R4", "/api")
COMMON = "AWSManagedRulesCommonRuleSet"
OTHERS = ("AWSManagedRulesKnownBadInputsRuleSet", "AWSManagedRulesAmazonIpReputationList")
# By the rule's name, the label that it leaves:
# https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
COUNTED = {
    "SizeRestrictions_BODY": "awswaf:managed:aws:core-rule-set:SizeRestrictions_Body",
    "CrossSiteScripting_BODY": "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body",
}
WINDOW_SECONDS = 300


def firewall(name: str, rate_limit_requests: int, opts: pulumi.ResourceOptions) -> aws.wafv2.WebAcl:
    """`rate_limit_requests`: in five minutes, from one address."""
    return aws.wafv2.WebAcl(
        name,
        scope="REGIONAL",
        default_action={"allow": {}},
        rules=rules(rate_limit_requests),
        visibility_config=visibility("firewall"),
        opts=opts,
    )


def rules(rate_limit_requests: int) -> list[Any]:
    counted = [{"name": rule, "action_to_use": {"count": {}}} for rule in COUNTED]
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
        {
            "name": "counted-elsewhere",
            "priority": 2,
            "action": {"block": {}},
            "statement": {
                "and_statement": {
                    "statements": [
                        either([{"label_match_statement": {"scope": "LABEL", "key": key}} for key in COUNTED.values()]),
                        {"not_statement": {"statement": either([under(path) for path in EXEMPT_PATHS])}},
                    ]
                }
            },
            "visibility_config": visibility("counted-elsewhere"),
        },
        *(managed(group, priority, []) for priority, group in enumerate(OTHERS, start=3)),
    ]


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


def either(statements: list[Any]) -> dict[str, Any]:
    return {"or_statement": {"statements": statements}}


def visibility(metric: str) -> Any:
    # Sampled requests would hold what people send.
    return {"cloudwatch_metrics_enabled": True, "sampled_requests_enabled": False, "metric_name": metric}
