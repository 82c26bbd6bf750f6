"""Identifies agents by asking the API server: the `TokenReviewer` that ingest relies on."""

from snoop_operator.apiclient import ClusterError
from snoop_operator.cluster import Cluster, TokenRefusedError
from snoop_operator.ingest.authentication import InvalidTokenError, ReviewUnavailableError, TokenIdentity

_SERVICE_ACCOUNT = "system:serviceaccount:"


class ClusterReviewer:
    """Reviews tokens with TokenReview."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def review(self, token: str, audience: str) -> TokenIdentity:
        """Identify a pod's token. InvalidTokenError if it is none, ReviewUnavailableError if nobody can say now."""
        try:
            told = await self._cluster.review_token(token, audience)
        except TokenRefusedError as error:
            raise InvalidTokenError(str(error)) from error
        except ClusterError as error:
            raise ReviewUnavailableError(f"no TokenReview: {error}") from error
        namespace, _, account = told.username.removeprefix(_SERVICE_ACCOUNT).partition(":")
        if not told.username.startswith(_SERVICE_ACCOUNT) or not told.pod_uid:
            raise InvalidTokenError("the token is not bound to a pod")
        return TokenIdentity(namespace, told.pod_name, told.pod_uid, told.node, account)
