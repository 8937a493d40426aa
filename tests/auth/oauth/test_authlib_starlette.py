import asyncio
import threading

from apps.auth.oauth.authlib_starlette import StarletteAuthorizationServer


async def test_authlib_runs_in_eight_threads_at_most() -> None:
    server, begun, end = StarletteAuthorizationServer(), threading.Semaphore(0), threading.Event()

    def work() -> None:
        begun.release()
        end.wait()

    running = [asyncio.create_task(server.run(work)) for _ in range(9)]
    try:
        for _ in range(8):
            assert await asyncio.to_thread(begun.acquire, timeout=10)
        assert not await asyncio.to_thread(begun.acquire, timeout=0.2)
    finally:
        end.set()
        await asyncio.gather(*running)
