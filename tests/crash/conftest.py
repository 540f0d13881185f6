"""What the kills hit."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.crash.killing import PHASES

_KILLS = pytest.StashKey[Counter[tuple[str, str]]]()


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> Counter[tuple[str, str]]:
    """(preset, phase) -> kills; shown when the tests are over."""
    return request.config.stash.setdefault(_KILLS, Counter())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each store."""
    kills = terminalreporter.config.stash.get(_KILLS, Counter())
    for preset in dict.fromkeys(preset for preset, _ in kills):
        hit = {phase: kills[preset, phase] for phase in PHASES if kills[preset, phase]}
        shown = ", ".join(f"{count} {phase}" for phase, count in hit.items())
        terminalreporter.write_line(f"{preset}: {sum(hit.values())} kills: {shown}")
