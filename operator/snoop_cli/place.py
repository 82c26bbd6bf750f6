"""Which cluster and namespace are meant, as a value. The Kubernetes client is not loaded for that."""

from dataclasses import dataclass

OPERATOR = "snoop-system/snoop-operator"
"""Where the operator's Service is, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which cluster and namespace a person means, as kubectl's flags have it. Empty: what the kubeconfig says."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    every_namespace: bool = False
    labels: str = ""
    """Only profiles that this label selector matches."""
    operator: str = OPERATOR

    @property
    def given(self) -> bool:
        """Whether a cluster is meant, whatever the arguments look like."""
        return self != Place(operator=self.operator)
