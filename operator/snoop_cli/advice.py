"""What each gap means for a reader, and what to do about it. The codes are `GapCode`'s and `evidence`'s."""

from typing import NamedTuple

from snoop_cli.evidence import NOTHING, UNDECLARED
from snoop_report.model import GapCode


class Advice(NamedTuple):
    """Two sentences."""

    means: str
    do: str


_NEW_PODS = "let new pods start (kubectl rollout restart)"

ADVICE: dict[str, Advice] = {
    GapCode.NOT_TRACING: Advice(
        "The agent ran and could record nothing.",
        "Read its log (kubectl logs POD -c snoop-agent). Nodes need Linux 5.10 or newer with /sys/kernel/btf/vmlinux.",
    ),
    GapCode.LATE_START: Advice(
        "What a container used and let go of before the hooks were attached is not known.",
        f"Give the agent more CPU (spec.agent.resources), then {_NEW_PODS}.",
    ),
    GapCode.AGENT_RESTARTED: Advice(
        "What was used between two runs of the agent is not known.",
        f"See why it ended (kubectl describe pod), then {_NEW_PODS}.",
    ),
    GapCode.LATE_END: Advice(
        "A container outlived the agent, or may have: what it used at its very end is not known.",
        "Let the app end on SIGTERM, and give the pod a longer terminationGracePeriodSeconds.",
    ),
    GapCode.UNSEEN_CONTAINER: Advice(
        "A container ran of which no report tells.",
        f"Read the agent's log (kubectl logs POD -c snoop-agent), then {_NEW_PODS}.",
    ),
    GapCode.UNPROFILED_USE: Advice(
        "The same image ran in pods that were not recorded; they may use other files.",
        f"The profile's status.pods.skipped says why they have no agent. Mend that, then {_NEW_PODS}.",
    ),
    GapCode.RECORDS_LOST: Advice(
        "The kernel had no room for some records or skipped some: those uses are not known.",
        f"Give the agent more CPU (spec.agent.resources), then {_NEW_PODS}, and let them run as long again.",
    ),
    GapCode.CAP_REACHED: Advice(
        "More paths were used than the profile lets an agent keep; those that came later are not known.",
        f"Raise spec.maxUniqueFiles (0: all), or leave data directories out (spec.exclude), then {_NEW_PODS}.",
    ),
    GapCode.PATH_TRUNCATED: Advice(
        "A path was longer or deeper than the kernel side carries, and is known in part.",
        "Take what lies that deep as used.",
    ),
    GapCode.PATH_UNREADABLE: Advice(
        "The name that a program asked for could not be read back from its memory.",
        "Record more pods of the same image: by chance alone all of them will not miss it.",
    ),
    GapCode.BLIND_SPOT: Advice(
        "A way to use files was seen that cannot be followed; the words say which.",
        "Take what that program may reach in this way as used. docs/capture.md describes each.",
    ),
    GapCode.UNRESOLVED_CONTAINER: Advice(
        "It is not known which container, or which image, this evidence belongs to.",
        "A new container is named within seconds. If it stays: is the operator up, and may it read pods?",
    ),
    GapCode.UNRESOLVED_POD: Advice(
        "It is not known which profiles this pod's evidence belongs to.",
        "A new pod is known within seconds. If it stays: is the operator up, and may it read pods?",
    ),
    GapCode.FINAL_REPORT_MISSING: Advice(
        "The pod ended without its agent's last report: what was used last is not known.",
        "Let pods end in order: enough terminationGracePeriodSeconds, no --force, nodes drained before they go.",
    ),
    GapCode.EVIDENCE_LOST: Advice(
        "The operator's store was replaced or put back from a backup: earlier evidence may be gone.",
        f"Keep the store on a volume that lasts (persistence), then {_NEW_PODS} and record as long again.",
    ),
    UNDECLARED: Advice(
        "Nothing that is not listed is known to be unused. Reports of upstream snoop are like this.",
        "Record again with this snoop, whose reports say what they leave out.",
    ),
    NOTHING: Advice(
        "No program can start without using a file: nothing was seen of this pod or command.",
        "Wait until it has run. If it stays: read the agent's log (kubectl logs POD -c snoop-agent).",
    ),
}
