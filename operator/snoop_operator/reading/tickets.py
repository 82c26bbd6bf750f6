"""Tickets: how a person proves the right to read a namespace's reports, without handing us a credential.

The API server's service proxy strips credentials. So whoever wants to read creates a SnoopTicket in the namespace,
which is what RBAC allows or not, with the SHA-256 of a random nonce. Whoever then shows the nonce made the ticket, or
had it from who did. Deleting the ticket redeems it: only one can.
"""

import asyncio
import hashlib
import hmac
import logging
import re
from collections.abc import Callable
from datetime import datetime

from snoop_operator.apiclient import JSON, ClusterError, ConflictError, NotFoundError
from snoop_operator.cluster import Cluster

log = logging.getLogger(__name__)

LIFE = 60.0
"""Seconds for which a ticket is good."""
_SKEW = 10.0
"""Seconds by which the API server's clock may be ahead of ours."""
_SWEEP = 300.0
_SHAPE = re.compile(r"([a-z0-9][-a-z0-9.]{0,252})\.([A-Za-z0-9_-]{32,128})")


class BadTicketError(Exception):
    """The ticket opens nothing; the message says why, in one sentence."""


class Tickets:
    """Redeems tickets, and clears away those that nobody used."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock

    async def redeem(self, namespace: str, shown: str) -> None:
        """Take `shown` (`NAME.NONCE`) for one look into `namespace`. BadTicketError if it is worth nothing.

        ClusterError if the API server does not answer.
        """
        match = _SHAPE.fullmatch(shown)
        if match is None:
            raise BadTicketError("no ticket was shown: name and nonce, with a dot between")
        name, nonce = match.groups()
        try:
            ticket = await self._cluster.get_ticket(namespace, name)
        except NotFoundError as error:
            raise BadTicketError(f"there is no ticket {name} in namespace {namespace}: it may be used up") from error
        self._check(ticket, nonce)
        try:
            # Of two who show it at once, the one whose deletion succeeds is let in.
            await self._cluster.delete_ticket(namespace, name, str(ticket["metadata"]["uid"]))
        except (NotFoundError, ConflictError) as error:
            raise BadTicketError(f"ticket {name} has been used") from error

    def _check(self, ticket: JSON, nonce: str) -> None:
        told = str((ticket.get("spec") or {}).get("nonceHash") or "")
        shown = hashlib.sha256(nonce.encode()).hexdigest()
        if not hmac.compare_digest(told.encode(), shown.encode()):
            raise BadTicketError("the nonce is not the ticket's")
        age = self._age(ticket)
        if not -_SKEW <= age <= LIFE:
            raise BadTicketError(f"the ticket is {age:.0f} s old, and good for {LIFE:.0f}: make another one")

    def _age(self, ticket: JSON) -> float:
        return self._clock() - datetime.fromisoformat(ticket["metadata"]["creationTimestamp"]).timestamp()

    async def clear(self) -> None:
        """Remove tickets that were never shown in time. ClusterError if that fails."""
        async for chunk in self._cluster.list_tickets():
            for ticket in chunk.items:
                if self._age(ticket) > LIFE + _SKEW:
                    await self._remove(ticket)

    async def keep_clear(self) -> None:
        """Do so now and then, for ever."""
        while True:
            try:
                await self.clear()
            except ClusterError as error:
                log.warning("tickets not cleared error=%s", error)
            await asyncio.sleep(_SWEEP)

    async def _remove(self, ticket: JSON) -> None:
        metadata = ticket["metadata"]
        try:
            await self._cluster.delete_ticket(metadata["namespace"], metadata["name"], metadata["uid"])
        except (NotFoundError, ConflictError):
            return
