"""A moto server: the account in this process's `mock_aws()`, behind a socket on loopback, for other
processes' SDKs.

moto's own server needs Flask. What moto lacks and the drivers ask for is here: topics, and the
release's runner, which answers as `infrastructure.runner.handler` plans, with databases that are
names in a set.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest
from moto.core.models import botocore_stubber

from apps.catalogue import DATABASES
from infrastructure.runner import handler
from tests.infrastructure.fake_aws.moto_resources import REGION

SERVICES = (
    "acm",
    "acm-pca",
    "application-autoscaling",
    "budgets",
    "cloudwatch",
    "ec2",
    "ecr",
    "ecs",
    "elbv2",
    "events",
    "iam",
    "kafka",
    "kms",
    "lambda",
    "logs",
    "rds",
    "resourcegroupstaggingapi",
    "route53",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "sns",
    "sts",
    "wafv2",
)
SIGNED_FOR = re.compile(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/aws4_request")
TOPICS = re.compile(r"/v1/clusters/([^/]+)/topics(?:/([^/]+))?\Z")
INVOCATIONS = re.compile(r"/2015-03-31/functions/([^/]+)/invocations\Z")
Answer = tuple[int, dict[str, str], bytes]


class Account:
    """`topics` and `databases` by name: what no census of moto would see."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.databases: set[str] = set()
        self.invoked: list[dict[str, Any]] = []
        # A release that fails: its migrations, say.
        self.fails = False
        self.lock = threading.Lock()
        self.hosts: dict[str, str] = {}
        for name in SERVICES:
            meta = self.client(name).meta
            self.hosts[meta.service_model.signing_name] = meta.endpoint_url

    def client(self, service: str) -> Any:
        make: Any = boto3.client
        return make(service, region_name=REGION)

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path = urlsplit(target).path
        if matched := TOPICS.match(path):
            return as_json(self.topic(method, unquote(matched[2] or ""), body))
        if matched := INVOCATIONS.match(path):
            if self.fails:
                return (
                    200,
                    {"X-Amz-Function-Error": "Unhandled"},
                    b'{"errorMessage": "migrate failed"}',
                )
            return as_json(self.invoke(matched[1], json.loads(body)))
        signed = SIGNED_FOR.search(headers.get("Authorization", ""))
        # A token's request is not signed, and only STS takes such.
        host = self.hosts[signed[1] if signed else "sts"]
        given: Any = {**headers, "Host": urlsplit(host).netloc}
        found = botocore_stubber.process_request(
            AWSPreparedRequest(method, host + target, given, body, False)
        )
        assert found, f"{method} {host}{target}"
        status, answered, content = found
        if headers.get("X-Amz-Target", "").endswith(".DescribeServices") and status == 200:
            content = json.dumps(rolled_out(json.loads(content)))
        return status, {str(k): str(v) for k, v in answered.items()}, encoded(content)

    def topic(self, method: str, name: str, body: bytes) -> dict[str, Any]:
        if method == "GET":
            return {"topics": [{"topicName": each} for each in sorted(self.topics)]}
        if method == "POST":
            self.topics.add(json.loads(body)["topicName"])
        else:
            self.topics.discard(name)
        return {}

    def invoke(self, function: str, event: dict[str, Any]) -> dict[str, Any]:
        made = self.client("lambda").get_function_configuration(FunctionName=function)
        if event == {"action": "list"}:
            return {"databases": sorted(name for name in self.databases if name.startswith("pr_"))}
        if event["action"] == "steady":
            # moto rolls nothing out.
            return {"steady": sorted(event["services"])}
        self.invoked.append({**event, "action": event.get("tf", event)["action"]})
        for _, (command, *options) in handler.plan(made["Environment"]["Variables"], event):
            names = {f"{options[-1] if options else ''}{database}" for database in DATABASES}
            self.databases = self.databases - names if command == "drop" else self.databases | names
        return {"ran": []}


def rolled_out(described: dict[str, Any]) -> dict[str, Any]:
    """Returns ECS' answer as if every service had its tasks: moto starts none."""
    for service in described["services"]:
        service["runningCount"] = service["desiredCount"]
        for each in service["deployments"]:
            each.update(
                taskDefinition=service["taskDefinition"],
                rolloutState="COMPLETED",
                runningCount=each["desiredCount"],
            )
    return described


def as_json(value: dict[str, Any]) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def encoded(content: Any) -> bytes:
    return content if isinstance(content, bytes) else str(content or "").encode()


@contextmanager
def serve(account: Account) -> Iterator[str]:
    """Gives the endpoint's URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            # moto's models are not made for threads.
            with account.lock:
                status, headers, content = account.answer(
                    self.command, self.path, dict(self.headers), body
                )
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "date",
                    "server",
                    "connection",
                    "transfer-encoding",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_any

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
