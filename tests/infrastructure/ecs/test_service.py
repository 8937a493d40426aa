"""How what runs is asked whether it is well, stopped, reached and built, and what it stands on."""

from urllib.parse import urlsplit

import pytest

from apps.catalogue import SERVICES
from apps.kit import http_server, probe, rpc
from infrastructure.ecs.image_source import IMAGES
from infrastructure.recording import Recording
from tests.infrastructure.tasks import TASK, container_of, environment_of

pytestmark = pytest.mark.infrastructure
ENVIRONMENTS = ("dev", "staging", "prod")
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
ECS_TAKES = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}
FARGATE_WAITS_SECONDS = 120


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_is_asked_whether_it_lives_where_it_listens(
    stacks: dict[str, Recording], service: str
) -> None:
    liveness = SERVICES[service].liveness
    for name, stack in stacks.items():
        task = stack.one(TASK, f"{name}-{service}")
        container = container_of(task)
        check, (port,) = container["healthCheck"], container["portMappings"]
        *command, url = check["command"]
        own_tls = environment_of(task).get("TLS_SELF_SIGNED") == "true"
        assert command == ["CMD", "python", "-m", probe.__name__]
        assert urlsplit(url)[:3] == (
            "https" if own_tls else port["appProtocol"],
            f"127.0.0.1:{port['containerPort']}",
            liveness.path,
        )
        assert (check["interval"], check["retries"]) == (
            liveness.period_seconds,
            liveness.failure_threshold,
        )
        assert check["timeout"] > probe.TIMEOUT_SECONDS
        assert all(least <= check[key] <= most for key, (least, most) in ECS_TAKES.items())


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_gets_the_time_that_it_takes_to_stop(
    stacks: dict[str, Recording], service: str
) -> None:
    for name, stack in stacks.items():
        stops = container_of(stack.one(TASK, f"{name}-{service}"))["stopTimeout"]
        assert stops == SERVICES[service].stop_seconds
        assert (
            max(http_server.GRACEFUL_STOP_SECONDS, rpc.GRACEFUL_STOP_SECONDS)
            < stops
            <= FARGATE_WAITS_SECONDS
        )


def test_the_balancer_adds_whom_it_asks_for_and_lets_go_before_the_gateway_does(
    stacks: dict[str, Recording],
) -> None:
    for name in ENVIRONMENTS:
        (balancer,) = stacks[name].of("aws:lb/loadBalancer:LoadBalancer")
        # In any other mode the gateway would take everybody for the balancer's own check:
        # docs/decisions/0501.
        assert balancer.inputs["xffHeaderProcessingMode"] == "append"
        assert balancer.inputs["idleTimeout"] < http_server.KEEP_ALIVE_SECONDS


def test_balancer_refuses_requests_that_two_servers_could_read_differently(
    stacks: dict[str, Recording],
) -> None:
    for name in ENVIRONMENTS:
        (balancer,) = stacks[name].of("aws:lb/loadBalancer:LoadBalancer")
        assert balancer.inputs["desyncMitigationMode"] == "strictest"
        assert balancer.inputs["dropInvalidHeaderFields"] is True


def test_databases_log_who_connects_and_never_what_people_are(stacks: dict[str, Recording]) -> None:
    for name in ENVIRONMENTS:
        for group in stacks[name].of("aws:rds/parameterGroup:ParameterGroup"):
            given = {each["name"]: each["value"] for each in group.inputs["parameters"]}
            assert given == {
                "rds.force_ssl": "1",
                "log_statement": "ddl",
                "log_connections": "1",
                "log_disconnections": "1",
                "log_min_duration_statement": "1000",
                # Neither a slow statement nor a failed one shows its values.
                "log_parameter_max_length": "0",
                "log_parameter_max_length_on_error": "0",
            }


def test_productions_databases_stand_in_two_zones_each(stacks: dict[str, Recording]) -> None:
    for name in ENVIRONMENTS:
        instances = stacks[name].of("aws:rds/instance:Instance")
        assert {each.inputs["multiAz"] for each in instances} == {name == "prod"}


def test_images_are_built_for_what_runs_them_and_by_no_preview(
    dev: Recording, stacks: dict[str, Recording]
) -> None:
    images = dev.of("docker-build:index:Image")
    assert {each.name for each in images} == {f"image-{image}" for image in IMAGES}
    for each in images:
        assert each.inputs["platforms"] == ["linux/arm64"]
        assert each.inputs["push"] is True
        # A pull request's preview of a deployment has no builder, and no right to push.
        assert each.inputs["buildOnPreview"] is False
    for stack in stacks.values():
        for task in stack.of(TASK):
            assert task.inputs["runtimePlatform"] == {
                "cpuArchitecture": "ARM64",
                "operatingSystemFamily": "LINUX",
            }
