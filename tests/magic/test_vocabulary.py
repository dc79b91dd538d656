"""What completes without a kernel is what the magics take."""

from __future__ import annotations

import sys
from pathlib import Path

from opg_magic.cells import magic_line
from opg_magic.settings import prices

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))


def test_the_extensions_tables_are_up_to_date() -> None:
    import vocabulary

    for path, text in vocabulary.files().items():
        assert path.read_text("utf-8") == text, f"{path.name}: run python scripts/vocabulary.py"


def test_every_flag_and_model_is_in_it() -> None:
    import vocabulary

    text = vocabulary.source()
    for option in magic_line.OPTIONS:
        assert f'"flag": "{option.flag}"' in text
    for model in prices.load().models:
        assert f'"{model}"' in text


def test_flags_with_listed_values_name_their_list() -> None:
    import vocabulary

    assert set(vocabulary.SOURCES) <= {
        option.flag for option in magic_line.OPTIONS if option.metavar
    }
