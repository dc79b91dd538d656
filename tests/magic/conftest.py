"""A real IPython shell with the extension loaded, over a session that talks to nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from support.fake_session import FakeSession, Screen, good_answer

from opg_magic.settings.config import Settings


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSession:
    import opg_magic.call.session

    settings = Settings(environ={}, user_file=tmp_path / "config.toml", project_dir=tmp_path)
    made = FakeSession(settings, good_answer())
    monkeypatch.setattr(opg_magic.call.session, "current_session", lambda: made)
    return made


@pytest.fixture
def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, session: FakeSession
) -> Iterator[InteractiveShell]:
    """A fresh shell with the extension loaded.  ``shell.display_pub`` is a :class:`Screen`."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance()
    made.display_pub = Screen(shell=made)
    made.run_line_magic("load_ext", "opg_magic")
    yield made
    made.run_line_magic("unload_ext", "opg_magic")
    InteractiveShell.clear_instance()


@pytest.fixture
def screen(shell: InteractiveShell) -> Screen:
    screen = shell.display_pub
    assert isinstance(screen, Screen)
    return screen
