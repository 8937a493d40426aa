"""What must hold over all services, whoever adds the next."""

import ast
import functools
import importlib
import importlib.util
import inspect
import re
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
# What anybody may call without a token, as the interface says; each of these checks what it is
# given by itself.
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
    "apps/patient",
    "apps/release",
    "infrastructure",
)
MOST_POSITIONAL = 5
# Statements of SQL take their values by place, and a row of one gives its columns so.
SQL_METHODS = {"execute", "executemany", "fetch", "fetch_all", "fetch_one", "fetchrow", "fetchval"}
SQL_ROW = "row"
# Made for every row that is read: by name it costs a third more.
HOT_PATH = {"apps/patient/storage/versions.py": {"Version"}}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@functools.cache
def parse_module(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def definitions_of(path: Path) -> dict[str, Definition]:
    """Returns the functions and classes at the top of a module, by name."""
    return {node.name: node for node in parse_module(path).body if isinstance(node, Definition)}


def module_path(module: str) -> Path | None:
    path = APPS.parent / module.replace(".", "/")
    found = [each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()]
    return found[0] if found else None


@functools.cache
def imports_of(path: Path) -> dict[str, str]:
    """Returns what each imported name stands for, as a dotted path."""
    names: dict[str, str] = {}
    for node in ast.walk(parse_module(path)):
        if isinstance(node, ast.Import):
            names |= {each.asname or each.name: each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {each.asname or each.name: f"{node.module}.{each.name}" for each in node.names}
    return names


@functools.cache
def methods() -> dict[str, list[Definition]]:
    """Returns the methods of our classes by name: whose a call is, its text does not say."""
    found: dict[str, list[Definition]] = {}
    for folder in ("apps", "infrastructure"):
        for path in sorted((APPS.parent / folder).rglob("*.py")):
            for outer in ast.walk(parse_module(path)):
                for node in outer.body if isinstance(outer, ast.ClassDef) else ():
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                        found.setdefault(node.name, []).append(node)
    return found


def called_by(call: ast.Call, path: Path) -> list[Definition]:
    """Returns the definitions of ours that the call may mean; none if it is a library's."""
    called = call.func
    if isinstance(called, ast.Name):
        if called.id in definitions_of(path):
            return [definitions_of(path)[called.id]]
        module, _, name = imports_of(path).get(called.id, "").rpartition(".")
    elif isinstance(called, ast.Attribute):
        base = called.value.id if isinstance(called.value, ast.Name) else ""
        module, name = imports_of(path).get(base, ""), called.attr
        if not module:
            return [] if name in SQL_METHODS else methods().get(name, [])
    else:
        return []
    source = module_path(module) if module else None
    found = definitions_of(source).get(name) if source else None
    return [found] if found else []


def constructor_of(definition: ast.ClassDef) -> Definition | None:
    return next(
        (
            node
            for node in definition.body
            if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        ),
        None,
    )


def takes_alike(definition: Definition) -> bool:
    """Returns whether further arguments are one list of one type: names of fields, say."""
    if isinstance(definition, ast.ClassDef):
        made = constructor_of(definition)
        return made is not None and takes_alike(made)
    further = definition.args.vararg
    return further is not None and ast.unparse(further.annotation or ast.Name("Any")) not in (
        "Any",
        "object",
    )


def positional(call: ast.Call, path: Path) -> int:
    """Counts the positional arguments, those behind a `*` too."""
    count = 0
    for argument in call.args:
        if not isinstance(argument, ast.Starred):
            count += 1
            continue
        given = argument.value
        if isinstance(given, ast.Name) and given.id != SQL_ROW:
            tuples = [
                node.value
                for node in ast.walk(parse_module(path))
                if isinstance(node, ast.Assign)
                and isinstance(node.targets[0], ast.Name)
                and node.targets[0].id == given.id
                and isinstance(node.value, ast.Tuple | ast.List)
            ]
            given = tuples[-1] if tuples else given
        if isinstance(given, ast.Tuple | ast.List):
            count += len(given.elts)
        elif not (isinstance(given, ast.Name) and given.id == SQL_ROW):
            # As many as there may be.
            count += MOST_POSITIONAL + 1
    return count


def takes(definition: Definition) -> int:
    """Returns how many positional arguments the definition takes at most."""
    if isinstance(definition, ast.ClassDef):
        written = [*definition.decorator_list, *(each.value for each in definition.keywords)]
        if any("kw_only=True" in ast.unparse(each) for each in written):
            return 0
        if (made := constructor_of(definition)) is not None:
            return takes(made)
        return sum(isinstance(node, ast.AnnAssign) for node in definition.body) or 99
    plain = len(definition.args.posonlyargs) + len(definition.args.args)
    return 99 if definition.args.vararg else plain


def long_calls(package: str) -> list[str]:
    found = []
    for path in sorted((APPS.parent / package).rglob("*.py")):
        place = str(path.relative_to(APPS.parent))
        for node in ast.walk(parse_module(path)):
            if not isinstance(node, ast.Call) or positional(node, path) <= MOST_POSITIONAL:
                continue
            meant = called_by(node, path)
            if not meant or any(
                takes_alike(each)
                or takes(each) <= MOST_POSITIONAL
                or each.name in HOT_PATH.get(place, ())
                for each in meant
            ):
                continue
            found.append(f"{place}:{node.lineno} {ast.unparse(node.func)}")
    return found


@pytest.mark.parametrize("package", NAMED_PACKAGES)
def test_long_calls_name_their_arguments(package: str) -> None:
    assert long_calls(package) == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("make(1, 2, 3, 4, 5)", 0),
        ("make(1, 2, 3, 4, 5, 6)", 1),
        ("make(1, 2, *(3, 4, 5, 6))", 1),
        ("common = (1, 2, 3, 4, 5)\nmake(*common, 6)", 1),
        ("make(1, *given)", 1),
        ("make(*row)", 0),
        ("alike(1, 2, 3, 4, 5, 6)", 0),
        ("forward(1, 2, 3, 4, 5, 6)", 1),
        ("connection.execute(1, 2, 3, 4, 5, 6)", 0),
    ],
)
def test_long_calls_are_seen_through_stars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, count: int
) -> None:
    definitions = (
        "def make(a, b, c, d, e, f): ...\n"
        "def alike(first, *fields: str): ...\n"
        "def forward(function, *arguments: Any): ...\n"
    )
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "it.py").write_text(definitions + source)
    monkeypatch.setitem(globals(), "APPS", tmp_path / "apps")
    assert len(long_calls("apps")) == count


# A verb in the third person; these only look like one.
NOUNS = {"Amounts", "Columns", "Figures", "Its", "Names", "Others", "Pages", "Rows", "Those"}


@pytest.mark.parametrize("package", ["apps", "infrastructure"])
def test_functions_say_first_what_they_do(package: str) -> None:
    """Theirs begin with "Returns ...", "Raises ...", "Makes ..."."""
    found = []
    for path in sorted((APPS.parent / package).rglob("*.py")):
        for node in ast.walk(parse_module(path)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = (ast.get_docstring(node) or "Does.").split()[0].strip(".,:;")
            if not re.fullmatch(r"[A-Z][a-z-]+s", first) or first in NOUNS:
                found.append(f"{path.relative_to(APPS.parent)}:{node.lineno} {first}")
    assert found == []
