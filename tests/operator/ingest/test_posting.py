import asyncio
import gzip
import io
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from snoop_operator import names
from snoop_operator.ingest import body, limits
from snoop_operator.ingest.authentication import TokenIdentity
from snoop_operator.store.interface import StoreError
from snoop_report.codec import dumps_delta, loads_acknowledgement
from snoop_report.model import Acknowledgement, Identity


async def _refusal(response: Any) -> tuple[int, str, str]:
    told = json.loads(await response.text())
    return response.status, told["code"], told["message"]


@pytest.mark.parametrize("zipped", [False, True])
async def test_a_delta_is_answered_once_it_is_stored(bench: Any, zipped: bool) -> None:
    response = await bench.post(bench.delta(files=3), zipped=zipped)
    assert response.status == 200
    answer = loads_acknowledgement(await response.read())
    assert answer == Acknowledgement(1, bench.store.id, False, {"c1": bench.directory.known["u1"]["c1"]}, "", 1)
    report = await bench.store.report("u1", 1000.0)
    assert report.containers[0].files == ["/f0", "/f1", "/f2"]
    assert bench.reported == ["u1"]


async def test_the_pod_is_the_tokens_whatever_the_body_says(bench: Any) -> None:
    delta = bench.delta()
    delta.report.pod_name, delta.report.pod_uid, delta.report.namespace = "web-2", "u2", "kube-system"
    delta.report.labels = {"app": "somebody else's"}
    assert (await bench.post(delta)).status == 200
    report = await bench.store.report("u1", 1000.0)
    assert (report.namespace, report.pod_name, report.labels) == ("shop", "web-1", {})
    assert await bench.store.report("u2", 1000.0) is None


async def test_a_pod_that_the_watch_has_not_shown_yet_is_stored_all_the_same(bench: Any) -> None:
    response = await bench.post(token="web-2")
    assert loads_acknowledgement(await response.read()).containers == {}
    assert await bench.store.report("u2", 1000.0) is not None


async def test_identities_outlive_the_pods_status(bench: Any) -> None:
    await bench.post()
    bench.directory.known = {"u1": {"c2": Identity("sidecar", "x", "sha256:x")}}
    answer = loads_acknowledgement(await (await bench.post(bench.delta(2))).read())
    assert {key: one.name for key, one in answer.containers.items()} == {"c1": "nginx", "c2": "sidecar"}


async def test_certificates_are_answered_only_if_there_are_some(bench: Any) -> None:
    bench.ca_bundle = "PEM"
    assert loads_acknowledgement(await (await bench.post()).read()).ca_bundle == "PEM"


async def test_a_new_store_asks_for_everything(bench: Any) -> None:
    assert loads_acknowledgement(await (await bench.post(bench.delta(5))).read()).resend
    assert not loads_acknowledgement(await (await bench.post(bench.delta(6, full=True))).read()).resend
    assert bench.sample("snoop_ingest_resends_total") == 1


class TestTokens:
    @pytest.mark.parametrize(
        ("headers", "words"),
        [
            ({"Authorization": ""}, "no bearer token"),
            ({"Authorization": "Basic eDp5"}, "no bearer token"),
            ({"Authorization": "Bearer stranger"}, "does not know"),
            ({"Authorization": "Bearer unbound"}, "not bound to a pod"),
            ({"Authorization": "Bearer " + "x" * 20_000}, None),
        ],
    )
    async def test_that_are_no_pods_for_us_are_refused(
        self, bench: Any, headers: dict[str, str], words: str | None
    ) -> None:
        response = await bench.post(headers=headers)
        if words is None:
            assert response.status in (400, 401)
            return
        status, code, message = await _refusal(response)
        assert (status, code) == (401, "bad_token")
        assert words in message
        assert "stranger" not in message
        assert await bench.store.open_pods() == frozenset()

    async def test_are_reviewed_for_our_audience_once_in_a_while(self, bench: Any) -> None:
        for sequence in (1, 2, 3):
            await bench.post(bench.delta(sequence))
        assert bench.reviewer.asked == [("web-1", names.AUDIENCE)]

    async def test_cannot_be_reviewed_now_is_later_and_not_never(self, bench: Any) -> None:
        bench.reviewer.away = True
        response = await bench.post()
        assert (await _refusal(response))[:2] == (503, "no_review")
        assert int(response.headers["Retry-After"]) > 0
        bench.reviewer.away = False
        assert (await bench.post()).status == 200


class TestBodies:
    @pytest.mark.parametrize(
        ("raw", "words"),
        [
            (b"", "not JSON"),
            (b"[]", "expected an object"),
            (b'{"boot":"b","sequence":0,"report":{}}', "sequence"),
            (b'{"boot":"b","sequence":1,"report":{"containers":[{"observations":[{}]}]}}', "outcome"),
            (b'{"boot":"b","sequence":1,"report":{"containers":[{}]}}', "neither ID nor name"),
            (b'{"boot":"\\ud800","sequence":1,"report":{}}', "delta.boot"),
            (b'{"boot":"a\\u0000b","sequence":1,"report":{}}', "no character"),
            (b'{"boot":"b","sequence":99999999999999999999,"report":{}}', "delta.sequence"),
            (b"[" * 100_000, "not JSON"),
        ],
    )
    async def test_that_are_malformed_are_refused_with_the_place(self, bench: Any, raw: bytes, words: str) -> None:
        status, code, message = await _refusal(await bench.post(raw))
        assert (status, code) == (400, "malformed")
        assert words in message
        assert bench.sample("snoop_ingest_refusals_total", reason="malformed") == 1

    @pytest.mark.parametrize("field", ["path", "target", "executable"])
    async def test_with_a_path_that_linux_cannot_have_are_refused(self, bench: Any, field: str) -> None:
        delta = json.loads(dumps_delta(bench.delta()))
        delta["report"]["containers"][0]["observations"][0].update({"resolved": False, field: "/x\u0000y"})
        assert (await _refusal(await bench.post(json.dumps(delta).encode())))[:2] == (400, "malformed")

    async def test_larger_than_allowed_on_the_wire_are_to_be_split(self, bench: Any) -> None:
        response = await bench.client.post(
            names.INGEST_PATH, data=io.BytesIO(b" " * (body.MAX_WIRE + 1)), headers={"Authorization": "Bearer web-1"}
        )
        assert (await _refusal(response))[:2] == (413, "too_large")

    async def test_that_do_not_say_their_length_are_measured(self, bench: Any) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(body.MAX_WIRE // 65_536 + 2):
                yield b" " * 65_536

        response = await bench.client.post(names.INGEST_PATH, data=endless(), headers={"Authorization": "Bearer web-1"})
        assert (await _refusal(response))[:2] == (413, "too_large")

    async def test_that_explode_are_stopped_at_the_limit(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        pieces: list[int] = []
        enter = bench.ingest._limits.enter

        def watched(uid: str) -> Any:
            turn = enter(uid)
            reserve = turn.reserve
            turn.reserve = lambda size: (pieces.append(size), reserve(size))
            return turn

        monkeypatch.setattr(bench.ingest._limits, "enter", watched)
        bomb = zlib.compressobj(9, wbits=31)
        raw = b"".join([*(bomb.compress(b" " * (1 << 20)) for _ in range(400)), bomb.flush()])
        assert len(raw) < 1 << 20
        response = await bench.post(raw, headers={"Content-Encoding": "gzip"})
        assert (await _refusal(response))[:2] == (413, "too_large")
        assert sum(pieces) < body.MAX_INFLATED + (8 << 20)
        assert bench.ingest._limits._bytes == 0

    async def test_with_more_observations_than_agents_send_are_to_be_split(
        self, bench: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(body, "MAX_OBSERVATIONS", 10)
        assert (await _refusal(await bench.post(bench.delta(files=11))))[:2] == (413, "too_large")
        assert (await bench.post(bench.delta(files=10))).status == 200

    @pytest.mark.parametrize("raw", [b"no gzip", gzip.compress(b"x" * 99_999)[:-20]])
    async def test_that_are_not_what_their_encoding_says_are_malformed(self, bench: Any, raw: bytes) -> None:
        response = await bench.post(raw, headers={"Content-Encoding": "gzip"})
        assert response.status == 400

    async def test_of_another_encoding_are_refused(self, bench: Any) -> None:
        response = await bench.post(headers={"Content-Encoding": "br"})
        assert response.status in (400, 415)


class TestPressure:
    async def test_a_store_that_fails_is_later(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        async def fail(*_: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(bench.store, "accept", fail)
        response = await bench.post()
        assert (await _refusal(response))[:2] == (503, "store")
        assert response.headers["Retry-After"]
        assert bench.reported == []

    async def test_a_pod_posts_one_at_a_time_and_others_do_not_wait_for_it(
        self, bench: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go = asyncio.Event()
        accept = bench.store.accept

        async def slow(pod: Any, *rest: Any) -> Any:
            if pod.uid == "u1":
                await go.wait()
            return await accept(pod, *rest)

        monkeypatch.setattr(bench.store, "accept", slow)
        first = asyncio.create_task(bench.post())
        await asyncio.sleep(0.05)
        assert (await _refusal(await bench.post()))[:2] == (429, "pod_busy")
        assert (await bench.post(token="web-2")).status == 200
        go.set()
        assert (await first).status == 200

    async def test_too_many_at_once_are_told_to_come_back(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MAX_PENDING", 0)
        response = await bench.post()
        assert (await _refusal(response))[:2] == (503, "busy")

    async def test_too_many_bytes_are_told_to_come_back(self, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MAX_BYTES", 10)
        assert (await _refusal(await bench.post()))[:2] == (503, "busy")

    def test_a_pod_has_a_rate_with_room_for_everything_anew(self) -> None:
        now = 0.0
        counted = limits.Limits(lambda: now)
        for _ in range(int(limits.BURST)):
            with counted.enter("u1"):
                pass
        with pytest.raises(limits.BusyError, match="more than 20") as caught:
            counted.enter("u1")
        assert (caught.value.status, caught.value.retry_after) == (429, 1)
        with counted.enter("u2"):
            pass
        now = 1.0
        with counted.enter("u1"):
            pass


class TestMetrics:
    async def test_agents_counters_are_published_for_living_pods(self, bench: Any) -> None:
        labels = {"namespace": "shop", "pod": "web-1", "container": "nginx"}
        await bench.post(bench.delta(files=3))
        assert bench.sample("snoop_events_total", **labels) == 10
        assert bench.sample("snoop_events_dropped_total", **labels) == 2
        assert bench.sample("snoop_unique_files", **labels) == 3
        assert bench.sample("snoop_ingest_deltas_total", final="false") == 1
        assert bench.sample("snoop_ingest_observations_total") == 3
        bench.ingest.forget("u1")
        assert bench.sample("snoop_events_total", **labels) is None

    async def test_a_restarted_container_goes_on_under_its_name(self, bench: Any) -> None:
        bench.reviewer.tokens["web-1"] = TokenIdentity("shop", "web-1", "u1")
        await bench.post()
        nginx = bench.directory.known["u1"]["c1"]
        bench.directory.known["u1"] = {"c2": nginx}
        delta = bench.delta(2)
        delta.report.containers[0].id = "c2"
        await bench.post(delta)
        assert bench.sample("snoop_events_total", namespace="shop", pod="web-1", container="nginx") == 20

    async def test_a_container_without_a_name_has_its_id_until_it_is_known(self, bench: Any) -> None:
        known, bench.directory.known = bench.directory.known, {}
        await bench.post()
        assert bench.sample("snoop_unique_files", namespace="shop", pod="web-1", container="c1") == 1
        bench.directory.known = known
        await bench.post(bench.delta(2, files=0))
        assert bench.sample("snoop_unique_files", namespace="shop", pod="web-1", container="c1") is None
        assert bench.sample("snoop_unique_files", namespace="shop", pod="web-1", container="nginx") == 1
