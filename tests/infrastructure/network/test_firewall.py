"""What the firewall blocked can be told: by address, path and rule, without what people sent."""

import pytest

from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
LOGGING = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"


@pytest.fixture(params=["dev", "staging", "prod"])
def stack(request: pytest.FixtureRequest, stacks: dict[str, Recording]) -> Recording:
    return stacks[request.param]


def test_blocked_requests_are_logged_and_no_others(stack: Recording) -> None:
    (logging,) = stack.of(LOGGING)
    (acl,) = stack.of("aws:wafv2/webAcl:WebAcl")
    log = stack.one("aws:cloudwatch/logGroup:LogGroup", f"patient-{stack.stack.name}-firewall")
    kept = logging.inputs["loggingFilter"]

    assert logging.inputs["resourceArn"] == acl.outputs["arn"]
    assert logging.inputs["logDestinationConfigs"] == [log.outputs["arn"]]
    # AWS refuses any other beginning.
    assert log.inputs["name"].startswith("aws-waf-logs-")
    assert log.inputs["kmsKeyId"]
    assert kept["defaultBehavior"] == "DROP"
    assert [
        (each["behavior"], [one["actionCondition"]["action"] for one in each["conditions"]])
        for each in kept["filters"]
    ] == [("KEEP", ["BLOCK"])]


def test_the_log_holds_no_token_and_no_query(stack: Recording) -> None:
    (logging,) = stack.of(LOGGING)
    redacted = logging.inputs["redactedFields"]
    headers = {each["singleHeader"]["name"] for each in redacted if "singleHeader" in each}
    assert headers == {"authorization", "cookie"}
    assert any("queryString" in each for each in redacted)


def test_flow_logs_hold_rejected_traffic_for_three_months_at_most(stack: Recording) -> None:
    (flow,) = stack.of("aws:ec2/flowLog:FlowLog")
    log = stack.one("aws:cloudwatch/logGroup:LogGroup", f"patient-{stack.stack.name}-flows")
    assert flow.inputs["trafficType"] == "REJECT"
    assert log.inputs["retentionInDays"] <= 90
