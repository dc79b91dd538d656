"""Notebooks as a stranger sends them: cells, answers as the kernel showed them, and what can be
wrong with either."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from support import signing
from support.signed_receipts import redigested, signed

from opg_magic.display import bundle
from opg_magic.models import Verdict, VerdictStatus
from opg_magic.receipt.document import MIME_TYPE, Receipt
from opg_magic.receipt.form import digest
from opg_magic.verify import judge

MARKDOWN = """A *TEE* keeps code and data **sealed**:

1. memory is encrypted
2. the machine's owner cannot read it

| claim | holds |
|---|---:|
| sealed | yes |

```python
print("a < b & c")
```

See [the paper](https://example.org/tee "title") and <b>not bold</b> ![track](https://tracker.example/x.png)."""


def call(prompt: str, text: str, **more: Any) -> tuple[str, Receipt]:
    """A cell's source and the receipt of its answer."""
    source = f"%%opg answer\n{prompt}"
    return source, signed(prompt=prompt, text=text, cell=source, **more)


def redigested_copy(receipt: Receipt, **changes: Any) -> Receipt:
    """The same receipt with some fields of its document changed and a digest that fits."""
    return Receipt.from_document(redigested({**copy.deepcopy(dict(receipt.document)), **changes}))


def shown(receipt: Receipt) -> dict[str, Any]:
    """The display of a call as its kernel settled it."""
    verdict: Verdict = judge(receipt.evidence(), trust=signing.live())
    withheld = verdict.withheld or verdict.status is VerdictStatus.FAILED
    # As in a saved file: text alone, no objects of ours.
    return json.loads(json.dumps(bundle.receipt_bundle(receipt, show_text=not withheld)))


def notebook(calls: Iterable[tuple[str, Receipt]], *, title: str = "Answers") -> NotebookNode:
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
    )
    made.cells.append(nbformat.v4.new_markdown_cell(f"# {title}"))
    for number, (source, receipt) in enumerate(calls, 1):
        output = nbformat.v4.new_output("display_data", shown(receipt))
        made.cells.append(
            nbformat.v4.new_code_cell(source, execution_count=number, outputs=[output])
        )
    return made


def document(made: NotebookNode, cell: int) -> dict[str, Any]:
    """The receipt that a cell (from 0, the title) shows."""
    held: dict[str, Any] = made.cells[cell].outputs[0].data[MIME_TYPE]
    return held


def tampered(made: NotebookNode, cell: int) -> NotebookNode:
    """A copy of which one character of one answer was changed, wherever it stands, and the digest
    made to fit."""
    changed = copy.deepcopy(made)
    data = changed.cells[cell].outputs[0].data
    text = data[MIME_TYPE]["response"]["text"]
    other = text.replace("sealed", "seaIed") if "sealed" in text else "X" + text[1:]
    assert other != text
    data[MIME_TYPE]["response"]["text"] = other
    data[MIME_TYPE]["digest"] = digest(data[MIME_TYPE])
    for mime in ("text/plain", "text/markdown", "text/html"):
        data[mime] = data[mime].replace(text, other)
    return changed


def write(made: NotebookNode, path: Path) -> Path:
    nbformat.write(made, path)
    return path
