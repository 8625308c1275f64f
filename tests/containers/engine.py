"""Whether there is a Docker engine to use: where there is none, tests that need one are skipped, and say why."""

import functools
import subprocess

_ANSWER_S = 20


@functools.cache
def missing() -> str | None:
    """Why no engine with compose can be used, or None if one can."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        command_line = " ".join(command)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S)
        except FileNotFoundError:
            return "docker is not installed"
        except subprocess.TimeoutExpired:
            return f"`{command_line}` does not answer"
        if done.returncode:
            return f"`{command_line}`: {(done.stderr.strip().splitlines() or ['failed'])[-1]}"
    return None
