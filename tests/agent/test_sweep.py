from snoop_agent.sweep import Task, without_sandbox


def _task(container: int, name: str, address: int = 1) -> Task:
    return Task(address, container, 1, 64, name)


def test_the_sandbox_is_no_container() -> None:
    app = _task(20, "nginx")
    assert without_sandbox([_task(10, "pause"), app]) == [app]


def test_an_app_called_pause_that_is_not_the_oldest_or_not_alone_is_one() -> None:
    for tasks in (
        [_task(10, "nginx"), _task(20, "pause")],
        [_task(10, "pause", 1), _task(10, "sh", 2)],
        [_task(10, "nginx")],
        [],
    ):
        assert without_sandbox(tasks) == tasks
