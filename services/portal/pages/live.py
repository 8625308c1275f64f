"""What pages are told while they are open: that a claim or list has changed, and that one may create, or no longer."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.portal.live import Live
from services.portal.rendering import render
from services.portal.sentences import of_refusal
from services.portal.viewer import Viewer, insurers_open_to, viewer_of
from services.portal.visit import Portal, Visit
from shared.contract.outcomes import RequestRefused

_LOOK_EVERY_S = 1.0
_COMMENT_EVERY_S = 15.0
_AT_MOST_EVERY_S = 0.5
_MOST_OF_A_USER = 20
_LONGEST_S = 3600.0
_LONGEST_NUMBER = 15


async def stream(visit: Visit) -> Response:
    """Server-sent events, which say that something is new and not what; a tab hands them on to its browser's others.

    `claim-<id>` is about a claim, `changed` about anything of the company, `directory` about the directory, `creation`
    about whether the viewer may create. They are the data of events without a name: a tab does not know what the others
    listen to. A user's browsers have one each; it ends after a while, and they ask for it again.
    """
    streams, user = visit.portal.live.streams, visit.viewer.user.id
    if streams[user] >= _MOST_OF_A_USER:
        return Response(status_code=429, headers={"retry-after": "60"})
    streams[user] += 1
    return _Stream(visit, streams)


class _Stream(StreamingResponse):
    """A stream that is counted for as long as it is open."""

    def __init__(self, visit: Visit, streams: Counter[str]) -> None:
        super().__init__(
            _events(visit, visit.portal, visit.viewer),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        self._user, self._streams = visit.viewer.user.id, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.subtract([self._user])


async def creation_link(visit: Visit) -> Response:
    """The link *+ Ny midlertidig sak*, or nothing."""
    return render(visit, "part_creation_link.html", may_create=bool(_open_now(visit)))


async def pending(visit: Visit) -> Response:
    """What has become of a request that was on its way."""
    viewer = visit.viewer
    outcome = await visit.portal.store.outcome(viewer.company.id, visit.request.path_params["request_id"])
    if outcome is None:
        return Response(status_code=204)
    refused = None
    if isinstance(outcome, RequestRefused):
        refused = of_refusal(outcome.code, outcome.message, visit.language)
    return render(visit, "part_outcome.html", refused=refused)


def _open_now(visit: Visit) -> bool:
    viewer = visit.viewer
    return bool(insurers_open_to(viewer, visit.portal.directory, datetime.now(UTC)))


def _number(visit: Visit, name: str) -> int | None:
    number = visit.request.query_params.get(name, "")
    return int(number) if number.isdecimal() and len(number) <= _LONGEST_NUMBER else None


async def _events(visit: Visit, portal: Portal, viewer: Viewer) -> AsyncIterator[str]:
    may_create: bool | None = None
    silent_s = 0.0
    directory = _number(visit, "directory")
    live: Live = portal.live
    yield "retry: 2000\n\n"
    since = _number(visit, "since")
    ends = time.monotonic() + _LONGEST_S
    with live.watch(viewer.company.id, since and since / 1000) as watch:
        while not live.closing and time.monotonic() < ends:
            if viewer_of(visit.request, portal.directory, live.ended_sessions) is None:
                return
            now = bool(insurers_open_to(viewer, portal.directory, datetime.now(UTC)))
            if may_create is not None and now is not may_create:
                yield "data: creation\n\n"
            may_create = now
            if portal.follower.changes != directory:
                directory = portal.follower.changes
                yield "data: directory\n\n"
            if await watch.news(_LOOK_EVERY_S):
                changed, watch.claims = watch.claims, set()
                silent_s = 0.0
                for claim in sorted(changed):
                    yield f"data: claim-{claim}\n\n"
                yield "data: changed\n\n"
                await asyncio.sleep(_AT_MOST_EVERY_S)  # a storm is sent as one change
            else:
                silent_s += _LOOK_EVERY_S
                if silent_s >= _COMMENT_EVERY_S:
                    silent_s = 0.0
                    yield ": still here\n\n"
