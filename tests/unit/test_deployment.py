"""What the compose file, .env.example and the Kubernetes resources say is what services and the command read."""

import inspect
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from operations import connection
from operations.connection import RUN_HERE
from operations.stack import WITH_DATABASE
from shared.contract.topics import SERVICES
from shared.runtime.settings import DatabaseSettings, MediaSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = (ROOT / ".env.example").read_text()
KUBERNETES = ROOT / "deploy" / "kubernetes"
IMAGE = dict(re.findall(r"(CLAIMBUS_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
_OTHERS = re.compile(r"AWS_\w+|FORWARDED_ALLOW_IPS")


def settings_of(module: str) -> set[type[BaseSettings]]:
    """The settings that a module makes or has imported to make."""
    found = vars(import_module(module)).values()
    return {one for one in found if inspect.isclass(one) and issubclass(one, BaseSettings) and one is not BaseSettings}


def variables(settings: set[type[BaseSettings]]) -> set[str]:
    return {f"{one.model_config.get('env_prefix', '')}{name}".upper() for one in settings for name in one.model_fields}


READ = {service: variables(settings_of(f"services.{service}.app")) for service in RUN_HERE}
READ["claimbus"] = variables(settings_of(connection.__name__))
READ["provision"] = READ["claimbus"] | {f"CLAIMBUS_{service.upper()}_PASSWORD" for service in SERVICES}


def needed(service: str) -> set[str]:
    """What a service cannot do without, apart from how it is called: secrets, and where its things are."""
    settings = settings_of(f"services.{service}.app") - {MediaSettings}
    secrets = {
        f"{one.model_config.get('env_prefix', '')}{name}".upper()
        for one in settings
        for name, field in one.model_fields.items()
        if field.annotation is SecretStr and not name.startswith("oidc_")
    }
    source = "\n".join(file.read_text() for file in (ROOT / "services" / service).glob("*.py"))
    media = {"CLAIMBUS_MEDIA"} if "MediaStore.at(" in source else set()
    media |= {"CLAIMBUS_MEDIA_SECRET"} if "media_secret" in source else set()
    return secrets | media | {"CLAIMBUS_BOOTSTRAP_SERVERS"}


def compose_environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in COMPOSE["services"][service].get("environment", {}).items()}


def test_the_settings_that_there_are_were_found() -> None:
    assert "CLAIMBUS_LINK_FILES_AT_ONCE" in variables(settings_of("services.linking.settings"))
    assert DatabaseSettings in settings_of("services.portal.app")
    assert "CLAIMBUS_PORTAL_OIDC_ISSUER" in READ["portal"]
    assert "CLAIMBUS_DATABASES" in READ["claimbus"]
    assert needed("portal") >= {"CLAIMBUS_DATABASE_URL", "CLAIMBUS_MEDIA", "CLAIMBUS_PORTAL_SECRET"}


def test_every_service_is_in_the_compose_file_and_in_kubernetes() -> None:
    assert set(RUN_HERE) == set(SERVICES)
    assert set(RUN_HERE) < set(COMPOSE["services"])
    resources = YAML(typ="safe").load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    assert {name.removesuffix(".yaml") for name in resources} == set(RUN_HERE)


@pytest.mark.parametrize("service", sorted(READ))
def test_what_the_compose_file_sets_is_read(service: str) -> None:
    assert set(compose_environment(service)) <= READ[service]
    assert {name for name in IMAGE if name != "CLAIMBUS_CONNECTION_FILE"} <= READ["claims"]
    assert IMAGE.keys() & READ["claimbus"] == {"CLAIMBUS_CONNECTION_FILE"}


@pytest.mark.parametrize("service", RUN_HERE)
def test_what_a_service_needs_is_set_in_the_compose_file_and_in_kubernetes(service: str) -> None:
    assert needed(service) <= set(compose_environment(service))
    assert needed(service) <= set(kubernetes_environment(service))


def test_the_command_in_compose_knows_every_database_and_every_service() -> None:
    environment = compose_environment("claimbus")
    assert READ["claimbus"] - set(environment) <= {
        "CLAIMBUS_CONNECTION_FILE",  # in the image
        "CLAIMBUS_SECURITY_PROTOCOL",
        "CLAIMBUS_SASL_MECHANISM",
        "CLAIMBUS_SSL_CA_FILE",
    }
    databases = json.loads(environment["CLAIMBUS_DATABASES"])
    assert set(databases) == set(WITH_DATABASE) == set(databases_that_commands_read())
    for service, address in databases.items():
        assert address == compose_environment(service)["CLAIMBUS_DATABASE_URL"]
    assert set(json.loads(environment["CLAIMBUS_HEALTH"])) == set(RUN_HERE)


def databases_that_commands_read() -> Iterator[str]:
    """The names in the commands' code, and each read model that can be rebuilt."""
    for file in (ROOT / "operations").glob("*.py"):
        yield from re.findall(r'databases\.get\("(\w+)"\)', file.read_text())
    yield from import_module("operations.rebuild").ReadModel


def test_provision_gets_every_services_password_and_the_databases_script_makes_every_database() -> None:
    passwords = {f"CLAIMBUS_{service.upper()}_PASSWORD" for service in SERVICES}
    assert passwords <= set(compose_environment("provision"))
    script = (ROOT / "deploy" / "compose" / "databases.sh").read_text()
    assert dict(re.findall(r'^create (\w+) "\$(\w+)"', script, re.MULTILINE)) == {
        service: f"CLAIMBUS_{service.upper()}_DATABASE_PASSWORD" for service in WITH_DATABASE
    }
    assert {f"CLAIMBUS_{s.upper()}_DATABASE_PASSWORD" for s in WITH_DATABASE} <= set(compose_environment("postgres"))


def test_env_example_has_what_the_compose_file_asks_for_once_and_nothing_else() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())) - {"CLAIMBUS_IMAGE"}
    given = re.findall(r"^#?(CLAIMBUS_\w+)=", EXAMPLE, re.MULTILINE)
    assert sorted(given) == sorted(asked)


def kubernetes_environment(service: str) -> dict[str, Any]:
    documents = YAML(typ="safe").load_all((KUBERNETES / f"{service}.yaml").read_text())
    (container,) = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one for one in container["env"]}
    kustomization = YAML(typ="safe").load((KUBERNETES / "kustomization.yaml").read_text())
    maps = {c["name"]: c["literals"] for c in kustomization["configMapGenerator"]}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            environment |= {line.partition("=")[0]: {} for line in maps[source["configMapRef"]["name"]]}
        else:  # as the file's first lines say that the secret is made
            said = (KUBERNETES / "kustomization.yaml").read_text()
            after = said.partition(f"generic {source['secretRef']['name']}")[2].partition("`;")[0]
            environment |= {name: {} for name in re.findall(r"--from-literal=(\w+)=", after)}
    assert container["command"][-1] == f"services.{service}"
    return environment


@pytest.mark.parametrize("service", RUN_HERE)
def test_what_kubernetes_sets_is_read(service: str) -> None:
    of_some = set.union(*READ.values())  # the map is for all
    own = {name for name in kubernetes_environment(service) if not _OTHERS.fullmatch(name)}
    assert own <= of_some
    documents = (KUBERNETES / f"{service}.yaml").read_text()
    assert set(re.findall(r"name: (CLAIMBUS_\w+)", documents)) <= READ[service]


def test_the_guide_names_every_setting_and_no_other() -> None:
    guide = (ROOT / "docs" / "operate" / "reference" / "settings.md").read_text()
    listed = set(re.findall(r"^\| `(CLAIMBUS_\w+)` \|", guide, re.MULTILINE))
    read = set().union(*(variables(settings_of(f"services.{service}.app")) for service in RUN_HERE))
    read |= variables(settings_of("services.linking.settings"))
    assert listed <= read
    assert {name for name in read - listed if not name.startswith("CLAIMBUS_LINK_RETRY_")} == set()
