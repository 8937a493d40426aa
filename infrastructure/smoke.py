"""`python -m infrastructure.smoke STACK`, after `pulumi up`: does what was brought up run, and does
it answer?

ECS takes a deployment that fails back to the one before, and is steady again: to `pulumi up` that
may look like a success. So each service must run the very definition that the stack declared, the
address must answer for the services behind it, and a client must get a token and be let in with it.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import boto3

from apps.client.client import Response, open_client
from apps.client.settings import ClientSettings, PlatformError
from apps.verbs import VERBS
from infrastructure.operate import aws
from infrastructure.operate.answers import RefusedError
from infrastructure.runner.steady import DeploymentFailedError, find_unsteady

# Steady is what `pulumi up` waited for; a new address needs a while to be known.
LIMIT_SECONDS = 300.0
PAUSE_SECONDS = 5.0
ANSWER_SECONDS = 10.0
DISCOVERY = "/.well-known/openid-configuration"
# The client by which this test signs in. It may read figures, which name nobody, and its secret is
# new each time.
CLIENT_NAME = "Smoke test"
CLIENT_SCOPE = "analytics.read"
CLIENT_PATH = "/analytics/v1/lag"
# By the gateway from auth, from the patient service, and by the gateway itself, which lets nobody
# in without a token.
QUESTIONS: Mapping[str, int] = {DISCOVERY: 200, "/fhir/R4/metadata": 200, "/api/patients": 401}


class BrokenError(Exception):
    """It is not what was brought up, and will not become it by waiting."""


class NotReadyError(Exception):
    """It is not there, and may come."""


@dataclass(frozen=True, slots=True)
class Running:
    """`definitions`: the task definition's ARN by the ECS service's name."""

    url: str
    cluster: str
    region: str
    definitions: Mapping[str, str]


def read_running(outputs: Mapping[str, Any]) -> Running:
    """Reads a stack's outputs. Raises Broken where it was brought up by a program
    that told less.
    """
    try:
        services = outputs["services"].values()
        arn = outputs["platform"]["cluster_arn"]
        definitions = {each["name"]: each["definition"] for each in services}
        return Running(outputs["url"], arn, arn.split(":")[3], definitions)
    except (KeyError, IndexError, AttributeError) as error:
        raise BrokenError(
            f"the stack's outputs lack {error}: bring it up with this version first"
        ) from error


def check_services(ecs: Any, running: Running) -> None:
    """Raises BrokenError or NotReadyError."""
    try:
        missing = find_unsteady(ecs, running.cluster, running.definitions)
    except DeploymentFailedError as error:
        raise BrokenError(str(error)) from error
    if missing:
        raise NotReadyError("; ".join(missing))


def check_answers(url: str) -> None:
    """Asks each service behind the address. Raises BrokenError or NotReadyError."""
    for path, wanted in QUESTIONS.items():
        response = ask(url, path)
        if response.status != wanted:
            raise NotReadyError(f"{url}{path} answers {response.status}, not {wanted}")
        if path == DISCOVERY and (issuer := read_issuer(response.body)) != url:
            raise BrokenError(f"{url}{path} speaks for {issuer}, not for {url}")


# Runs a verb of scripts/operate with these arguments and returns its answer.
Operate = Callable[[str, Mapping[str, Any]], Any]


def check_sign_in(url: str, operate: Operate) -> None:
    """Gets a token with a client of this test's own and reads with it.

    Raises BrokenError or NotReadyError.
    """
    try:
        client_id, secret = take_client(operate)
    except RefusedError as error:
        raise BrokenError(f"no client to sign in with: {error}") from error

    settings = ClientSettings(url=url, client_id=client_id, client_secret=secret)
    answered = asyncio.run(sign_in(settings))
    if answered.status != 200:
        raise NotReadyError(f"{url}/oauth2/token answers {answered.status}: nobody can sign in")

    response = ask(url, CLIENT_PATH, token=answered.body["access_token"])
    if response.status != 200:
        raise NotReadyError(f"{url}{CLIENT_PATH} answers {response.status} to a token, not 200")


async def sign_in(settings: ClientSettings) -> Response:
    """Asks for a token by client credentials. Raises NotReadyError if nothing answers."""
    try:
        # Whether to ask again is this test's own decision.
        async with open_client(settings=settings, retry_seconds=0) as client:
            return await client.request_token(scope=CLIENT_SCOPE)
    except PlatformError as error:
        raise NotReadyError(str(error)) from error


def take_client(operate: Operate) -> tuple[str, str]:
    """Returns id and new secret of the test's client, made at its first run.

    Raises RefusedError.
    """
    found = [each["id"] for each in operate("clients list", {}) if each["name"] == CLIENT_NAME]
    if found:
        made = operate("clients rotate-secret", {"client_id": found[0]})
    else:
        made = operate("clients create", {"name": CLIENT_NAME, "scope": [CLIENT_SCOPE]})
    return str(made["id"]), str(made["secret"])


def ask(url: str, path: str, *, token: str | None = None) -> Response:
    """Sends one GET. Raises NotReadyError if nothing answers in time."""

    async def send() -> Response:
        # Nobody signs in by these settings: the request carries `token` or none.
        nobody = ClientSettings(url=url, client_id="", client_secret="")
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with open_client(settings=nobody) as client:
            return await client.send("GET", path, token=token, timeout=timeout)

    try:
        return asyncio.run(send())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise NotReadyError(f"{url} does not answer: {type(error).__name__}") from error


def read_issuer(body: Any) -> str:
    """Returns the issuer of a discovery document; `nobody` if it is none."""
    return str(body["issuer"]) if isinstance(body, dict) and "issuer" in body else "nobody"


def wait_for(
    check: Callable[[], None],
    limit_seconds: float = LIMIT_SECONDS,
    pause_seconds: float = PAUSE_SECONDS,
) -> None:
    """Repeats `check` until it holds.

    Raises BrokenError at the end of the time, with what was last seen.
    """
    end = time.monotonic() + limit_seconds
    while True:
        try:
            return check()
        except NotReadyError as error:
            if time.monotonic() + pause_seconds > end:
                raise BrokenError(f"after {limit_seconds:.0f} seconds: {error}") from error
        time.sleep(pause_seconds)


def read_outputs(stack: str) -> Mapping[str, Any]:
    command = ["pulumi", "stack", "output", "--json", "--stack", stack]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BrokenError(f"{' '.join(command)}: {done.stderr.strip()}")
    outputs: Mapping[str, Any] = json.loads(done.stdout)
    return outputs


def check_sign_in_once(stack: str, running: Running) -> None:
    """Signs in by the environment's own verbs. Raises BrokenError."""
    session = boto3.Session(region_name=running.region)
    clients = aws.open_clients(session)

    def operate(verb: str, values: Mapping[str, Any]) -> Any:
        return aws.run(stack, VERBS[verb], values, None, clients=clients)

    try:
        check_sign_in(running.url, operate)
    except NotReadyError as error:
        raise BrokenError(str(error)) from error


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m infrastructure.smoke", description=__doc__)
    parser.add_argument("stack")
    stack = parser.parse_args(arguments).stack
    try:
        running = read_running(read_outputs(stack))
        ecs = boto3.client("ecs", region_name=running.region)
        wait_for(lambda: check_services(ecs, running))
        wait_for(lambda: check_answers(running.url))
        # Once: each try starts tasks.
        check_sign_in_once(stack, running)
    except BrokenError as error:
        print(f"smoke: {stack}: {error}", file=sys.stderr)
        return 1
    print(f"smoke: {stack} runs what was brought up, {running.url} answers, and a client signed in")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
