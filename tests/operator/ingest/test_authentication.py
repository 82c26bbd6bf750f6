import asyncio

import pytest

from snoop_operator.ingest.authentication import MEMORY, Authenticator, InvalidTokenError, TokenIdentity

POD = TokenIdentity("shop", "web-1", "u1")


class Reviewer:
    def __init__(self) -> None:
        self.asked = 0
        self.most = self.now = 0
        self.answer: TokenIdentity | None = POD
        self.go = asyncio.Event()
        self.go.set()

    async def review(self, token: str, audience: str) -> TokenIdentity:
        self.asked += 1
        self.now += 1
        self.most = max(self.most, self.now)
        await self.go.wait()
        self.now -= 1
        if self.answer is None:
            raise InvalidTokenError("no")
        return self.answer


async def test_an_answer_is_believed_for_thirty_seconds() -> None:
    now = 0.0
    reviewer = Reviewer()
    authenticator = Authenticator(reviewer, "us", lambda: now)
    for now in (0.0, MEMORY - 0.1):  # noqa: B007 - read by the clock
        assert await authenticator.authenticate("Bearer t") == POD
    assert reviewer.asked == 1
    now = MEMORY
    await authenticator.authenticate("Bearer t")
    assert reviewer.asked == 2


async def test_a_refusal_is_not_remembered() -> None:
    reviewer = Reviewer()
    reviewer.answer = None
    authenticator = Authenticator(reviewer, "us")
    with pytest.raises(InvalidTokenError):
        await authenticator.authenticate("Bearer t")
    reviewer.answer = POD
    assert await authenticator.authenticate("bearer t") == POD


async def test_one_token_is_asked_for_once_at_a_time() -> None:
    reviewer = Reviewer()
    reviewer.go.clear()
    authenticator = Authenticator(reviewer, "us")
    waiting = [asyncio.create_task(authenticator.authenticate("Bearer t")) for _ in range(5)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    reviewer.go.set()
    assert await asyncio.gather(*waiting[1:]) == [POD] * 4
    assert reviewer.asked == 1


async def test_many_tokens_do_not_flood_the_api_server() -> None:
    reviewer = Reviewer()
    reviewer.go.clear()
    authenticator = Authenticator(reviewer, "us")
    waiting = [asyncio.create_task(authenticator.authenticate(f"Bearer {number}")) for number in range(60)]
    for _ in range(5):
        await asyncio.sleep(0)
    reviewer.go.set()
    await asyncio.gather(*waiting)
    assert reviewer.most == 16
