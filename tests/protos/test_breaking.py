"""Contracts may grow; what a running peer relies on may not change."""

from collections.abc import Callable

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from protos.breaking import RELEASED, breaks, compile_contracts

Edit = Callable[[FileDescriptorProto], object]


def billing(files: FileDescriptorSet) -> FileDescriptorProto:
    return next(file for file in files.file if file.name.endswith("v1/billing.proto"))


def test_contracts_break_nothing_that_was_released() -> None:
    released = FileDescriptorSet.FromString(RELEASED.read_bytes())
    assert breaks(released, compile_contracts()) == []


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda file: file.message_type[0].field.pop(), "field billing.v1.Money.2 is gone"),
        (lambda file: file.message_type.pop(0), "message billing.v1.Money is gone"),
        (lambda file: file.enum_type[0].value.pop(), "value billing.v1.AccountStatus.3 is gone"),
        (lambda file: file.service[0].method.pop(0), "rpc billing.v1.Billing/"),
        (
            lambda file: setattr(file.message_type[0].field[0], "name", "cents"),
            "field billing.v1.Money.1 changed",
        ),
        (
            lambda file: setattr(file.message_type[0].field[0], "type", 5),
            "field billing.v1.Money.1 changed",
        ),
        (
            lambda file: setattr(file.message_type[0].field[1], "number", 7),
            "field billing.v1.Money.2 is gone",
        ),
        (
            lambda file: setattr(file.service[0].method[0], "output_type", ".billing.v1.Money"),
            "rpc billing.v1.Billing/CreateBillingAccount changed",
        ),
    ],
)
def test_change_that_a_peer_would_not_understand_is_named(edit: Edit, told: str) -> None:
    released, present = (FileDescriptorSet.FromString(RELEASED.read_bytes()) for _ in range(2))
    edit(billing(present))
    assert any(line.startswith(told) for line in breaks(released, present))


def test_growth_breaks_nothing() -> None:
    released, present = (FileDescriptorSet.FromString(RELEASED.read_bytes()) for _ in range(2))
    billing(present).message_type[0].field.add(name="note", number=9, type=9, label=1)
    billing(present).message_type.add(name="New")
    assert breaks(released, present) == []
    assert breaks(present, released) != []
