"""What the tests of admission share: settings, a cluster in memory, and pods as the API server sends them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from snoop_operator.admission.surroundings import Runtime, Surroundings
from snoop_operator.profile import Profile, parse
from snoop_operator.settings import Settings

JSON = dict[str, Any]


@dataclass
class Meta:
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def profile(name: str = "checkout", **spec: Any) -> Profile:
    spec.setdefault("selector", {"matchLabels": {"app": "checkout"}})
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-of-{name}", "generation": 1}
    return parse({"metadata": metadata, "spec": spec})


def pod(spec: JSON | None = None, **metadata: Any) -> JSON:
    metadata = {"generateName": "checkout-", "labels": {"app": "checkout"}, **metadata}
    plain = {"containers": [{"name": "app", "image": "shop/checkout:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**plain, **(spec or {})}}


def around(
    *,
    namespace: str = "shop",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    profiles: Sequence[Profile] | None = None,
    limit_ranges: Sequence[JSON] = (),
    resource_quotas: Sequence[JSON] = (),
    known: bool = True,
) -> Surroundings:
    return Surroundings(
        namespace,
        Meta(labels or {}, annotations or {}) if known else None,
        [profile()] if profiles is None else profiles,
        limit_ranges,
        resource_quotas,
    )


@pytest.fixture
def settings() -> Settings:
    return Settings(agent_image="registry.example/snoop-agent@sha256:" + "a" * 64)


@pytest.fixture
def runtime() -> Runtime:
    return Runtime(
        ca_bundle="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        operator_address="10.96.0.77",
        version="0.1.0",
    )


@pytest.fixture(name="profile")
def _profile() -> Callable[..., Profile]:
    return profile


@pytest.fixture(name="pod")
def _pod() -> Callable[..., JSON]:
    return pod


@pytest.fixture(name="around")
def _around() -> Callable[..., Surroundings]:
    return around
