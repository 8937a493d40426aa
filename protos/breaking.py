"""Refuses changes of the contracts that a running peer would not understand: `python -m
protos.breaking`.

The released contracts are in `released.binpb`, a FileDescriptorSet of protoc. What is in them must
stay: messages, fields with their numbers, types and names (JSON goes by name), values of
enumerations, methods with their messages. `--release` writes the present contracts as the released
ones, once they pass.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorSet,
)

ROOT = Path(__file__).parents[1]
RELEASED = Path(__file__).with_name("released.binpb")


def compile_contracts() -> FileDescriptorSet:
    """Compiles every contract below protos/, without comments."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "protos").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "contracts.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path=.", *files]
        subprocess.run([*command, f"--descriptor_set_out={out}"], cwd=ROOT, check=True)
        return FileDescriptorSet.FromString(out.read_bytes())


def breaks(released: FileDescriptorSet, present: FileDescriptorSet) -> list[str]:
    """Names each change that a peer of the released contracts would not understand."""
    return list(_breaks(_index(released), _index(present)))


Index = dict[str, tuple[object, ...]]


def _index(files: FileDescriptorSet) -> Index:
    """Gives what peers rely on, by its full name."""
    index: Index = {}
    for file in files.file:
        for message in file.message_type:
            _add_message(index, f"{file.package}.{message.name}", message)
        for enum in file.enum_type:
            _add_enum(index, f"{file.package}.{enum.name}", enum)
        for service in file.service:
            for method in service.method:
                index[f"rpc {file.package}.{service.name}/{method.name}"] = (
                    method.input_type,
                    method.output_type,
                    method.client_streaming,
                    method.server_streaming,
                )
    return index


def _add_message(index: Index, name: str, message: DescriptorProto) -> None:
    index[f"message {name}"] = ()
    for field in message.field:
        index[f"field {name}.{field.number}"] = _field(message, field)
    for nested in message.nested_type:
        _add_message(index, f"{name}.{nested.name}", nested)
    for enum in message.enum_type:
        _add_enum(index, f"{name}.{enum.name}", enum)


def _field(message: DescriptorProto, field: FieldDescriptorProto) -> tuple[object, ...]:
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return (field.name, field.type, field.type_name, field.label, oneof)


def _add_enum(index: Index, name: str, enum: EnumDescriptorProto) -> None:
    index[f"enum {name}"] = ()
    for value in enum.value:
        index[f"value {name}.{value.number}"] = (value.name,)


def _breaks(released: Index, present: Index) -> Iterator[str]:
    for name, content in released.items():
        if name not in present:
            yield f"{name} is gone"
        elif present[name] != content:
            yield f"{name} changed from {content} to {present[name]}"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m protos.breaking", description=__doc__)
    parser.add_argument("--release", action="store_true", help="write the present contracts")
    options = parser.parse_args(arguments)
    present = compile_contracts()
    released = FileDescriptorSet.FromString(RELEASED.read_bytes())
    found = breaks(released, present)
    for line in found:
        print(line, file=sys.stderr)
    if found:
        return 1
    if options.release:
        RELEASED.write_bytes(present.SerializeToString(deterministic=True))
    elif _index(released) != _index(present):
        print("the contracts grew: run scripts/protos", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
