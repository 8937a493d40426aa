"""What must hold over all services, whoever adds the next."""

import ast
import functools
import importlib
import importlib.util
import inspect
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from apps.catalogue import DATABASES, SECRETS, SERVICES, TOPICS, Service, environment
from apps.kit.web import every_route
from apps.release.secrets import generate
from infrastructure.local.locate import LocalLocate

APPS = Path(__file__).parents[1] / "apps"
# What anybody may call without a token, as the interface says; each of these checks what it is given by itself.
PUBLIC_PATHS = {
    "gateway": ("/.well-known/", "/oauth2/", "/auth/login", "/openapi.json", "/docs"),
    "auth": ("/.well-known/", "/oauth2/", "/auth/login", "/fhir/R4/.well-known/"),
    "patient": ("/fhir/R4/metadata",),
    "analytics": (),
    # Assets, the way in and out, and a first page that shows nothing to whoever is not signed in.
    "console": ("/static/", "/sign-in", "/sign-out/back-channel", "/signed-out", "/language"),
}
# Without what follows.
PUBLIC_PAGES = {"console": ("/", "/{path:path}")}
PUBLIC_AT_GATEWAY = ("/fhir/R4/metadata", "/fhir/R4/.well-known/")
HEALTH = ("/livez", "/readyz")


def local_environment(entry: Service) -> dict[str, str]:
    locate = LocalLocate(
        ports={name: service.port for name, service in SERVICES.items()},
        public_url="http://127.0.0.1:4004",
        database_urls={
            name: f"postgresql://{name}:{secrets.token_hex(4)}@127.0.0.1:5432/{name}"
            for name in DATABASES
        },
        bootstrap_servers="127.0.0.1:9092",
        overrides={},
    )
    return {
        **environment(entry, locate),
        **{name: generate(SECRETS[name]) for name in entry.secrets},
    }


def settings_of(entry: Service, environ: Mapping[str, str]) -> Any:
    return importlib.import_module(f"apps.{entry.name}.settings").Settings.from_environment(environ)


def imported_by(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it goes"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", [*SERVICES, "kit"])
def test_no_service_imports_another(name: str) -> None:
    others = {f"apps.{other}" for other in (*SERVICES, "release") if other != name} | {
        "infrastructure"
    }
    # A service's migrations alone ask the release for the name of the role that they grant to.
    allowed = {"apps.kit.migrations.runtime_role"} if name in SERVICES else set()
    for path in sorted((APPS / name).rglob("*.py")):
        for module in imported_by(path):
            parts = module.split(".")
            if module in allowed and path.parent.name == "versions":
                continue
            assert not others & {".".join(parts[:2]), parts[0]}, (
                f"{path.relative_to(APPS)} imports {module}"
            )


@pytest.mark.parametrize("entry", SERVICES.values(), ids=list(SERVICES))
def test_environment_satisfies_settings(entry: Service) -> None:
    settings = settings_of(entry, local_environment(entry))
    assert settings.port == entry.port
    assert settings.environment == "local"


@pytest.mark.parametrize("entry", SERVICES.values(), ids=list(SERVICES))
def test_settings_refuse_a_missing_secret(entry: Service) -> None:
    # The service does without one that is an operator's to set.
    for secret in (name for name in entry.secrets if SECRETS[name].bytes):
        environ = {
            name: value for name, value in local_environment(entry).items() if name != secret
        }
        with pytest.raises(Exception, match=secret):
            settings_of(entry, environ)


@pytest.mark.parametrize("entry", SERVICES.values(), ids=list(SERVICES))
def test_settings_do_not_show_secrets(entry: Service) -> None:
    environ = local_environment(entry)
    shown = repr(settings_of(entry, environ))
    for secret in entry.secrets:
        assert environ[secret] not in shown
    for name in entry.databases:
        assert environ[f"{name.upper()}_DATABASE_URL"] not in shown


HTTP_SERVICES = [entry for entry in SERVICES.values() if entry.protocol == "http"]


@pytest.mark.parametrize("entry", HTTP_SERVICES, ids=[entry.name for entry in HTTP_SERVICES])
def test_every_route_has_a_policy_and_only_the_known_are_public(entry: Service) -> None:
    create_app = importlib.import_module(f"apps.{entry.name}.app").create_app
    fakes = {
        name: object()
        for name, parameter in inspect.signature(create_app).parameters.items()
        if parameter.default is parameter.empty and name != "settings"
    }
    app = create_app(settings_of(entry, local_environment(entry)), **fakes)
    public = (*HEALTH, *PUBLIC_PATHS[entry.name], *(PUBLIC_AT_GATEWAY if entry.public else ()))
    pages = (*PUBLIC_PAGES.get(entry.name, ()), *(("/{path:page}",) if entry.public else ()))
    routes = every_route(app)
    assert routes
    for route in routes:
        for method, operation in route.operations.items():
            assert operation.policy.name, f"{method} {route.path}"
            if operation.policy.check is None:
                known = route.path.startswith(public) or route.path in pages
                assert known, f"{method} {route.path} is public"


def test_every_service_can_be_started() -> None:
    for name in SERVICES:
        assert importlib.util.find_spec(f"apps.{name}.__main__"), name


@pytest.mark.parametrize("entry", HTTP_SERVICES, ids=[entry.name for entry in HTTP_SERVICES])
def test_service_is_run_by_the_server_that_the_catalogue_names(entry: Service) -> None:
    start = (APPS / entry.name / "__main__.py").read_text()
    assert f'server=SERVICES["{entry.name}"].server' in start


def test_catalogue_names_only_what_exists() -> None:
    assert sum(entry.public for entry in SERVICES.values()) == 1
    assert len({entry.port for entry in SERVICES.values()}) == len(SERVICES)
    for name, entry in SERVICES.items():
        assert entry.name == name
        assert set(entry.calls) <= SERVICES.keys() - {name}
        assert {*entry.produces, *entry.consumes} <= TOPICS.keys()
        assert set(entry.secrets) <= SECRETS.keys()
        assert 1 <= entry.replicas.minimum <= entry.replicas.maximum
        # Every service verifies tokens, and asks auth for what was revoked.
        assert name == "auth" or (
            "auth" in entry.calls and f"{name.upper()}_CLIENT_SECRET" in entry.secrets
        )
    produced = {name for entry in SERVICES.values() for name in entry.produces}
    assert {name for entry in SERVICES.values() for name in entry.consumes} <= produced
    assert {name for entry in SERVICES.values() for name in entry.secrets} == SECRETS.keys()


def test_databases_have_one_service_and_its_migrations() -> None:
    for name in DATABASES:
        assert [entry.name for entry in SERVICES.values() if name in entry.databases] == [name]
        assert list((APPS / name / "migrations" / "versions").glob("0001_*.py")), name


def test_environment_carries_no_secret() -> None:
    for entry in SERVICES.values():
        locate = local_environment(entry)
        assert set(entry.secrets) <= locate.keys()
        bare = {name for name in locate if name not in entry.secrets}
        assert not bare & SECRETS.keys()
        assert list(locate) == sorted(bare) + [name for name in locate if name in entry.secrets]


# Packages whose calls name what goes beyond MOST_POSITIONAL arguments.
NAMED_PACKAGES = (
    "apps/analytics",
    "apps/auth",
    "apps/billing",
    "apps/client",
    "apps/console",
    "apps/gateway",
    "apps/kit",
    "apps/release",
    "infrastructure",
)
MOST_POSITIONAL = 5
# Statements of SQL take their values by place.
SQL_METHODS = {"execute", "executemany", "fetch", "fetch_all", "fetch_one", "fetchrow", "fetchval"}


@functools.cache
def own_callables() -> set[str]:
    """Returns the names of functions and classes that take no `*args`: those could name their arguments."""
    names: set[str] = set()
    variadic: set[str] = set()
    files = [
        path
        for folder in ("apps", "infrastructure")
        for path in sorted((APPS.parent / folder).rglob("*.py"))
    ]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                (variadic if node.args.vararg else names).add(node.name)
            elif isinstance(node, ast.ClassDef):
                names.add(node.name)
    return names - variadic - SQL_METHODS


def long_calls(package: str) -> list[str]:
    own = own_callables()
    found = []
    for path in sorted((APPS.parent / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or len(node.args) <= MOST_POSITIONAL:
                continue
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            if name in own:
                found.append(f"{path.relative_to(APPS.parent)}:{node.lineno} {name}")
    return found


@pytest.mark.parametrize("package", NAMED_PACKAGES)
def test_long_calls_name_their_arguments(package: str) -> None:
    assert long_calls(package) == []
