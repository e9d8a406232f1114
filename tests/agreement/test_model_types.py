"""The table of model types in ``docs/models.md`` is what trying them gives."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

DOCS = Path(__file__).parents[2] / "docs" / "models.md"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_table_is_what_is_found(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import model_types

    text = DOCS.read_text(encoding="utf-8")
    written = text.partition("<!-- model types -->\n")[2].partition("\n<!-- end -->")[0]
    assert model_types.table() == written


def test_every_family_has_a_row():
    from tropattn.attention.loading.families import FAMILIES

    text = DOCS.read_text(encoding="utf-8")
    for family in FAMILIES:
        for name in family.model_types:
            assert f"| `{name}` | yes |" in text, name
