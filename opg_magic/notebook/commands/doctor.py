"""``%opg doctor``: can a call be made now, and which command mends what stands in its way."""

from __future__ import annotations

from opg_magic.cells.magic_line import LineError
from opg_magic.notebook.commands.command import Kernel


def doctor(kernel: Kernel, words: list[str]) -> None:
    """``%opg doctor``"""
    if words not in ([], ["--json"]):
        raise LineError("%opg doctor takes --json only")
    from opg_magic.call.doctor import examine
    from opg_magic.display import diagnosis

    found = examine(kernel.session(), in_notebook=True)
    if words:
        import json

        print(json.dumps(found.as_json(), indent=2))
    else:
        kernel.display(diagnosis.bundle(found))
