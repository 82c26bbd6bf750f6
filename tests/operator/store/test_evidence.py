from typing import Any

from snoop_operator.store.sql import SqlStore
from snoop_report.model import Identity

NOW = 1000.0
REDIS = Identity("cache", "redis:7", "sha256:" + "b" * 64)


async def _post(store: SqlStore, make: Any, uid: str, identity: Identity, *paths: str, first: float = 100.0) -> None:
    container = make.container(
        *(make.seen(path, first=first) for path in paths), key=f"{uid}-{identity.name}", events=3
    )
    await store.note_pods([make.pod(uid)])
    await store.accept(make.key(uid), make.delta(1, container), {container.id: identity}, NOW)


async def test_unions_count_a_path_once_per_image_and_once_per_profile(store: SqlStore, make: Any) -> None:
    await _post(store, make, "u1", make.nginx, "/a", "/b")
    await _post(store, make, "u2", make.nginx, "/b", "/c")
    await _post(store, make, "u3", REDIS, "/a", "/d")
    evidence = await store.evidence(make.profile(), NOW)
    assert evidence.files == 4
    assert {(one.digest, one.files) for one in evidence.images} == {(make.nginx.digest, 3), (REDIS.digest, 2)}
    assert sum(one.files for pod in evidence.pods for one in pod.containers) == 6
    assert sum(one.events for pod in evidence.pods for one in pod.containers) == 9
    assert evidence.store_id == store.id


async def test_a_new_file_is_one_that_no_pod_had_used_before(store: SqlStore, make: Any) -> None:
    await _post(store, make, "u1", make.nginx, "/a", first=100)
    await _post(store, make, "u2", make.nginx, "/a", first=500)
    assert (await store.evidence(make.profile(), NOW)).last_new_file_at == 100
    await store.accept(
        make.key("u2"), make.delta(2, make.container(make.seen("/b", first=600), key="u2-nginx")), {}, NOW
    )
    evidence = await store.evidence(make.profile(), NOW)
    assert (evidence.last_new_file_at, evidence.files) == (600, 2)


async def test_containers_that_the_profile_excludes_are_not_counted(store: SqlStore, make: Any) -> None:
    await _post(store, make, "u1", make.nginx, "/a")
    await _post(store, make, "u2", REDIS, "/b", "/c")
    evidence = await store.evidence(make.profile(exclude_containers=("cache",)), NOW)
    assert (evidence.files, [one.image for one in evidence.images]) == (1, ["nginx:1.27"])


async def test_a_container_whose_name_is_not_known_counts_but_makes_no_image(store: SqlStore, make: Any) -> None:
    await _post(store, make, "u1", Identity("", "", ""), "/a")
    evidence = await store.evidence(make.profile(include=("nginx",)), NOW)
    assert (evidence.files, evidence.images) == (1, ())


async def test_two_names_of_one_digest_are_one_image(store: SqlStore, make: Any) -> None:
    await _post(store, make, "u1", make.nginx, "/a")
    await _post(store, make, "u2", Identity("nginx", "mirror/nginx:stable", make.nginx.digest), "/b")
    (image,) = (await store.evidence(make.profile(), NOW)).images
    assert (image.image, image.files) == ("mirror/nginx:stable", 2)


async def test_images_come_newest_first(store: SqlStore, make: Any) -> None:
    for number, started in enumerate([50.0, 70.0, 60.0]):
        identity = Identity("nginx", f"nginx:{number}", f"sha256:{number}")
        container = make.container(key=f"c{number}", started=started)
        await store.accept(make.key(), make.delta(number + 1, container), {container.id: identity}, NOW)
    evidence = await store.evidence(make.profile(), NOW, ["u1"])
    assert [one.image for one in evidence.images] == ["nginx:1", "nginx:2", "nginx:0"]


async def test_other_namespaces_and_other_labels_are_not_the_profiles(store: SqlStore, make: Any) -> None:
    await store.note_pods([make.pod("u1", labels={"app": "db"})])
    await store.note_pods([make.pod("u2")])
    evidence = await store.evidence(make.profile(), NOW)
    assert [pod.uid for pod in evidence.pods] == ["u2"]


async def test_more_containers_than_a_statement_may_bind_are_counted(store: SqlStore, make: Any) -> None:
    containers = [make.container(make.seen(f"/{number % 7}"), key=f"c{number}") for number in range(1200)]
    await store.accept(make.key(), make.delta(1, *containers), {}, NOW)
    before = await store.evidence(make.profile(), NOW, ["u1"])
    assert (before.files, len(before.pods[0].containers)) == (7, 1200)
