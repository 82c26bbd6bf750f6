"""The HTTP face of reading: a profile's reports as a stream of lines, for one ticket.

    GET /v1/namespaces/NAMESPACE/profiles/PROFILE/reports      X-Snoop-Ticket: NAME.NONCE

Answers application/x-ndjson: a head (profile, its status, store), a report for each pod, an end. Without the end the
stream was cut: whoever reads must not take it for the whole. Refusals are JSON with a code and a sentence.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from aiohttp import web

from snoop_operator import names
from snoop_operator.apiclient import ClusterError
from snoop_operator.mirror import Mirror
from snoop_operator.reading.tickets import BadTicketError, Tickets
from snoop_operator.store.interface import Store, StoreError
from snoop_report.codec import report_to_dict
from snoop_report.model import Report

log = logging.getLogger(__name__)

_AT_ONCE = 2
"""Readers at a time: a report is large, and production's deltas come first."""
_WAIT = 10.0


class Reading:
    """Serves reports of profiles."""

    def __init__(self, store: Store, mirror: Mirror, tickets: Tickets, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._mirror = mirror
        self._tickets = tickets
        self._clock = clock
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def routes(self) -> list[web.RouteDef]:
        """For `aiohttp.web.Application.add_routes`."""
        return [web.get(names.REPORTS_PATH, self.get_reports)]

    async def get_reports(self, request: web.Request) -> web.StreamResponse:
        """Answer GET …/reports."""
        namespace, name = request.match_info["namespace"], request.match_info["profile"]
        try:
            await self._tickets.redeem(namespace, request.headers.get(names.TICKET_HEADER, ""))
        except BadTicketError as error:
            return _refusal(401, "bad_ticket", str(error))
        except ClusterError as error:
            return _refusal(503, "no_cluster", str(error))
        # After the ticket: who may not read shall not learn which profiles there are.
        state = self._mirror.profile(namespace, name)
        if state is None or state.profile is None:
            words = f"there is no SnoopProfile {name} in namespace {namespace}"
            return _refusal(404, "no_profile", f"{words}: {state.error}" if state is not None else words)
        try:
            async with asyncio.timeout(_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            return _refusal(503, "busy", f"{_AT_ONCE} others are reading; try again in a while")
        try:
            pods = await self._store.pods(namespace, state.profile.selector, self._clock())
            head = {
                "profile": name,
                "namespace": namespace,
                "store": self._store.id,
                "pods": len(pods),
                "status": state.status,
            }
            return await self._stream(request, head, [pod.uid for pod in pods], state.profile.wants_container)
        except StoreError as error:
            return _refusal(503, "store", str(error))
        finally:
            self._turns.release()

    async def _stream(
        self, request: web.Request, head: dict[str, Any], uids: list[str], wants: Callable[[str], bool]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        response.enable_compression()
        await response.prepare(request)
        count = 0
        try:
            await response.write(_line(head))
            for uid in uids:
                report = await self._store.report(uid, self._clock())
                if report is None:
                    continue  # pruned since
                report.containers = [one for one in report.containers if not one.name or wants(one.name)]
                await response.write(await asyncio.to_thread(_report_line, report))
                count += 1
            await response.write(_line({"end": True, "reports": count}))
        except StoreError as error:
            log.warning("reading ended early namespace=%s error=%s", head["namespace"], error)
            await response.write(_line({"error": str(error)}))
        await response.write_eof()
        return response


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


def _report_line(report: Report) -> bytes:
    return _line({"report": report_to_dict(report, derived=False)})


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
