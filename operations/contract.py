"""`claimbus contract`: writes the contract as files for other companies, and compares it with the released ones."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import shared.contract
from operations.options import AsJson, err, out, print_json
from shared.contract.compatibility import incompatible_changes
from shared.contract.json_schemas import Json
from shared.contract.published import ASYNCAPI, as_text, published

RELEASED = Path(shared.contract.__path__[0]) / "schemas"
"""The released contract, a part of the source and of the installed package."""

_MESSAGE = re.compile(r"[a-z-]+\.v[0-9]+\.json\Z")
_ADVICE = "What is released stays true: add an optional field, or a .v2 type beside the old one."


def contract(
    folder: Annotated[
        Path, typer.Argument(help="Where the files are.", file_okay=False, show_default="the released contract")
    ] = RELEASED,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where the files and the code differ.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the AsyncAPI and JSON Schema files of the contract; never over ones that the code breaks."""
    ours = published()
    try:
        released = _read(folder)
        broken = incompatible_changes(released, ours)
        stale = sorted(name for name in ours if released.get(name) != ours[name])
        written = [] if check or broken else stale
        _write(folder, {name: ours[name] for name in written})
    except (OSError, ValueError) as error:
        problem = f"{folder}: {error}"
        _print(as_json, {"folder": str(folder), "error": problem}, [problem], failed=True)
    else:
        document = {
            "folder": str(folder),
            "compatible": not broken,
            "incompatible": [{"file": c.file, "path": c.path, "problem": c.problem} for c in broken],
            "stale": [] if written else stale,
            "written": written,
        }
        if broken:
            sentences = [*map(str, broken), _ADVICE]
        elif written:
            sentences = [f"Wrote {len(written)} of {len(ours)} files to {folder}."]
        elif stale:
            sentences = [*(f"{name} is missing or out of date." for name in stale), "Run claimbus contract."]
        else:
            sentences = [f"The {len(ours)} files in {folder} are up to date."]
        _print(as_json, document, sentences, failed=bool(broken or document["stale"]))


def _read(folder: Path) -> dict[str, Json]:
    """Read the released files. Raises ValueError where one is not a JSON object."""
    released = {}
    for file in sorted(folder.iterdir()) if folder.exists() else ():
        if file.name == ASYNCAPI or _MESSAGE.match(file.name):
            try:
                released[file.name] = dict(json.loads(file.read_text("utf-8")))
            except (TypeError, ValueError, RecursionError) as error:
                raise ValueError(f"{file.name} is not a JSON object: {error}") from None
    return released


def _write(folder: Path, files: Mapping[str, Json]) -> None:
    if files:
        folder.mkdir(parents=True, exist_ok=True)
    for name, document in files.items():
        (folder / name).write_text(as_text(document), "utf-8")


def _print(as_json: bool, document: Mapping[str, Any], sentences: list[str], *, failed: bool) -> None:
    if as_json:
        print_json(document)
    else:
        (err if failed else out).print(*sentences, sep="\n")
    if failed:
        raise typer.Exit(1)
