"""The whole platform on this machine:
PostgreSQL, Kafka, what a release does, and the six services.
"""

import contextlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from apps.catalogue import DATABASES, SERVICES, TOPICS
from apps.release.bootstrap import DatabaseRoles
from infrastructure.local.accounts import Accounts, make_accounts
from infrastructure.local.home import JARS, Home, LocalSecrets, wanted_version
from infrastructure.local.jars import resolve_jars
from infrastructure.local.kafka import Kafka, create_topics, open_kafka
from infrastructure.local.locate import LocalLocate
from infrastructure.local.output import Output
from infrastructure.local.postgres import Postgres, open_postgres
from infrastructure.local.process import StartError, free_port, port_error
from infrastructure.local.services import Services, open_services
from infrastructure.local.state import STATE_VARIABLE, State, published

PUBLIC = next(entry for entry in SERVICES.values() if entry.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A platform whose services are ready."""

    postgres: Postgres
    kafka: Kafka
    services: Services
    accounts: Accounts
    ports: Mapping[str, int]
    database_urls: Mapping[str, str]
    secrets: Mapping[str, str]
    home: Home

    @property
    def url(self) -> str:
        return public_url(self.ports)

    def environment(self) -> dict[str, str]:
        """Returns the variables by which `--run` and the tests find the platform."""
        found = {
            "PLATFORM_URL": self.url,
            "PLATFORM_CLIENT_ID": self.accounts.client_id,
            "PLATFORM_CLIENT_SECRET": self.accounts.client_secret,
            "PLATFORM_USER": self.accounts.user,
            "PLATFORM_PASSWORD": self.accounts.password,
            "PLATFORM_POSTGRES_ADMIN_URL": self.postgres.admin_url,
            "PLATFORM_KAFKA": self.kafka.bootstrap_servers,
            "PLATFORM_PIDS": str(self.services.pids),
            STATE_VARIABLE: str(self.home.directory / "state.json"),
        }
        for entry in SERVICES.values():
            kind = "URL" if entry.protocol == "http" else "TARGET"
            found[f"PLATFORM_{entry.name.upper()}_{kind}"] = self.services.locate.service(entry)
        for name, url in self.database_urls.items():
            found[f"PLATFORM_{name.upper()}_DATABASE_URL"] = url
        for name, value in self.secrets.items():
            found[f"PLATFORM_{name}"] = value
        return found

    def state(self) -> State:
        """Returns what other commands on this machine need to find and operate it."""
        return State(
            url=self.url,
            logs=str(self.home.logs.resolve()),
            secrets_file=str((self.home.directory / "secrets.json").resolve()),
            user=self.accounts.user,
            client_id=self.accounts.client_id,
            environments={
                name: self.services.environment_of(entry) for name, entry in SERVICES.items()
            },
            targets={name: self.services.locate.service(entry) for name, entry in SERVICES.items()},
            database_urls=dict(self.database_urls),
            kafka=self.kafka.bootstrap_servers,
        )

    def check(self) -> None:
        """Raises StartError if PostgreSQL or Kafka has ended: nothing works without them."""
        assert self.postgres.process is not None
        self.postgres.process.check()
        self.kafka.process.check()


@contextlib.contextmanager
def open_platform(
    home: Home, output: Output, ports: Mapping[str, int], *, durable: bool
) -> Iterator[Platform]:
    """Starts everything, yields once each service is ready, and stops everything at the end.

    Raises StartError.
    """
    secrets = LocalSecrets(home.directory / "secrets.json")
    jars = resolve_jars(JARS, report=output.progress)
    keep_open = (home.lock,)
    with contextlib.ExitStack() as stack:
        # Java takes the longest: it starts first, and the migrations run meanwhile.
        kafka = stack.enter_context(
            open_kafka(home.kafka, jars, write=output.log_of("kafka"), keep_open=keep_open)
        )
        postgres = stack.enter_context(
            open_postgres(
                home.postgres, durable=durable, write=output.log_of("postgres"), keep_open=keep_open
            )
        )
        output.progress("PostgreSQL is ready")
        filled, database_urls = release_locally(postgres, secrets, public_url(ports))
        output.progress("databases are migrated")
        kafka.wait()
        create_topics(kafka.bootstrap_servers, TOPICS.values())
        output.progress("Kafka is ready")
        locate = LocalLocate(
            ports=ports,
            public_url=public_url(ports),
            database_urls=database_urls,
            bootstrap_servers=kafka.bootstrap_servers,
            overrides=os.environ,
            # Somebody looks at the lasting platform; a throwaway one is tested and measured.
            log_requests=durable,
        )
        services = stack.enter_context(
            open_services(locate, filled, output, keep_open, home.directory / "pids.json")
        )
        accounts = make_accounts(database_urls["auth"], secrets)
        services.wait_ready()
        # Where scripts/load and scripts/demo find it; one that never came to this has no URL there.
        secrets.write("PLATFORM_URL", public_url(ports))
        platform = Platform(
            postgres=postgres,
            kafka=kafka,
            services=services,
            accounts=accounts,
            ports=ports,
            database_urls=database_urls,
            secrets=filled,
            home=home,
        )
        with published(platform.state(), home.directory / "state.json"):
            yield platform


def release_locally(
    postgres: Postgres, secrets: LocalSecrets, url: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Runs the release here and returns the services' secrets by name and the runtime roles' URLs
    by database.
    """
    # Costs 0.5 s to import, while Kafka starts.
    from apps.release.release import ReleaseTarget, release

    logging.getLogger("alembic").setLevel(logging.WARNING)

    def password_of(role: str) -> str:
        return secrets.make(f"POSTGRES_{role.upper()}")

    def url_of(role: str, database: str) -> str:
        return f"postgresql://{role}:{password_of(role)}@{postgres.host}:{postgres.port}/{database}"

    target = ReleaseTarget(
        admin_url=lambda name: postgres.admin_url,
        owner_url=lambda name, roles: url_of(roles.owner, roles.database),
        password_of=password_of,
        secrets=secrets,
        public_url=url,
        secrets_version=wanted_version(secrets),
    )
    filled = release(target)
    runtime = {name: DatabaseRoles(name) for name in DATABASES}
    return filled, {name: url_of(roles.runtime, roles.database) for name, roles in runtime.items()}


def public_url(ports: Mapping[str, int]) -> str:
    return f"http://127.0.0.1:{ports[PUBLIC.name]}"


def choose_ports(*, public_port: int | None, throwaway: bool) -> dict[str, int]:
    """Returns a port for each service: the catalogue's if it is free, any free one for a throwaway
    platform.

    Raises StartError if the public one cannot be had: what is printed and written in documents must
    be true.
    """
    ports: dict[str, int] = {}
    for entry in SERVICES.values():
        wanted = public_port if entry.public and public_port else None if throwaway else entry.port
        error = port_error(wanted) if wanted else None
        if wanted and error is None:
            ports[entry.name] = wanted
        elif wanted and entry.public and isinstance(error, PermissionError):
            raise StartError(f"port {wanted} is for root only: choose one from 1024 with --port")
        elif wanted and entry.public:
            raise StartError(
                f"port {wanted} is taken: stop what listens there, or choose another with --port"
            )
        else:
            ports[entry.name] = next(
                port for port in iter(free_port, 0) if port not in ports.values()
            )
    return ports
