"""`python -m apps.kit.probe http://127.0.0.1:4000/livez` or `grpc://127.0.0.1:9001/livez`: exit 0
where it is healthy.

For container checks: the images carry no curl.
"""

import ssl
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 3.0


def probe_http(url: str) -> bool:
    # The gateway's certificate is its own, made at start: the check asks whether it answers,
    # not who it is.
    context = ssl._create_unverified_context() if url.startswith("https:") else None  # noqa: S323
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS, context=context) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, OSError):
        return False


def probe_grpc(target: str, service: str = "") -> bool:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(target) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def probe(url: str) -> bool:
    parts = urlsplit(url)
    return (
        probe_grpc(parts.netloc, parts.path.strip("/"))
        if parts.scheme == "grpc"
        else probe_http(url)
    )


if __name__ == "__main__":
    sys.exit(0 if probe(sys.argv[1]) else 1)
