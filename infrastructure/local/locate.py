"""Where an entry of the catalogue finds what it needs on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass

from apps.catalogue import Service, Topic
from infrastructure.local.home import LOCAL

LOCAL_SETTINGS = {
    # Mails are files here, and their links are in auth's log.
    "AUTH_MAIL_FOLDER": str(LOCAL / "mail"),
    "AUTH_PASSWORD_LOGIN_ENABLED": "true",
    # One person, and a load test at times: the limit would measure itself.
    "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",
}


@dataclass(frozen=True, slots=True)
class LocalLocate:
    """Implements `Locate` with processes on this machine.

    `ports` by service; `database_urls` of the runtime roles; `overrides`: the caller's own
    environment.
    """

    ports: Mapping[str, int]
    public_url: str
    database_urls: Mapping[str, str]
    bootstrap_servers: str
    overrides: Mapping[str, str]
    # Each service's own line for a request, with its id; off where a load is measured.
    log_requests: bool = False

    def common(self, entry: Service) -> Mapping[str, str]:
        # The gateway always writes one.
        extra = {"LOG_REQUESTS": "true"} if self.log_requests and not entry.public else {}
        return extra | {
            "ENVIRONMENT": "local",
            "HOST": "127.0.0.1",
            "PORT": str(self.ports[entry.name]),
            "PUBLIC_URL": self.public_url,
            "LOG_FORMAT": "text",
        }

    def database(self, entry: Service, name: str) -> str:
        return self.database_urls[name]

    def broker(self, entry: Service) -> Mapping[str, str]:
        return {"KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers, "KAFKA_SECURITY": "plaintext"}

    def topic(self, topic: Topic) -> str:
        return topic.name

    def consumer_group(self, entry: Service) -> str:
        return entry.name

    def service(self, entry: Service) -> str:
        address = f"127.0.0.1:{self.ports[entry.name]}"
        return f"http://{address}" if entry.protocol == "http" else address

    def setting(self, entry: Service, name: str) -> str | None:
        return self.overrides.get(name, LOCAL_SETTINGS.get(name))
