"""Whatever a killed run left in AWS is found and goes, and nothing else: in moto, compared as a
whole.
"""

import functools
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from infrastructure.preview.driver import Driver
from infrastructure.preview.errors import PreviewError
from infrastructure.preview.leftovers import Images, Leftover, Leftovers, LogGroups
from infrastructure.preview.names import Preview
from infrastructure.preview.pulls import pulls_listed
from infrastructure.preview.reap import reap
from infrastructure.preview.sweep import KINDS, Kind, Tagged, kind_of
from tests.infrastructure.preview.fakes import World
from tests.infrastructure.preview.full_preview import everything
from tests.infrastructure.preview.leftovers import MAKERS, Ground, tags

pytestmark = pytest.mark.infrastructure

ONE, TWELVE = Preview(1), Preview(12)
PARTS = st.sets(st.sampled_from(sorted(MAKERS)), max_size=6)


class Ashore:
    """An account with a base in it, in which every kind of thing that a preview makes is the base's
    too.
    """

    def __init__(self, session: boto3.Session) -> None:
        self.session, self.ground = session, Ground(session)
        self.world = World()
        self.leave("dev", set(MAKERS))
        self.owner = session.client("sts").get_caller_identity()["Account"]
        self.base = self.all_there_is()

    def leave(self, stack: str, parts: set[str]) -> None:
        for part in sorted(parts):
            MAKERS[part](self.ground, stack)

    def all_there_is(self) -> tuple[set[str], set[str]]:
        """The second: what moto lists for ever, as long as it is in use."""
        ecs: Any = self.session.client("ecs")
        arns = ecs.list_services(cluster="dev")["serviceArns"]
        described = ecs.describe_services(cluster="dev", services=arns)["services"] if arns else []
        services = {service["serviceArn"] for service in described if service["status"] == "ACTIVE"}
        return everything(self.owner), services | set(
            ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
        )

    def driver(self) -> Driver:
        """The real places where moto has them, and the fake cloud's topics and databases."""
        kinds = (
            Tagged(self.session),
            self.world.kinds["database"],
            self.world.kinds["topic"],
            Images(self.session.client("ecr"), "preview/"),
            LogGroups(self.session.client("logs"), "/patient-management/"),
        )
        return Driver(
            base="dev",
            stacks=self.world.stacks,
            leftovers=Leftovers(kinds),
            say=self.world.said.append,
            now=self.world.clock.now,
        )


@pytest.fixture
def ashore(session: boto3.Session, monkeypatch: pytest.MonkeyPatch) -> Ashore:
    # A client takes longer to make than moto to answer it.
    monkeypatch.setattr(session, "client", functools.cache(session.client))
    return Ashore(session)


@settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(of_one=PARTS, of_twelve=PARTS, in_the_fake=st.sets(st.sampled_from(["database", "topic"])))
def test_whatever_part_of_two_previews_was_left_goes_and_the_base_is_as_before(
    ashore: Ashore, of_one: set[str], of_twelve: set[str], in_the_fake: set[str]
) -> None:
    ashore.leave("pr-12", of_twelve)
    without_one = ashore.all_there_is()
    ashore.leave("pr-1", of_one)
    ashore.world.cloud.resources |= {(kind, "pr-1") for kind in in_the_fake}
    ashore.driver().down(ONE)
    assert ashore.all_there_is() == without_one
    reaped = reap(ashore.driver(), pulls_listed("1,12"), dry_run=False)
    assert {verdict.preview for verdict in reaped.verdicts} == ({TWELVE} if of_twelve else set())
    assert not reaped.failed
    assert ashore.all_there_is() == ashore.base
    assert ashore.world.cloud.of_previews() == set()


def test_down_repeats_safely_on_all_of_it(ashore: Ashore) -> None:
    ashore.leave("pr-1", set(MAKERS))
    for _ in range(2):
        ashore.driver().down(ONE)
    assert ashore.all_there_is() == ashore.base


def test_what_is_still_held_does_not_keep_the_rest(
    ashore: Ashore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(session: boto3.Session, arn: str) -> None:
        raise ClientError(
            {"Error": {"Code": "DependencyViolation", "Message": "held"}}, "DeleteSecurityGroup"
        )

    group = KINDS["ec2:security-group"]
    ashore.leave("pr-1", set(MAKERS))
    tagged = Tagged(ashore.session)
    with monkeypatch.context() as patch:
        patch.setitem(KINDS, "ec2:security-group", Kind(group.there, held))
        with pytest.raises(PreviewError, match="security-group/"):
            tagged.remove(ONE)
    left = {kind_of(leftover.name) for leftover in tagged.find() if leftover.preview == ONE}
    assert left == {"ec2:security-group"}
    ashore.driver().down(ONE)
    assert ashore.all_there_is() == ashore.base


def test_secret_that_is_scheduled_for_deletion_is_no_leftover(session: boto3.Session) -> None:
    secrets = session.client("secretsmanager")
    made = [
        secrets.create_secret(Name=f"preview/pr-1/{name}", SecretString="x", Tags=tags("pr-1"))[
            "ARN"
        ]
        for name in ("going", "staying")
    ]
    # As Pulumi deletes one that may be brought back.
    secrets.delete_secret(SecretId=made[0], RecoveryWindowInDays=7)
    found = {leftover.name for leftover in Tagged(session).find()}
    assert found == {made[1]}


def test_what_nobody_knows_how_to_delete_is_named(session: boto3.Session) -> None:
    made = session.client("sns").create_topic(Name="surprise", Tags=tags("pr-1"))["TopicArn"]
    with pytest.raises(PreviewError, match=made):
        Tagged(session).remove(ONE)


def test_every_kind_that_is_swept_has_its_place_in_the_order() -> None:
    order = list(KINDS)
    for before, after in (
        ("elasticloadbalancing:listener-rule", "elasticloadbalancing:targetgroup"),
        ("ecs:service", "elasticloadbalancing:targetgroup"),
        ("ecs:service", "ec2:security-group"),
        ("ec2:security-group-rule", "ec2:security-group"),
        ("ecs:service", "iam:role"),
    ):
        assert order.index(before) < order.index(after)


def test_each_thing_goes_before_what_it_holds_on_to(monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[str] = []
    kind = Kind(lambda session, arn: True, lambda session, arn: deleted.append(arn))
    monkeypatch.setattr("infrastructure.preview.sweep.KINDS", dict.fromkeys(KINDS, kind))
    # In the order of their ARNs the group would go before the service that carries it.
    arns = [
        "arn:aws:ec2:us-east-1:1:security-group/sg-1",
        "arn:aws:ecs:us-east-1:1:service/it/pr-1-auth",
        "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/pr-1/1",
        "arn:aws:iam::1:role/preview/pr-1-auth",
    ]
    found = [Leftover("resource", ONE, arn) for arn in arns]
    monkeypatch.setattr(Tagged, "find", lambda self: found)
    Tagged(boto3.Session(region_name="us-east-1")).remove(ONE)
    order = ["ecs:service", "elasticloadbalancing:targetgroup", "ec2:security-group", "iam:role"]
    assert [kind_of(arn) for arn in deleted] == order
