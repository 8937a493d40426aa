"""The body of another server's answer, read to its end but never beyond a bound."""

import aiohttp


async def read_answer(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """Returns the body, or its first `most` bytes.

    `content.read` alone returns what has arrived so far, which is half of an answer that
    comes in two packets.
    """
    body = bytearray()
    while len(body) < most:
        piece = await answer.content.read(most - len(body))
        if not piece:
            break
        body += piece
    return bytes(body)
