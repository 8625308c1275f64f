"""Taking turns: what one company asks for is not done before what another does, however much that is."""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator


class Turns:
    """Lets in one at a time: the companies that wait in turn, and of a company whoever came first."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def of(self, company: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it."""
        if self._taken:
            turn = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(company, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._next()
                raise
        self._taken = True
        try:
            yield
        finally:
            self._next()

    def _next(self) -> None:
        while self._waiting:
            company, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[company] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False
