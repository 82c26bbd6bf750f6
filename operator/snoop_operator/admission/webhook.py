"""Answers the API server's AdmissionReviews (admission.k8s.io/v1) for new pods.

What is decided is decided in `injection` and `breaker`; here it is asked, counted, logged and answered.

Whatever goes wrong, the pod is admitted unchanged. Nobody is warned in their terminal: why a pod carries no agent is in
the metric, the log, the audit annotation and the profile's status.
"""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram

from snoop_operator import names
from snoop_operator.admission import eligibility, injection
from snoop_operator.admission.breaker import Breaker, owner_key
from snoop_operator.admission.surroundings import Runtime, View, surroundings
from snoop_operator.settings import Settings
from snoop_operator.workload import PodState, Refusal

log = logging.getLogger(__name__)

BODY_LIMIT = 4 * 1024 * 1024
"""Bytes. etcd takes objects of 1.5 MiB, and a review may hold one twice."""
BUDGET = 1.5
"""Seconds for reading a review: less than the webhook's timeout, so that the answer is ours."""


class PodWebhook:
    """The webhook's handler and its counters. One event loop, so a decision and its note are one step."""

    def __init__(
        self,
        view: View,
        settings: Settings,
        runtime: Callable[[], Runtime],
        registry: CollectorRegistry,
        breaker: Breaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._settings = settings
        self._runtime = runtime
        self.breaker = breaker or Breaker()
        self._clock = clock
        self._admissions = Counter(
            "snoop_admissions",
            "Pods that the webhook was asked about, by outcome (injected, unchanged, error) and reason.",
            ["outcome", "reason"],
            registry=registry,
        )
        self._seconds = Histogram(
            "snoop_admission_seconds",
            "Time to answer a review.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5),
            registry=registry,
        )

    @property
    def routes(self) -> list[web.RouteDef]:
        """What is served, over TLS."""
        return [web.post(names.WEBHOOK_PATH, self.handle)]

    def saw(self, pod: PodState) -> None:
        """Take in a pod that exists: to be told of every event of an injected pod."""
        self.breaker.saw(pod, self._clock())

    def judge(self, pod: Mapping[str, Any]) -> Refusal | None:
        """Say why a pod that exists carries no agent, as far as can be told now; None if no active profile wants it.

        Nobody could note it on the pod when it was admitted, so the question is asked again.
        """
        namespace = str((pod.get("metadata") or {}).get("namespace") or "")
        around = surroundings(self._view, namespace)
        if not eligibility.selecting(pod, around.profiles):
            return None
        decision = injection.decide(pod, around, self._settings, self._runtime())
        if isinstance(decision, Refusal):
            return decision
        return self._break(pod, namespace) or Refusal(
            "created_before",
            "Nothing speaks against the agent now: the pod was created before the profile, while the operator was "
            "away, or when something spoke against it. It gets the agent when it is created anew.",
        )

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one review. One that cannot be read has no UID to answer to: HTTP 4xx, which `Ignore` ignores."""
        started = time.perf_counter()
        try:
            async with asyncio.timeout(BUDGET):
                body = await _read(request)
            if body is None:
                return self._refuse(413, "too_large", f"more than {BODY_LIMIT} bytes")
            review = json.loads(body)
            asked = review["request"]
            uid, version = str(asked["uid"]), str(review.get("apiVersion"))
        except TimeoutError:
            return self._refuse(408, "slow_body", f"the review did not arrive within {BUDGET} s")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return self._refuse(400, "bad_review", f"not an AdmissionReview: {error!r}")
        response: dict[str, Any] = {"uid": uid, "allowed": True}
        try:
            response.update(self._answer(asked))
        except Exception as error:
            # The last line of defence: a fault of ours is no reason to hold anybody's pod.
            log.exception("admission failed, pod admitted unchanged uid=%s", uid)
            self._admissions.labels("error", "internal_error").inc()
            response["auditAnnotations"] = {"outcome": "error", "reason": type(error).__name__}
        self._seconds.observe(time.perf_counter() - started)
        return web.json_response({"apiVersion": version, "kind": "AdmissionReview", "response": response})

    def _answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        pod = asked.get("object")
        kind = (asked.get("kind") or {}).get("kind")
        if asked.get("operation") != "CREATE" or kind != "Pod" or asked.get("subResource") or not isinstance(pod, dict):
            return self._unchanged(asked, Refusal("not_a_new_pod", "Only the creation of pods is looked at."))
        decision = self._decide(asked, pod)
        if isinstance(decision, Refusal):
            return self._unchanged(asked, decision)
        reason = "renewed" if decision.renewed else "selected"
        self._admissions.labels("injected", reason).inc()
        profiles = ",".join(profile.name for profile in decision.demand.profiles)
        log.info("pod injected %s profiles=%s reason=%s", _whose(asked), profiles, reason)
        answer: dict[str, Any] = {"auditAnnotations": {"outcome": "injected", "profiles": profiles}}
        if decision.patch:
            text = json.dumps(decision.patch, separators=(",", ":"))
            answer |= {"patchType": "JSONPatch", "patch": base64.b64encode(text.encode()).decode()}
        return answer

    def _decide(self, asked: Mapping[str, Any], pod: dict[str, Any]) -> injection.Injection | Refusal:
        if not self._view.listed:
            return Refusal("operator_not_ready", "The operator has not seen the cluster yet.")
        # Pods of a ReplicaSet come without their namespace; the request always has it.
        namespace = str(asked.get("namespace") or "")
        decision = injection.decide(pod, surroundings(self._view, namespace), self._settings, self._runtime())
        # A pod that came with the sidecar has been counted when it got it.
        if isinstance(decision, Refusal) or decision.renewed:
            return decision
        against = self._break(pod, namespace)
        if against is not None:
            return against
        if not asked.get("dryRun"):
            self.breaker.note(_key(pod, namespace), self._clock())
        return decision

    def _break(self, pod: Mapping[str, Any], namespace: str) -> Refusal | None:
        """Ask the circuit breaker."""
        owner, name = eligibility.controller(pod), str((pod.get("metadata") or {}).get("name") or "")
        pods = (
            self._view.pods_of_owner(owner, namespace)
            if owner
            else [one for one in self._view.pods(namespace) if one.name == name]
        )
        image = self._settings.agent_image
        return self.breaker.decide(
            _key(pod, namespace),
            image,
            self._view.proven(image),
            self._view.check_failure(image),
            pods,
            self._clock(),
        )

    def _unchanged(self, asked: Mapping[str, Any], why: Refusal) -> dict[str, Any]:
        self._admissions.labels("unchanged", why.code).inc()
        # Most pods of most clusters are nobody's business here; those of a profile are worth a line.
        level = logging.DEBUG if why.code in ("no_profile", "excluded_namespace", "not_a_new_pod") else logging.INFO
        log.log(level, "pod admitted unchanged %s reason=%s message=%r", _whose(asked), why.code, why.message)
        return {"auditAnnotations": {"outcome": "unchanged", "reason": why.code}}

    def _refuse(self, status: int, reason: str, why: str) -> web.Response:
        self._admissions.labels("error", reason).inc()
        log.warning("review not answered reason=%s error=%r", reason, why)
        return web.Response(status=status, text=why + "\n")


def _key(pod: Mapping[str, Any], namespace: str) -> str:
    name = str((pod.get("metadata") or {}).get("name") or "")
    return owner_key(namespace, eligibility.controller(pod), name)


async def _read(request: web.Request) -> bytes | None:
    """Read a body of at most BODY_LIMIT bytes; None if it is larger."""
    if (request.content_length or 0) > BODY_LIMIT:
        return None
    parts = bytearray()
    async for part in request.content.iter_chunked(65_536):
        parts += part
        if len(parts) > BODY_LIMIT:
            return None
    return bytes(parts)


def _whose(asked: Mapping[str, Any]) -> str:
    metadata = (asked.get("object") or {}).get("metadata") or {}
    name = asked.get("name") or metadata.get("name") or metadata.get("generateName")
    return f"namespace={asked.get('namespace')} pod={name} dry_run={bool(asked.get('dryRun'))}".lower()
