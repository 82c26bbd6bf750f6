"""What an operator's answer to a delta means. No I/O: who waits for an answer need not know how it comes."""

from dataclasses import dataclass
from enum import Enum

from snoop_report.model import Acknowledgement


class Verdict(Enum):
    """What becomes of a posted delta."""

    ACCEPTED = "accepted"
    SPLIT = "split"
    """Too large: halve it."""
    REFUSED = "refused"
    """Malformed, says the operator: more of the same will not help."""
    DENIED = "denied"
    """The token is not accepted; a newer one may be."""
    LATER = "later"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one attempt."""

    verdict: Verdict
    reason: str = ""
    retry_after: float = 0.0
    """Seconds that the operator asked for; 0: it did not."""
    acknowledgement: Acknowledgement | None = None


def judge(status: int) -> Verdict:
    """Tell what a status code other than 200 means."""
    if status == 413:
        return Verdict.SPLIT
    if status in (400, 422):
        return Verdict.REFUSED
    if status in (401, 403):
        return Verdict.DENIED
    return Verdict.LATER
