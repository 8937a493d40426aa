"""`pulumi-resource-aws`, `-docker-build` and `-random` for the real engine: each resource is made
as `Moto` makes it.

The engine, its state, its graph and its order are Pulumi's own. What only the real provider knows
is not here: its own checks, and which change replaces a resource (`REPLACED` says it for those that
change in a test).
"""

import itertools
import json
import os
import secrets
import signal
import sys
from concurrent import futures
from importlib.metadata import version
from typing import Any

import grpc
from botocore.exceptions import ClientError
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infrastructure.plan.record import restore_integers
from tests.infrastructure.fake_aws.deletion import ENDS, LOOKS
from tests.infrastructure.fake_aws.moto_resources import Made, Moto

RANDOM = "random:index/randomId:RandomId"
REPLACED = {"aws:ecs/taskDefinition:TaskDefinition", RANDOM}
INVOCATION = "aws:lambda/invocation:Invocation"
SERVICE = "aws:ecs/service:Service"
TOPIC = "aws:msk/topic:Topic"
# A marker: it must be nowhere in plain text.
PASSWORD = "registry-password"
State = dict[str, Any]


class Cloud(Moto):
    """`Moto` over an endpoint, with what the server has beyond moto: topics, and an invocation that
    really invokes.
    """

    def __init__(self) -> None:
        super().__init__()
        # Each run is a process: its numbers must not be those of the last.
        self.numbers = itertools.count(secrets.randbelow(16**6) * 16)

    def create(self, kind: str, name: str, inputs: State) -> Made:
        if kind == INVOCATION:
            self.invoke(inputs, "create")
        if kind == TOPIC:
            self.client("kafka").create_topic(
                ClusterArn=inputs["clusterArn"],
                TopicName=inputs["name"],
                PartitionCount=inputs["partitionCount"],
                ReplicationFactor=inputs["replicationFactor"],
            )
        id_, outputs = super().create(kind, name, inputs)
        return id_, {**outputs, "hex": secrets.token_hex(4)} if kind == RANDOM else outputs

    def invoke(self, inputs: State, action: str) -> None:
        event = {**json.loads(inputs["input"]), "tf": {"action": action}}
        answer = self.client("lambda").invoke(
            FunctionName=inputs["functionName"], Payload=json.dumps(event).encode()
        )
        if "FunctionError" in answer:
            raise RuntimeError(
                f"{inputs['functionName']} returned an error: {answer['Payload'].read().decode()}"
            )

    def update(self, kind: str, inputs: State) -> None:
        if kind == INVOCATION:
            self.invoke(inputs, "update")
        elif kind == SERVICE:
            self.client("ecs").update_service(
                cluster=inputs["cluster"],
                service=inputs["id"],
                taskDefinition=inputs["taskDefinition"],
            )

    def delete(self, kind: str, state: State) -> None:
        if kind == INVOCATION:
            self.invoke(state, "delete")
        elif kind == TOPIC:
            self.client("kafka").delete_topic(
                ClusterArn=state["clusterArn"], TopicName=state["name"]
            )
        else:
            ENDS[kind](self, state)

    def is_there(self, kind: str, state: State) -> bool:
        try:
            return kind not in LOOKS or bool(LOOKS[kind](self, state))
        except ClientError as error:
            if any(word in str(error) for word in ("NotFound", "NoSuchEntity", "ClientException")):
                return False
            raise

    def read(self, function: str, arguments: State) -> State:
        answer = super().read(function, arguments)
        return {**answer, "password": PASSWORD} if "password" in answer else answer


def read_struct(struct: struct_pb2.Struct) -> State:
    value: State = restore_integers(json_format.MessageToDict(struct))
    return {key: each for key, each in value.items() if key != "__defaults" and each is not None}


def write_struct(value: State) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    json_format.ParseDict(value, struct)
    return struct


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    def __init__(self, package: str) -> None:
        self.package = package
        self.cloud = Cloud()

    def Handshake(self, request: Any, context: Any) -> Any:
        return provider_pb2.ProviderHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=version(f"pulumi-{self.package}"))

    def CheckConfig(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        return difference(request, replaces=False)

    def Configure(self, request: Any, context: Any) -> Any:
        return provider_pb2.ConfigureResponse(acceptSecrets=False, supportsPreview=False)

    def Check(self, request: Any, context: Any) -> Any:
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Any, context: Any) -> Any:
        return difference(request, replaces=kind_of(request.urn) in REPLACED)

    def Create(self, request: Any, context: Any) -> Any:
        inputs = read_struct(request.properties)
        if request.preview:
            # What is not said is unknown.
            return provider_pb2.CreateResponse(properties=request.properties)
        id_, outputs = self.cloud.create(kind_of(request.urn), name_of(request.urn), inputs)
        return provider_pb2.CreateResponse(id=id_, properties=write_struct({**inputs, **outputs}))

    def Read(self, request: Any, context: Any) -> Any:
        state = {**read_struct(request.properties), "id": request.id}
        if not self.cloud.is_there(kind_of(request.urn), state):
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    def Update(self, request: Any, context: Any) -> Any:
        inputs = read_struct(request.news)
        if not request.preview:
            self.cloud.update(kind_of(request.urn), {**inputs, "id": request.id})
        return provider_pb2.UpdateResponse(
            properties=write_struct({**read_struct(request.olds), **inputs})
        )

    def Delete(self, request: Any, context: Any) -> Any:
        self.cloud.delete(
            kind_of(request.urn), {**read_struct(request.properties), "id": request.id}
        )
        return empty_pb2.Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        answer = self.cloud.read(request.tok, read_struct(request.args))
        given: Any = {"return": write_struct(answer)}
        return provider_pb2.InvokeResponse(**given)

    def Cancel(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


def difference(request: Any, *, replaces: bool) -> Any:
    olds, news = read_struct(request.old_inputs), read_struct(request.news)
    changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
    some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
    return provider_pb2.DiffResponse(
        changes=some, diffs=changed, replaces=changed if replaces else []
    )


def kind_of(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def name_of(urn: str) -> str:
    return urn.split("::", 3)[3]


def main(package: str) -> None:
    # So the engine ends it, and takes a traceback for its failure.
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(package), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
