"""A background task is restarted when it fails or hangs, and stopping it does not take long."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from sessionhistory_server.background import supervised_task
from sessionhistory_server.background.supervised_task import SupervisedTask
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised_task, "_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(supervised_task, "_RESTART_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(supervised_task, "_CANCEL_AGAIN_SECONDS", 0.01)


async def _run_until(
    condition: Callable[[], object], work: Callable[[], Coroutine[None, None, None]], *, limit: float = 0.1
) -> None:
    job = SupervisedTask("the job", work, limit_seconds=limit)
    job.start()
    await until(condition)
    async with asyncio.timeout(10):
        await job.stop()


async def test_work_that_hangs_is_begun_again(caplog: pytest.LogCaptureFixture) -> None:
    """A task that hangs is cancelled and restarted, and the log says so."""
    begun = cancelled = 0

    async def hang() -> None:
        nonlocal begun, cancelled
        begun += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    await _run_until(lambda: begun >= 3, hang)
    assert cancelled == begun
    assert "the job hangs: restarting it" in caplog.text


async def test_work_that_cannot_be_cancelled_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    """A task that ignores its cancellation delays neither its successor nor the stop."""
    begun, released = 0, asyncio.Event()

    async def deaf() -> None:
        nonlocal begun
        begun += 1
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    await _run_until(lambda: begun >= 2, deaf)
    assert "the job does not end: abandoning it" in caplog.text
    released.set()


async def test_work_that_goes_on_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A task that makes progress is left running, because each wait is measured by itself."""
    begun = rounds = 0

    async def go_on() -> None:
        nonlocal begun, rounds
        begun += 1
        while True:
            await asyncio.sleep(0.01)
            rounds += 1

    await _run_until(lambda: rounds >= 50, go_on, limit=0.2)
    assert begun == 1
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("secret"), asyncio.CancelledError()])
async def test_work_that_fails_is_begun_again(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """A task that fails is restarted, and its error is logged."""
    begun = 0

    async def fail() -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)
        raise error

    with caplog.at_level(logging.ERROR):
        await _run_until(lambda: begun >= 3, fail, limit=10)
    record = caplog.records[0]
    assert record.getMessage() == "the job failed: restarting it"
    if isinstance(error, ValueError):
        assert record.exc_info
        assert record.exc_info[1] is error
