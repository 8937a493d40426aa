"""Runs the program in this process, without engine, credentials or account, and records every
resource it declares.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import pulumi
from pulumi.runtime import mocks as pulumi_mocks
from pulumi.runtime import stack as pulumi_stack
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import SETTINGS

from infrastructure.config.naming import PROJECT
from infrastructure.config.parse import parse_stack
from infrastructure.program import deploy
from infrastructure.recording import COMPONENT, Recording, Resource

ORGANIZATION = "organization"
REMOTE = "awsx:"
# Pulumi's key of what stands beside a secret's value.
SIGNATURE = "4dabf18193072939515e22adb298388d"


class Cloud(Protocol):
    """What answers in AWS's place.

    `create` gives the id and all outputs; it may be called from several threads.
    """

    def create(
        self, kind: str, name: str, inputs: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]: ...

    def read(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]: ...

    def children(self) -> list[Resource]:
        """Returns what remote components made since the last call: the SDK never sees it."""
        ...


class Adapter(pulumi_mocks.Mocks):
    def __init__(self, cloud: Cloud, references: Mapping[str, Mapping[str, Any]]) -> None:
        self.cloud = cloud
        self.references = references
        self.lock = threading.Lock()

    def new_resource(
        self, args: pulumi_mocks.MockResourceArgs
    ) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "pulumi:pulumi:StackReference":
            name = args.inputs["name"]
            outputs = self.references.get(name.rpartition("/")[2])
            if outputs is None:
                raise KeyError(f"the stack {name} is not there")
            return name, {"name": name, "outputs": dict(outputs), "secretOutputNames": []}
        if args.typ.startswith((COMPONENT, "pulumi:providers:")):
            return f"{args.name}-id", dict(args.inputs)
        with self.lock:
            return self.cloud.create(args.typ, args.name, restore_integers(args.inputs))

    def call(
        self, args: pulumi_mocks.MockCallArgs
    ) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        with self.lock:
            return self.cloud.read(args.token, args.args), []


def restore_integers(value: Any) -> Any:
    """Numbers travel as floats: those that are whole are integers again."""
    if isinstance(value, dict):
        return {key: restore_integers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [restore_integers(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@contextlib.contextmanager
def closed_loop() -> Iterator[None]:
    """Closes event loops: Pulumi's mocks make each worker thread an event loop, and
    leave it open.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class Monitor(pulumi_mocks.MockMonitor):
    """Keeps what the mocks' interface does not show: parents, dependencies, protection."""

    def __init__(self, adapter: Adapter, recording: Recording) -> None:
        super().__init__(adapter)
        self.cloud = adapter.cloud
        self.recording = recording

    def Invoke(self, request: Any) -> Any:
        with closed_loop():
            return super().Invoke(request)  # type: ignore[no-untyped-call]

    def ReadResource(self, request: Any) -> Any:
        with closed_loop():
            return super().ReadResource(request)  # type: ignore[no-untyped-call]

    def RegisterResource(self, request: Any) -> resource_pb2.RegisterResourceResponse:
        with closed_loop():
            return self.register(request)

    def register(self, request: Any) -> resource_pb2.RegisterResourceResponse:
        answer: resource_pb2.RegisterResourceResponse = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type == "pulumi:pulumi:Stack" or request.type.startswith("pulumi:providers:"):
            return answer
        made = self.resources[answer.urn]
        inputs = restore_integers(pulumi.runtime.rpc.deserialize_properties(request.object))
        self.recording.resources.append(
            Resource(
                type=request.type,
                name=request.name,
                urn=answer.urn,
                parent=request.parent,
                inputs=inputs,
                outputs=made.state,
                id=made.id,
                dependencies=sorted(request.dependencies),
                protect=request.protect,
                retain=request.retainOnDelete,
                ignored=list(request.ignoreChanges),
                imported=request.importId,
            )
        )
        # Resources are registered side by side: whoever else comes meanwhile is not their parent.
        if request.type.startswith(REMOTE):
            for child in self.cloud.children():
                child.parent = child.parent or answer.urn
                self.recording.resources.append(child)
        return answer


def record(
    name: str,
    config: Mapping[str, str],
    cloud: Cloud,
    references: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    preview: bool = False,
) -> Recording:
    """Runs the stack `name`.

    `references`: the outputs of other stacks, by name. Raises what the program raises.

    An output that is secret has its signature beside it, as secrets in inputs have.
    """
    recording = Recording(parse_stack(name, config))
    adapter = Adapter(cloud, references or {})

    async def program() -> None:
        outputs = await deploy(recording.stack)
        for key, value in outputs.items():
            output = pulumi.Output.from_input(value)
            known = await output.future()
            secret = await output.is_secret()
            recording.outputs[key] = pulumi.runtime.rpc.wrap_rpc_secret(known) if secret else known

    def work() -> None:
        # A loop and a context of its own: runs do not see each other.
        asyncio.run(run_in_context())

    async def run_in_context() -> None:
        # What a run that failed left behind belongs to a loop that is closed.
        SETTINGS.rpc_manager.clear()
        SETTINGS.outputs.clear()
        pulumi_mocks.set_mocks(
            adapter,
            project=PROJECT,
            stack=name,
            preview=preview,
            organization=ORGANIZATION,
            monitor=Monitor(adapter, recording),
        )
        pulumi.runtime.set_all_config(dict(config))
        await pulumi_stack.run_pulumi_func(program)

    failure: list[BaseException] = []

    def work_or_note_failure() -> None:
        try:
            work()
        except BaseException as error:  # handed over to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=work_or_note_failure)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    recording.resources.sort(key=lambda resource: resource.urn)
    return recording
