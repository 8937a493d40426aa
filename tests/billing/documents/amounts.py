"""Amounts as the documents' messages have them."""

from protos.billing.v1 import billing_pb2 as pb


def usd(amount: int) -> pb.Money:
    return pb.Money(minor_units=amount, currency="USD")
