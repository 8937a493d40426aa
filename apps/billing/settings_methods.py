"""Billing's settings, for administrators to look at."""

from apps.billing.access import OPERATE
from apps.billing.books import Books
from apps.kit.rpc import Caller, RpcMethod
from protos.billing.v1 import billing_pb2 as pb


class SettingsMethods:
    def __init__(self, books: Books) -> None:
        self._books = books

    def table(self) -> tuple[RpcMethod, ...]:
        return (RpcMethod("GetSettings", OPERATE, self.get_settings),)

    async def get_settings(
        self, message: pb.GetSettingsRequest, caller: Caller
    ) -> pb.ServiceSettings:
        return pb.ServiceSettings(
            settings=[
                pb.Setting(
                    name=each.name,
                    value=each.value,
                    is_secret=each.is_secret,
                    is_set=each.is_set,
                )
                for each in self._books.settings.shown
            ]
        )
