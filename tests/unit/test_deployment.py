"""The registry of services is true, and the files that say it again agree with it and with what services read."""

import inspect
import json
import re
import tomllib
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from operations import connection
from operations.embedded.kafka import BOUNDS
from operations.services import HEALTH_PORT, REGISTRY, WITH_DATABASE
from shared.contract.topics import SERVICES, ReadModel
from shared.runtime.settings import DatabaseSettings, KafkaSettings, MediaSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = (ROOT / ".env.example").read_text()
KUBERNETES = ROOT / "deploy" / "kubernetes"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IMAGE = dict(re.findall(r"(CLAIMBUS_\w+)=(\S+)", DOCKERFILE))
_OF_THIS_KAFKA = ("BOOTSTRAP_SERVERS", "USERNAME", "PASSWORD")
_OTHERS = re.compile(r"AWS_\w+|FORWARDED_ALLOW_IPS|OTEL_\w+")


def settings_of(module: str) -> set[type[BaseSettings]]:
    """The settings that a module makes or has imported to make."""
    found = vars(import_module(module)).values()
    return {one for one in found if inspect.isclass(one) and issubclass(one, BaseSettings) and one is not BaseSettings}


def variables(settings: set[type[BaseSettings]]) -> set[str]:
    return {f"{one.model_config.get('env_prefix', '')}{name}".upper() for one in settings for name in one.model_fields}


READ = {service: variables(settings_of(f"services.{service}.app")) for service in REGISTRY}
READ["claimbus"] = variables(settings_of(connection.__name__))
READ["migrate"] = READ["claimbus"]
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
    media = {"CLAIMBUS_MEDIA"} if REGISTRY[service].opens_media_store else set()
    media |= {"CLAIMBUS_MEDIA_SECRET"} if REGISTRY[service].has_media_secret else set()
    return secrets | media | {"CLAIMBUS_BOOTSTRAP_SERVERS"}


def compose_environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in COMPOSE["services"][service].get("environment", {}).items()}


def test_the_settings_that_there_are_were_found() -> None:
    assert "CLAIMBUS_LINK_FILES_AT_ONCE" in variables(settings_of("services.linking.settings"))
    assert DatabaseSettings in settings_of("services.portal.app")
    assert "CLAIMBUS_PORTAL_OIDC_ISSUER" in READ["portal"]
    assert "CLAIMBUS_DATABASES" in READ["claimbus"]
    assert needed("portal") >= {"CLAIMBUS_DATABASE_URL", "CLAIMBUS_MEDIA", "CLAIMBUS_PORTAL_SECRET"}


def test_the_registry_has_the_contracts_services_and_there_are_no_others() -> None:
    assert sorted(REGISTRY) == sorted(SERVICES)
    assert {file.parent.name for file in (ROOT / "services").glob("*/app.py")} == set(REGISTRY)
    assert set(ReadModel) <= set(WITH_DATABASE)


@pytest.mark.parametrize("service", REGISTRY)
def test_what_the_registry_says_of_a_service_is_so(service: str) -> None:
    entry = REGISTRY[service]
    folder = ROOT / "services" / service
    source = "\n".join(file.read_text() for file in folder.rglob("*.py"))
    assert service == import_module(f"{entry.package}.app").NAME
    assert (
        entry.has_database
        == (DatabaseSettings in settings_of(f"{entry.package}.app"))
        == (folder / "migrations").exists()
    )
    assert entry.opens_media_store == ("MediaStore.at(" in source)
    assert entry.has_media_secret == ("media_secret" in source)
    assert entry.reads


def test_every_service_is_in_the_compose_file_and_in_kubernetes() -> None:
    assert {name for name, one in COMPOSE["services"].items() if "services." in one.get("command", [""])[-1]} == set(
        REGISTRY
    )
    resources = YAML(typ="safe").load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    texts = {name: (KUBERNETES / name).read_text() for name in resources}
    deployed = {name.removesuffix(".yaml") for name, text in texts.items() if "kind: Deployment" in text}
    assert deployed == set(REGISTRY)


@pytest.mark.parametrize("service", REGISTRY)
def test_the_compose_file_gives_a_service_what_the_registry_says_that_it_needs(service: str) -> None:
    entry, composed = REGISTRY[service], COMPOSE["services"][service]
    assert composed["command"][-1] == entry.package
    assert ("media:/var/lib/claimbus" in composed.get("volumes", [])) == entry.opens_media_store
    assert ("cpu_shares" in composed) == entry.is_read_model
    done_before = {name for name, one in composed["depends_on"].items() if one["condition"].endswith("successfully")}
    assert done_before == {"provision"} | ({"migrate"} if entry.has_database else set())


def test_import_linter_keeps_every_service_from_the_others_and_every_rules_from_io() -> None:
    contracts = {one["name"]: one for one in PYPROJECT["tool"]["importlinter"]["contracts"]}
    independent = contracts["A service imports shared and itself, never another service"]["modules"]
    assert sorted(independent) == sorted(entry.package for entry in REGISTRY.values())
    rules = {f"services.{file.parent.name}.{file.stem}" for file in (ROOT / "services").glob("*/*rules.py")}
    held = contracts["rules decide without I/O"]["source_modules"]
    assert [name for name in rules if not any(fnmatchcase(name, pattern) for pattern in held)] == []


def test_wheel_and_image_have_what_a_service_is_made_of() -> None:
    packages = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \$\{PACKAGES\}/\1$", DOCKERFILE, re.MULTILINE)
    assert sorted(copied) == sorted(packages) == ["operations", "services", "shared"]


@pytest.mark.parametrize("service", sorted(READ))
def test_what_the_compose_file_sets_is_read(service: str) -> None:
    own = {name for name in compose_environment(service) if not _OTHERS.fullmatch(name)}
    assert own <= READ[service]
    assert {name for name in IMAGE if name != "CLAIMBUS_CONNECTION_FILE"} <= READ["claims"]
    assert IMAGE.keys() & READ["claimbus"] == {"CLAIMBUS_CONNECTION_FILE"}


@pytest.mark.parametrize("service", REGISTRY)
def test_what_a_service_needs_is_set_in_the_compose_file_and_in_kubernetes(service: str) -> None:
    assert needed(service) <= set(compose_environment(service))
    assert needed(service) <= set(kubernetes_environment(service))


def test_the_command_in_compose_knows_every_database_and_every_service() -> None:
    environment = compose_environment("claimbus")
    of_another_kafka = variables({KafkaSettings}) - {f"CLAIMBUS_{name}" for name in _OF_THIS_KAFKA}
    in_the_image = {"CLAIMBUS_CONNECTION_FILE"}
    assert READ["claimbus"] - set(environment) <= in_the_image | of_another_kafka
    databases = json.loads(environment["CLAIMBUS_DATABASES"])
    assert databases == {s: compose_environment(s)["CLAIMBUS_DATABASE_URL"] for s in WITH_DATABASE}
    assert compose_environment("migrate")["CLAIMBUS_DATABASES"] == environment["CLAIMBUS_DATABASES"]
    health = {service: [f"http://{service}:{HEALTH_PORT}"] for service in REGISTRY}
    assert json.loads(environment["CLAIMBUS_HEALTH"]) == health
    assert IMAGE["CLAIMBUS_HEALTH_PORT"] == str(HEALTH_PORT)


def test_provision_gets_every_services_password_and_the_databases_script_makes_every_database() -> None:
    passwords = {f"CLAIMBUS_{service.upper()}_PASSWORD" for service in SERVICES}
    assert passwords <= set(compose_environment("provision"))
    script = (ROOT / "deploy" / "compose" / "databases.sh").read_text()
    assert dict(re.findall(r'^create (\w+) "\$(\w+)"', script, re.MULTILINE)) == {
        service: f"CLAIMBUS_{service.upper()}_DATABASE_PASSWORD" for service in WITH_DATABASE
    }
    assert {f"CLAIMBUS_{s.upper()}_DATABASE_PASSWORD" for s in WITH_DATABASE} <= set(compose_environment("postgres"))


def test_env_example_has_what_the_compose_file_asks_for_once_and_nothing_else() -> None:
    needed = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text())) - {"CLAIMBUS_IMAGE"}
    documented = re.findall(r"^#?(CLAIMBUS_\w+)=", EXAMPLE, re.MULTILINE)
    assert sorted(documented) == sorted(needed)


def kubernetes_pod(service: str) -> dict[str, Any]:
    documents = YAML(typ="safe").load_all((KUBERNETES / f"{service}.yaml").read_text())
    pod: dict[str, Any] = next(d for d in documents if d["kind"] == "Deployment")["spec"]["template"]["spec"]
    return pod


def kubernetes_environment(service: str) -> dict[str, Any]:
    (container,) = kubernetes_pod(service)["containers"]
    environment = {one["name"]: one for one in container["env"]}
    kustomization = YAML(typ="safe").load((KUBERNETES / "kustomization.yaml").read_text())
    maps = {c["name"]: c["literals"] for c in kustomization["configMapGenerator"]}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            environment |= {line.partition("=")[0]: {} for line in maps[source["configMapRef"]["name"]]}
        else:  # as the file's first lines say that the secret is made
            text = (KUBERNETES / "kustomization.yaml").read_text()
            after = text.partition(f"generic {source['secretRef']['name']}")[2].partition("`;")[0]
            environment |= {name: {} for name in re.findall(r"--from-literal=(\w+)=", after)}
    assert container["command"][-1] == REGISTRY[service].package
    assert {"name": "health", "containerPort": HEALTH_PORT} in container["ports"]
    return environment


@pytest.mark.parametrize("service", REGISTRY)
def test_a_pod_whose_service_has_a_database_migrates_it_first(service: str) -> None:
    migrations = [one for one in kubernetes_pod(service).get("initContainers", []) if one["command"][1] == "migrate"]
    assert [one["command"] for one in migrations] == [["claimbus", "migrate", service]] * REGISTRY[service].has_database
    for one in migrations:
        address, databases = one["env"]
        assert address["valueFrom"] == kubernetes_environment(service)["CLAIMBUS_DATABASE_URL"]["valueFrom"]
        assert json.loads(databases["value"]) == {service: f"$({address['name']})"}


@pytest.mark.parametrize("service", REGISTRY)
def test_what_kubernetes_sets_is_read(service: str) -> None:
    of_some = set.union(*READ.values())  # the map is for all
    own = {name for name in kubernetes_environment(service) if not _OTHERS.fullmatch(name)}
    assert own <= of_some
    (container,) = kubernetes_pod(service)["containers"]
    assert {name for one in container["env"] if (name := one["name"]).startswith("CLAIMBUS_")} <= READ[service]


def test_the_guide_names_every_setting_and_no_other() -> None:
    guide = (ROOT / "docs" / "operate" / "reference" / "settings.md").read_text()
    listed = set(re.findall(r"^\| `(CLAIMBUS_\w+)` \|", guide, re.MULTILINE))
    read = set().union(*(variables(settings_of(f"services.{service}.app")) for service in REGISTRY))
    read |= variables(settings_of("services.linking.settings"))
    assert listed <= read
    assert {name for name in read - listed if not name.startswith("CLAIMBUS_LINK_RETRY_")} == set()


def test_the_compose_files_kafka_has_the_bounds_of_the_embedded_one() -> None:
    script = (ROOT / "deploy" / "compose" / "kafka.sh").read_text()
    settings = dict(re.findall(r"^([a-z.]+)=(\S+)$", script, re.MULTILINE))
    assert settings.items() >= BOUNDS.items()
