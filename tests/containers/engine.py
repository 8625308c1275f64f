"""Whether there is a Docker engine to use: where there is none, tests that need one are skipped, and say why."""

import functools
import subprocess

_ANSWER_S = 20


@functools.cache
def missing() -> str | None:
    """Tell why no engine with compose can be used, or None if one can."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        said = " ".join(command)
        try:
            asked = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S)
        except FileNotFoundError:
            return "docker is not installed"
        except subprocess.TimeoutExpired:
            return f"`{said}` does not answer"
        if asked.returncode:
            return f"`{said}`: {(asked.stderr.strip().splitlines() or ['failed'])[-1]}"
    return None
