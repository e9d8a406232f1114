"""Many texts: against each text looked at alone, and runs that were cut off."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean, stdev

import pytest

from tropattn.errors import InvalidInput
from tropattn.files import shipped
from tropattn.study import many_texts
from tropattn.study.inputs import Source
from tropattn.study.inspection import InspectionSpec
from tropattn.study.inspection import run as inspect
from tropattn.study.many_texts import MEASURED, TextsSpec, read_texts, run

CONTEXTS = [{"text": "314159265="}, {"text": "27="}, {"ids": "3,1,4", "mask": "1,1,0"}]


@pytest.fixture
def texts(tmp_path):
    place = tmp_path / "lines.txt"
    lines = ["314159265=", "", "27=\r", '{"ids": [3, 1, 4], "mask": [1, 1, 0]}']
    place.write_text("\n".join(lines), newline="")
    return str(place)


def spec_of(texts, records=None, path=None, **source):
    source = Source(path=path or shipped(), **source)
    return TextsSpec(source=source, texts=texts, records=records, heads=(1, 3))


def test_mean_and_spread_are_those_of_the_texts_alone(texts):
    record = run(spec_of(texts))
    alone = [
        inspect(InspectionSpec(source=Source(path=shipped(), **given), heads=(1, 3), cells=False))
        for given in CONTEXTS
    ]
    assert [(row["line"], row["tokens"]) for row in record.tables["texts"]] == [
        (1, 10),
        (3, 3),
        (4, 3),
    ]
    rows = record.tables["heads"]
    assert [(row["layer"], row["head"]) for row in rows] == [(0, 1), (0, 3), (1, 1), (1, 3)]
    for at, row in enumerate(rows):
        for name in MEASURED:
            values = [part.tables["heads"][at][name] for part in alone]
            if values[0] is None:
                assert row[name] is row[f"{name}_spread"] is None
                continue
            assert row[name] == pytest.approx(fmean(values))
            assert row[f"{name}_spread"] == pytest.approx(stdev(values))


def test_a_run_that_was_cut_off_goes_on(texts, tmp_path, monkeypatch):
    whole, folder, asked = run(spec_of(texts)), tmp_path / "seen", []

    def cut_off(model, context, spec):
        asked.append(context)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return real(model, context, spec)

    real = many_texts.inspect
    monkeypatch.setattr(many_texts, "inspect", cut_off)
    spec = spec_of(texts, str(folder))
    with pytest.raises(KeyboardInterrupt):
        run(spec)
    names = [f"text-{line:06}.json" for line in (1, 3)]
    assert sorted(p.name for p in folder.iterdir()) == names
    kept = json.loads((folder / names[0]).read_text())
    assert kept["command"] == "inspect"
    assert kept["spec"]["source"]["text"] == "314159265="
    rerun = run(spec)
    assert len(asked) == 4
    assert rerun.tables["heads"] == whole.tables["heads"]
    # The same weights at another place are the same model.
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(shipped(), other / "maximum.safetensors")
    again = run(spec_of(texts, str(folder), str(other)))
    assert (len(asked), again.tables["heads"]) == (4, whole.tables["heads"])


def test_records_of_another_question_are_refused(texts, tmp_path):
    folder = tmp_path / "seen"
    run(spec_of(texts, str(folder)))
    changed = tmp_path / "other.safetensors"
    changed.write_bytes(Path(shipped()).read_bytes()[:-1] + b"\0")
    others = {"another text": tmp_path / "other.txt", "damaged": folder / "text-000003.json"}
    others["another text"].write_text("314=\n")
    for spec in (
        spec_of(texts, str(folder), layer=1),
        spec_of(texts, str(folder), str(changed)),
        spec_of(str(others["another text"]), str(folder)),
    ):
        with pytest.raises(InvalidInput, match=r"records: .* needed in .*text-000001.json"):
            run(spec)
    others["damaged"].write_text('{"spec": 3}')
    with pytest.raises(InvalidInput, match=r"records: .* needed in .*text-000003.json"):
        run(spec_of(texts, str(folder)))
    for place, why in ((texts, "File exists"), ("a\0b", "null")):
        with pytest.raises(InvalidInput, match=rf"records: a folder, or .* {why}"):
            run(spec_of(texts, place))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"31=\n2a=\n", r"lines.txt, line 2: text: characters of the vocabulary"),
        (b'31=\n{"ids": [3, 99]}', r"lines.txt, line 2: ids: 0..10 needed, got 99 at place 1"),
        (b'{"ids": "3,1"}', r"line 1: {\"text\": \"...\"} or"),
        (b'{"ids": [3], "layer": [1]}', r"line 1: {\"text\": \"...\"} or"),
        (b'{"ids": [true]}', r"line 1: {\"text\": \"...\"} or"),
        (b'{"ids": [1]', r"line 1: a JSON object needed"),
        (b'{"ids": [3], "mask": [0]}', r"line 1: mask: at least one token that counts"),
        (b"\n \n", "texts: a file with a text a line needed, got none"),
        (b"31=\n\xff", "texts: a file in UTF-8 needed, .* at byte 4"),
    ],
)
def test_bad_lines_are_named(tmp_path, content, message):
    place = tmp_path / "lines.txt"
    place.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        run(spec_of(str(place)))


def test_a_text_with_braces(tmp_path):
    place = tmp_path / "lines.txt"
    place.write_text('{"text": "{a}"}\n')
    assert read_texts(str(place)) == {1: {"text": "{a}"}}
