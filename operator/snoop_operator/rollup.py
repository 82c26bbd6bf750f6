"""From evidence to a SnoopProfile's status. Pure: same input, same dict. Conditions are decided in `conditions`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snoop_operator import conditions
from snoop_operator.conditions import Condition, Counts, clip, rfc3339
from snoop_operator.inventories import summary
from snoop_operator.inventories.findings import Known
from snoop_operator.profile import Profile
from snoop_operator.store.interface import ContainerEvidence, PodEvidence, ProfileEvidence, Unprofiled
from snoop_operator.workload import NOT_INJECTED, PodState
from snoop_report.model import Gap, GapCode

Status = dict[str, Any]
MAX_IMAGES = 20
"""Images in a status; the CRD allows 50. `imageCount` counts them all."""
_MAX_CONTAINERS = 64
_MAX_REASONS = 32
_MAX_WORDS = 1024

FIRST_REPORT = 60.0
"""Seconds that an injected pod may take to its first report before it is overdue: its image may be pulled first."""
INTERVALS = 3
"""Report intervals without a word after which an agent is overdue."""
IDENTIFYING = 15.0
"""Seconds in which a new container's name and digest usually arrive with the pod's status."""


@dataclass(frozen=True, slots=True)
class AgentCheck:
    """What is known of the agent image: proven to start, or in trouble, or neither yet."""

    proven: bool = False
    trouble: str = ""
    """Kubelet's words (`ImagePullBackOff: …`) if it could not start."""


def lost_store(previous: Mapping[str, Any], store_id: str) -> str:
    """Give the ID of the earlier store if `previous` status counts evidence that `store_id` never held, else empty.

    If not empty, call `Store.note_loss` before `Store.evidence`, so that it stays said.
    """
    earlier = str(previous.get("storeID") or "")
    # A store that was lost in its turn held nothing but the word of the loss before.
    lost = conditions.camel(GapCode.EVIDENCE_LOST)
    told = any(one.get("reason") == lost for one in previous.get("conditions") or ())
    return earlier if earlier != store_id and (previous.get("imageCount") or previous.get("files") or told) else ""


def roll_up(
    profile: Profile,
    pods: Sequence[PodState],
    evidence: ProfileEvidence,
    previous: Mapping[str, Any],
    now: float,
    agent: AgentCheck,
    inventories: Known | None = None,
) -> Status:
    """Make the whole status of a valid profile.

    `pods` are live pods (others than the profile's are passed over); `previous` is the status as stored, or {}.
    `inventories`: what is known of what the images hold; None: nobody looks, and the status says nothing of it.
    Equal to `previous` when nothing changed: compare, and patch only what differs.
    """
    known = {one.uid: one for one in evidence.pods}
    matched = [pod for pod in pods if _is_matched(profile, pod)]
    uninjected = [pod for pod in matched if not pod.injected]
    counts = _count(profile, matched, known, {pod.uid for pod in pods}, now)
    skipped = _skipped(uninjected)
    sentences = [f"{one['reason']}: {one['message']}" for one in skipped]
    gaps = [(pod.uid, gap) for pod in evidence.pods for gap in _wanted_gaps(profile, pod)]
    if evidence.lost:
        gaps.append(("", evidence.lost))
    gaps += [("", gap) for gap in evidence.gaps]
    unprofiled = list(_unprofiled(profile, uninjected, evidence))
    gaps += [("", gap) for _, gap in unprofiled]
    grave = [(uid, gap) for uid, gap in gaps if not _settling(gap, now)]
    containers = [one for pod in evidence.pods for one in _wanted(profile, pod)]
    # Without a container there is no evidence yet, unless the agent says why.
    reported = any(pod.first_report_at and (pod.containers or pod.gaps) for pod in evidence.pods)
    images = _images(profile, evidence, matched, [use for use, _ in unprofiled], inventories or Known())
    told = [
        conditions.ready(agent.proven, agent.trouble),
        conditions.recording(profile, counts, sentences),
        conditions.complete(reported, grave, counts, sentences, len(grave) < len(gaps)),
    ]
    totals = summary.of_all(images, inventories is not None)
    if inventories is not None:
        told.append(summary.inventoried(profile.inventory_source, inventories, images))
    status: Status = {
        "observedGeneration": profile.generation,
        "phase": _phase(profile, counts),
        "conditions": conditions.dated(told, profile.generation, previous, now),
        "pods": {
            "matched": counts.matched,
            "injected": counts.injected,
            "attached": counts.attached,
            "reporting": counts.reporting,
            "uninjected": counts.uninjected,
            "skipped": skipped,
        },
        "files": evidence.files,
        "events": sum(one.events for one in containers),
        "droppedEvents": sum(one.dropped for one in containers),
        "images": images,
        "imageCount": len(evidence.images),
        "storeID": evidence.store_id,
        "display": {"pods": f"{counts.reporting}/{counts.matched}", **summary.display(totals, images)},
        **totals,
    }
    last_report = max((pod.last_report_at for pod in evidence.pods), default=0.0)
    for key, moment in (("lastReportTime", last_report), ("lastNewFileTime", evidence.last_new_file_at)):
        if moment:
            status[key] = rfc3339(moment)
    return status


def invalid(generation: int, message: str, previous: Mapping[str, Any], now: float) -> Status:
    """Make the status of a profile that cannot be parsed: `message` says why. Counts of earlier evidence stay."""
    words = "The profile cannot be read, so nothing is known of its pods"
    told = [
        Condition("Ready", "False", "InvalidProfile", message),
        Condition("Recording", "False", "InvalidProfile", words),
        Condition("Complete", "Unknown", "InvalidProfile", words),
    ]
    return {
        **previous,
        "observedGeneration": generation,
        "phase": "Failed",
        "conditions": conditions.dated(told, generation, previous, now),
    }


def _is_matched(profile: Profile, pod: PodState) -> bool:
    """Whether the pod counts: selected, and neither finished nor on its way out."""
    over = pod.terminating or pod.phase in ("Succeeded", "Failed")
    return pod.namespace == profile.namespace and not over and profile.selector.matches(pod.labels)


def _count(
    profile: Profile, matched: Sequence[PodState], known: Mapping[str, PodEvidence], alive: set[str], now: float
) -> Counts:
    injected = [pod for pod in matched if pod.injected]
    attached = reporting = overdue = stuck = 0
    for pod in injected:
        evidence = known.get(pod.uid)
        attached += bool(evidence and evidence.agent.hooks)
        if pod.agent_trouble:
            stuck += 1
        elif evidence is None or not evidence.first_report_at:
            started = pod.agent_started or pod.phase == "Running"
            overdue += started and now - pod.created_at > FIRST_REPORT
        elif now - evidence.last_report_at > max(INTERVALS * profile.report_interval, FIRST_REPORT):
            overdue += not pod.agent_finished
        else:
            reporting += 1
    return Counts(
        matched=len(matched),
        injected=len(injected),
        attached=attached,
        reporting=reporting,
        overdue=overdue,
        stuck=stuck,
        uninjected=len(matched) - len(injected),
        ended=sum(one.pods for one in known.values() if one.ended_at and one.first_report_at and one.uid not in alive),
    )


def _phase(profile: Profile, counts: Counts) -> str:
    if profile.paused:
        return "Paused"
    return "Recording" if counts.reporting else "Pending"


def _skipped(uninjected: Iterable[PodState]) -> list[dict[str, Any]]:
    """Reasons with how many pods each holds for, the most frequent first; one of the pods' messages for each."""
    found: dict[str, list[str]] = {}
    for pod in uninjected:
        refusal = pod.refusal or NOT_INJECTED
        found.setdefault(refusal.code, []).append(refusal.message)
    ordered = sorted(found.items(), key=lambda one: (-len(one[1]), one[0]))
    return [
        {"reason": code, "count": len(messages), "message": clip(min(messages), _MAX_WORDS)}
        for code, messages in ordered[:_MAX_REASONS]
    ]


def _wanted(profile: Profile, pod: PodEvidence) -> list[ContainerEvidence]:
    """Containers whose evidence belongs here. One whose name is not known may be one of them."""
    return [one for one in pod.containers if not one.name or profile.wants_container(one.name)]


def _wanted_gaps(profile: Profile, pod: PodEvidence) -> list[Gap]:
    unwanted = {one.id for one in pod.containers} - {one.id for one in _wanted(profile, pod)}
    return [gap for gap in pod.gaps if gap.container not in unwanted]


def _unprofiled(
    profile: Profile, alive: Iterable[PodState], evidence: ProfileEvidence
) -> Iterator[tuple[Unprofiled, Gap]]:
    """Tell of images of the evidence that pods without an agent have run, so that no pod recorded later is like them.

    Those that are `alive` are counted among the pods already.
    """
    told = {(one.name, one.image, one.digest) for pod in alive for one in pod.containers.values()}
    recorded = [one for pod in evidence.pods for one in _wanted(profile, pod)]
    for use in evidence.unprofiled:
        if (use.name and not profile.wants_container(use.name)) or (use.name, use.image, use.digest) in told:
            continue
        same = [one for one in recorded if _same_image(use, one.image, one.digest)]
        if not same or any(one.name == use.name and one.started_at > use.created_at for one in same):
            continue
        what = f"container {use.name} of {use.image}" if use.name else "further containers"
        words = f"{what} ran without an agent ({use.reason}), the last time in a pod created {rfc3339(use.created_at)}"
        yield use, Gap(GapCode.UNPROFILED_USE, words, use.created_at)


def _same_image(use: Unprofiled, image: str, digest: str) -> bool:
    """Whether it may be the same image, where one digest is not known."""
    if use.digest and digest:
        return use.digest == digest
    return not (use.image and image) or use.image == image


def _settling(gap: Gap, now: float) -> bool:
    return gap.code is GapCode.UNRESOLVED_CONTAINER and now - gap.since < IDENTIFYING


def _images(
    profile: Profile,
    evidence: ProfileEvidence,
    matched: Iterable[PodState],
    unprofiled: Sequence[Unprofiled],
    inventories: Known,
) -> list[dict[str, Any]]:
    # What they use is not seen, whatever the evidence of the others says.
    bare = [pod for pod in matched if not pod.injected]
    listed: list[dict[str, Any]] = []
    for image in evidence.images[:MAX_IMAGES]:
        key = image.digest or image.image
        names: set[str] = set()
        codes = {gap.code for gap in evidence.gaps} | ({GapCode.EVIDENCE_LOST} if evidence.lost else set())
        if any(_same_image(use, image.image, image.digest) for use in unprofiled):
            codes.add(GapCode.UNPROFILED_USE)
        number = 0
        for pod in evidence.pods:
            here = [one for one in _wanted(profile, pod) if (one.digest or one.image) == key]
            if not here:
                continue
            number += max(one.pods for one in here)
            names.update(one.name for one in here if one.name)
            codes.update(_gap_codes(profile, pod, {one.id for one in here}))
        listed.append(
            {
                "image": clip(image.image, _MAX_WORDS),
                "digest": image.digest,
                "containers": sorted(names)[:_MAX_CONTAINERS],
                "pods": number,
                "files": image.files,
                "complete": not codes,
                "gaps": [code.value for code in conditions.SEVERITY if code in codes],
                **summary.of_image(
                    inventories.images.get(image.digest),
                    not codes and not any(_may_run(pod, image.digest) for pod in bare),
                ),
            }
        )
    return listed


def _may_run(pod: PodState, digest: str) -> bool:
    """Whether a pod runs an image, or it is not known (yet) what it runs."""
    return not pod.containers or any(one.digest in ("", digest) for one in pod.containers.values())


def _gap_codes(profile: Profile, pod: PodEvidence, containers: set[str]) -> set[GapCode]:
    """Gaps of these containers and of their pod. A container that is not identified may run the same image."""
    unresolved = {gap.container for gap in pod.gaps if gap.code is GapCode.UNRESOLVED_CONTAINER}
    concerned = containers | unresolved | {""}
    return {gap.code for gap in _wanted_gaps(profile, pod) if gap.container in concerned}
