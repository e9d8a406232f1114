"""The ten questions of ``docs/atlas.md``, answered by what the page shows, beside the record."""

import base64

import numpy as np
import pytest


@pytest.fixture(scope="module")
def shown(open_page):
    return open_page()


SAID = """
    const words = [];
    const walk = (node) => {
      for (const part of node.children) {
        if (part.classList.contains("bk-tooltip-content")) words.push(part.innerText);
        walk(part);
        if (part.shadowRoot) walk(part.shadowRoot);
      }
    };
    walk(document.body);
    return words.join(" ").split(/\\s+/).join(" ").trim();
"""
"""What the page says under the pointer: the text of its tooltips, wherever they hang."""


@pytest.fixture
def tip(shown, over, until):
    """What the page says under the pointer at a place in a picture."""
    from selenium.webdriver import ActionChains

    def said(picture, x, y):
        ActionChains(shown).move_to_element(shown.find_element("tag name", "h1")).perform()
        until(lambda: not shown.execute_script(SAID))
        over(picture, x, y)
        return until(lambda: shown.execute_script(SAID))

    return said


@pytest.fixture
def choose(shown):
    """Set a control of the page, as a hand would, and let the page answer."""

    def put(name, value):
        # Callbacks of controls run after the change.
        shown.execute_async_script(
            "Atlas.m[arguments[0]].value = arguments[1]; setTimeout(arguments[2], 100)", name, value
        )

    return put


@pytest.fixture
def facts(shown):
    """The text beside the grid."""
    return lambda: " ".join(shown.find_element("id", "atlas-facts").text.split())


def of(rows, layer, head=None, plane=None):
    """The one row of a table that is of a layer, and of a head and a plane where given."""
    (row,) = (
        row
        for row in rows
        if row["layer"] == layer
        and (head is None or row["head"] == head)
        and (plane is None or row["plane"] == plane)
    )
    return row


def widest(cells):
    """The largest cell, and a place well inside."""
    cell = max(cells, key=lambda cell: cell["share"])
    return cell, np.reshape(cell["corners"], (-1, 2)).mean(axis=0).tolist()


def test_which_head_has_most_keys_that_never_win(record, choose, tip):
    choose("metric", "live")
    heads = record["tables"]["heads"]
    told = [tip("grid", row["head"], row["layer"]) for row in heads]
    fewest = min(heads, key=lambda row: row["live"])
    assert len(fewest["dead"]) == max(len(row["dead"]) for row in heads) > 0
    values = [float(words.split()[-1]) for words in told]
    assert told[int(np.argmin(values))].startswith(
        f"layer {fewest['layer']}, head {fewest['head']}"
    )
    assert min(values) == fewest["live"]


def test_which_keys_are_these(record, shown, choose):
    for index, row in enumerate(record["tables"]["heads"]):
        choose("head", str(index))
        struck = [s.text for s in shown.find_elements("css selector", "#atlas-facts s")]
        assert struck == row["dead"]


def test_which_head_attends_hardest(record, choose, tip):
    choose("up", "hardness")
    choose("across", "plane_cells")
    hardest = max(record["tables"]["heads"], key=lambda row: row["hardness"])
    said = tip("scatter", hardest["plane_cells"], hardest["hardness"])
    assert f"layer {hardest['layer']}, head {hardest['head']}" in said


def test_which_token_a_head_chooses_at_a_state_and_by_what_gap(record, choose, tip, facts):
    tokens = record["spec"]["tokens"]
    choose("plane", "0")
    choose("head", "0")
    row = record["tables"]["heads"][0]
    picture = of(record["tables"]["pictures"], row["layer"], row["head"], 0)
    mark = picture["marks"][record["spec"]["planes"][0].index(5)]
    said = tip("plane_figure", *mark["at"])
    assert f"state of: {tokens[5]} wins here: {tokens[mark['winner']]}" in said
    beside = f"at the state of {tokens[5]} the winner is {tokens[mark['winner']]}, gap "
    assert f"{beside}{mark['gap']:.4g} (estimate)" in facts()


@pytest.mark.long
def test_which_token_wins_where_i_point_and_what_lies_beyond(record, choose, tip):
    tokens = record["spec"]["tokens"]
    choose("plane", "1")
    choose("head", "2")
    row = record["tables"]["heads"][2]
    cell, place = widest(of(record["tables"]["pictures"], row["layer"], row["head"], 1)["cells"])
    beyond = ", ".join(tokens[key] for key in cell["beyond"]) or "the window"
    said = tip("plane_figure", *place)
    assert f"wins: {tokens[cell['key']]} " in said and f"walls: {beyond} (exact)" in said


def test_how_many_cells_all_heads_have_and_whether_that_is_proved(record, shown, choose, facts):
    choose("plane", "0")
    choose("head", "0")
    count = of(record["tables"]["layers"], 0)["cells"]
    assert (
        f"{count['value']} cells ({count['kind']}) on {count['domain']}, engine {count['engine']}"
        in facts()
    )
    title = shown.execute_script("return Atlas.m.layer_figure.title.text")
    here = of(record["tables"]["refinements"], 0, plane=0)
    assert f"{here['value']} cells of 4 heads here ({here['kind']})" in title


def test_which_pattern_of_winners_a_cell_is(record, choose, tip):
    choose("plane", "0")
    choose("head", "0")
    cell, place = widest(of(record["tables"]["refinements"], 0, plane=0)["cells"])
    keys = [
        p["dual"]["keys"] for p in record["tables"]["pictures"] if p["layer"] == p["plane"] == 0
    ]
    names = [record["spec"]["tokens"][own[j]] for own, j in zip(keys, cell["pattern"], strict=True)]
    assert f"winners, head by head: {' '.join(names)} share" in tip("layer_figure", *place)


def test_at_which_temperature_the_choice_is_as_good_as_hard(record, shown, choose):
    choose("plane", "1")
    choose("head", "1")
    row, spec = record["tables"]["heads"][1], record["spec"]
    picture = of(record["tables"]["pictures"], row["layer"], row["head"], 1)
    soft = np.frombuffer(base64.b64decode(picture["soft"]), np.uint8)
    soft = soft.reshape(-1, spec["grid"] ** 2)
    for step, tau in enumerate(spec["temperatures"]):
        choose("slider", step)
        white = shown.execute_script(
            "const [image] = Atlas.m.soft.data.image;"
            "return image ? Array.from(new Uint8Array(image.buffer)).filter("
            "  (part, i) => i % 4 === 3 && part > 0).length : 0"
        )
        assert white == (0 if tau == 0 else (soft[step] < 255).sum())
        title = shown.execute_script("return Atlas.m.slider.title")
        assert title.startswith(f"temperature {tau:g}:")


def test_how_to_get_a_number_again(record, shown, choose):
    import shlex

    from click.testing import CliRunner

    from tropattn.cli import main

    choose("head", "0")
    *_, command = [c.text for c in shown.find_elements("css selector", "#atlas-facts code")]
    program, *words = shlex.split(command)
    assert program == "tropattn"
    answer = CliRunner().invoke(main, [*words, "--json"])
    assert f'"value": "{of(record["tables"]["layers"], 0)["cells"]["value"]}"' in answer.stdout
