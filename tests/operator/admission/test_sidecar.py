"""The container that is injected is the one that was proven."""

from snoop_operator import agentcheck
from snoop_operator.admission import sidecar
from snoop_operator.settings import Settings


def test_the_check_pod_has_the_rights_and_volumes_of_an_injected_agent(settings: Settings) -> None:
    spec = agentcheck.check_pod(settings, "check", None)["spec"]
    assert spec["containers"][0]["securityContext"] == sidecar.SECURITY_CONTEXT
    injected = {volume["name"]: volume for volume in sidecar.volumes(settings)}
    assert all(injected[volume["name"]] == volume for volume in spec["volumes"])
