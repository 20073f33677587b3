"""Of all tests: where nothing may be skipped, a skipped test has failed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

NOTHING_SKIPPED = os.environ.get("FILEPATH_SKIPPED_TESTS") == "fail"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NOTHING_SKIPPED and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"It was skipped where nothing may be: {report.longrepr}"
    return report
