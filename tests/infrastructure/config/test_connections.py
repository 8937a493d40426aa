"""The pools of what runs on an instance fit into what it takes, in each of our stacks and in any
that is refused.
"""

import ast
import inspect
import json

import pytest

from apps.catalogue import SERVICES
from apps.patient import app as patient_app
from apps.release.release import PREVIEW_CONNECTIONS
from infrastructure.config import connections
from infrastructure.config.connections import (
    OUTSIDE_POOL,
    PREVIEW_POOL_SIZE,
    RESERVED_CONNECTIONS,
    ROLLING,
    capacity,
    of_environment,
    of_role,
    opened,
    previews_that_fit,
    replicas,
)
from infrastructure.config.files import read_config
from infrastructure.config.model import EnvironmentStack, SettingsError
from infrastructure.config.parse import parse_stack
from infrastructure.recording import Recording
from tests.infrastructure.config.test_parse import nested

pytestmark = pytest.mark.infrastructure
ENVIRONMENTS = ("dev", "staging", "prod")


def stack_of(name: str) -> EnvironmentStack:
    stack = parse_stack(name, read_config(name))
    assert isinstance(stack, EnvironmentStack)
    return stack


@pytest.mark.parametrize(
    ("instance_class", "seen"),
    [("db.t4g.micro", 80), ("db.t4g.small", 190), ("db.t4g.medium", 405), ("db.m7g.large", 830)],
)
def test_what_a_class_takes_is_reckoned_below_what_was_seen(instance_class: str, seen: int) -> None:
    assert 0.8 * seen < capacity(instance_class) < seen


def test_a_larger_class_takes_more_up_to_rdss_own_limit() -> None:
    taken = [
        capacity(f"db.{size}")
        for size in (
            "t4g.micro",
            "t4g.small",
            "m7g.large",
            "r7g.large",
            "m7g.2xlarge",
            "r7g.2xlarge",
        )
    ]
    assert taken == sorted(set(taken))
    assert capacity("db.r7g.16xlarge") == 5_000 - RESERVED_CONNECTIONS


def test_what_a_patients_replica_holds_beside_its_pool_is_what_its_code_opens() -> None:
    (made,) = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(patient_app)))
        if isinstance(node, ast.ListComp)
        and isinstance(node.elt, ast.Call)
        and "Relay" in ast.dump(node.elt.func)
    ]
    destinations = made.generators[0].iter
    assert isinstance(destinations, ast.Tuple)
    assert {"patient": len(destinations.elts)} == OUTSIDE_POOL


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_pool_of_an_environment_fits_while_it_rolls(name: str) -> None:
    stack = stack_of(name)
    for instance in stack.config.data.instances.values():
        most = 0
        for entry in SERVICES.values():
            if set(entry.databases) & set(instance.databases):
                count = replicas(entry, stack.config, production=stack.production).maximum
                most += (
                    ROLLING
                    * count
                    * (stack.config.data.pool_size + OUTSIDE_POOL.get(entry.name, 0))
                )
        assert most == of_environment(stack.config, instance.databases, production=stack.production)
        assert most <= capacity(instance.instance_class)


def test_settings_whose_pools_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(
        SettingsError, match=r"data\.pool-size: the pools on data\.instances\.main may open 248"
    ):
        parse_stack("dev", nested("dev", "data", **{"pool-size": 12}))
    with pytest.raises(SettingsError, match=r"data\.pool-size must be from 1 to 50"):
        parse_stack("dev", nested("dev", "data", **{"pool-size": 0}))
    instances = json.loads(read_config("dev")["patient-management:data"])["instances"]
    instances["main"]["instance-class"] = "db.x2g.huge"
    with pytest.raises(
        SettingsError, match=r"data\.instances\.main\.instance-class: how much memory"
    ):
        parse_stack("dev", nested("dev", "data", instances=instances))


def test_a_base_that_takes_no_previews_connections_is_refused() -> None:
    instances = json.loads(read_config("dev")["patient-management:data"])["instances"]
    instances["main"]["instance-class"] = "db.t4g.micro"
    small = nested("dev", "data", instances=instances)
    with pytest.raises(
        SettingsError, match="previews: the databases' instances take no preview's connections"
    ):
        parse_stack("dev", small)
    parse_stack("dev", {**small, "patient-management:previews": "false"})
    fewer = {**small, "patient-management:replicas": json.dumps({"minimum": 1, "maximum": 1})}
    parse_stack("dev", fewer)


def test_so_many_previews_fit_on_dev_and_no_more() -> None:
    config = stack_of("dev").config
    (instance,) = config.data.instances.values()
    count = previews_that_fit(config)
    one = sum(opened(entry, 1, PREVIEW_POOL_SIZE) for entry in SERVICES.values())
    own = of_environment(config, instance.databases, production=False)
    assert own + count * one <= capacity(instance.instance_class) < own + (count + 1) * one
    assert count == 6
    assert previews_that_fit(stack_of("staging").config) == 0


def test_the_services_and_their_roles_are_told_what_was_reckoned(
    stacks: dict[str, Recording],
) -> None:
    for name, stack in stacks.items():
        given: dict[str, dict[str, str]] = {}
        for task in stack.of("aws:ecs/taskDefinition:TaskDefinition"):
            (container,) = json.loads(task.inputs["containerDefinitions"])
            given[container["name"]] = {
                each["name"]: each["value"] for each in container["environment"]
            }
        size = (
            stack.stack.config.data.pool_size
            if isinstance(stack.stack, EnvironmentStack)
            else PREVIEW_POOL_SIZE
        )
        sizes = {
            variables["DATABASE_POOL_SIZE"]
            for variables in given.values()
            if "DATABASE_IAM" in variables
        }
        assert sizes == {str(size)}
        if isinstance(stack.stack, EnvironmentStack):
            limit = int(given["release"]["RUNTIME_CONNECTIONS"])
            assert limit == of_role(stack.stack.config, production=name == "prod")
            for entry in SERVICES.values():
                count = replicas(entry, stack.stack.config, production=name == "prod").maximum
                assert limit >= ROLLING * opened(entry, count, size)


def test_a_previews_role_may_open_what_its_pools_need() -> None:
    assert (
        max(ROLLING * opened(entry, 1, PREVIEW_POOL_SIZE) for entry in SERVICES.values())
        <= PREVIEW_CONNECTIONS
    )


def test_the_alarm_rings_before_an_instance_is_full(stacks: dict[str, Recording]) -> None:
    for name in ENVIRONMENTS:
        stack = stacks[name]
        classes = {
            each.inputs["identifier"]: each.inputs["instanceClass"]
            for each in stack.of("aws:rds/instance:Instance")
        }
        alarms = [
            each.inputs
            for each in stack.of("aws:cloudwatch/metricAlarm:MetricAlarm")
            if each.inputs["metricName"] == "DatabaseConnections"
        ]
        assert len(alarms) == len(classes)
        for alarm in alarms:
            full = capacity(classes[alarm["dimensions"]["DBInstanceIdentifier"]])
            assert 0.75 * full < alarm["threshold"] <= 0.8 * full


def test_pools_may_take_all_that_an_instance_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_of("dev")
    (name,) = stack.config.data.instances
    instance = stack.config.data.instances[name]
    wanted = of_environment(stack.config, instance.databases, production=False)
    for taken, is_enough in ((wanted, True), (wanted - 1, False)):
        monkeypatch.setattr(connections, "capacity", lambda _, taken=taken: taken)
        faults = connections.instance_faults(name, instance, stack.config, False)
        assert (faults == []) is is_enough


@pytest.mark.parametrize(
    ("size", "fault"), [(50, "the pools on data.instances.main"), (51, "must be from 1 to 50")]
)
def test_pool_is_of_1_to_50_connections(size: int, fault: str) -> None:
    parse_stack("dev", nested("dev", "data", **{"pool-size": 1}))
    with pytest.raises(SettingsError, match=rf"data\.pool-size.* {fault}"):
        parse_stack("dev", nested("dev", "data", **{"pool-size": size}))
