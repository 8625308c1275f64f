"""A process of its own in which pictures are made small: what a stranger's file does to it is done to nothing else."""

import asyncio
import contextlib
import os
import sys

from shared.runtime.logs import log

LENGTH_BYTES = 4
"""Before each picture that goes in or comes out stands how long it is; one of no bytes could not be made."""
_ENDS_AFTER_S = 60.0
"""It takes some 50 MB, which many portals rarely need."""
_LONGEST_S = 300.0
"""For what does not even use a processor; a machine that has other things to do is given time."""
_KEPT_OF_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG")


class Unreadable(Exception):
    """It is no picture that can be made small: too large, damaged, or made to keep us busy."""


class PictureMaker:
    """Starts the process when it is needed, and anew when a picture has ended it. One picture at a time."""

    def __init__(self, cpu_s: int) -> None:
        """`cpu_s` is how long a processor may be busy with one picture, in seconds."""
        self._cpu_s = cpu_s
        self._process: asyncio.subprocess.Process | None = None
        self._end: asyncio.TimerHandle | None = None

    async def small(self, picture: bytes) -> bytes:
        """Make a small JPEG. Raises Unreadable, also where that takes too long or too much memory."""
        if self._end is not None:
            self._end.cancel()
        process = await self._running()
        try:
            async with asyncio.timeout(_LONGEST_S):
                made = await _made_by(process, picture)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            await self.stop()
            log.warning("a picture takes too long or too much memory", bytes=len(picture), status=process.returncode)
            raise Unreadable from None
        except asyncio.CancelledError:
            await self.stop()  # what it is at would be the answer to the next
            raise
        self._end = asyncio.get_running_loop().call_later(_ENDS_AFTER_S, self._end_idle)
        if not made:
            raise Unreadable
        return made

    async def stop(self) -> None:
        """End the process; safe to repeat."""
        if self._end is not None:
            self._end.cancel()
        process, self._process = self._process, None
        if process is not None:
            _kill(process)
            await process.wait()

    def _end_idle(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            _kill(process)

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.portal.pictures", str(self._cpu_s)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={name: os.environ[name] for name in _KEPT_OF_ENVIRONMENT if name in os.environ},  # no passwords
            )
        return self._process


async def _made_by(process: asyncio.subprocess.Process, picture: bytes) -> bytes:
    if process.stdin is None or process.stdout is None:
        raise OSError
    process.stdin.write(len(picture).to_bytes(LENGTH_BYTES))
    process.stdin.write(picture)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES))
    return await process.stdout.readexactly(length)


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
