"""How what is written to a connection becomes few system calls."""

import asyncio

from apps.kit.uvicorn_protocol import FLUSH_BYTES, WriteBuffer


class FakeTransport:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def get_extra_info(self, name: str) -> str:
        return f"of {name}"


def buffered() -> tuple[WriteBuffer, FakeTransport]:
    transport = FakeTransport()
    return WriteBuffer(transport, asyncio.get_running_loop()), transport


async def test_what_is_written_in_one_turn_is_sent_at_once() -> None:
    buffer, transport = buffered()
    for text in (b"head", b"body"):
        buffer.write(text)
    assert transport.written == []
    await asyncio.sleep(0)
    buffer.write(b"next")
    await asyncio.sleep(0)
    assert transport.written == [b"headbody", b"next"]


async def test_much_is_sent_before_the_turn_ends() -> None:
    buffer, transport = buffered()
    buffer.write(b"x" * (FLUSH_BYTES - 1))
    assert transport.written == []
    buffer.write(b"y")
    assert [len(data) for data in transport.written] == [FLUSH_BYTES]
    buffer.write(b"z")
    assert len(transport.written) == 1
    await asyncio.sleep(0)
    assert transport.written[1:] == [b"z"]


async def test_what_is_left_is_sent_before_the_connection_is_closed() -> None:
    buffer, transport = buffered()
    buffer.write(b"last")
    buffer.close()
    assert transport.written == [b"last"] and transport.is_closed
    buffer.write(b"too late")
    await asyncio.sleep(0)
    assert transport.written == [b"last"]


async def test_all_else_is_the_transports_own() -> None:
    buffer, _ = buffered()
    assert buffer.get_extra_info("peername") == "of peername"
