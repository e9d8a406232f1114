"""The atlas in a browser: what it asks for, what clicks change, whether its numbers are true."""

import time

import pytest

from tropattn.study.atlas import METRICS


@pytest.fixture
def opened(open_page):
    return open_page()


@pytest.mark.long
def test_nothing_leaves_the_page_and_nothing_fails(opened, asked):
    opened.execute_script("Atlas.pick(3); Atlas.m.plane.value = '1'; Atlas.m.slider.value = 2")
    assert [u for u in asked() if not u.startswith(("file:", "data:", "blob:"))] == []
    said = [line for line in opened.get_log("browser") if line["level"] == "SEVERE"]
    assert said == []


def test_a_click_on_the_grid_shows_that_head(opened, record, over):
    row = record["tables"]["heads"][6]
    over("grid", row["head"], row["layer"]).click().perform()
    time.sleep(0.5)
    assert opened.execute_script("return Atlas.index") == 6
    said = opened.find_element("id", "atlas-said").text
    assert said.startswith(f"Layer {row['layer']}, head {row['head']}: {row['live']} of")


def test_numbers_of_every_head_and_plane_are_those_of_the_record(opened, record):
    tables = record["tables"]
    for index, row in enumerate(tables["heads"]):
        for plane in (0, 1):
            shown = opened.execute_script(
                "Atlas.m.plane.value = String(arguments[1]); Atlas.pick(arguments[0]);"
                "return {key: Atlas.m.cells.data.key, share: Atlas.m.cells.data.share,"
                " beyond: Atlas.m.cells.data.beyond, joint: Atlas.m.joint.data.pattern,"
                " title: Atlas.m.layer_figure.title.text,"
                " facts: document.getElementById('atlas-facts').innerHTML}",
                index,
                plane,
            )
            (picture,) = [
                p
                for p in tables["pictures"]
                if (p["layer"], p["head"], p["plane"]) == (row["layer"], row["head"], plane)
            ]
            tokens = record["spec"]["tokens"]
            assert shown["key"] == [tokens[cell["key"]] for cell in picture["cells"]]
            assert shown["share"] == [cell["share"] for cell in picture["cells"]]
            (joint,) = [
                r
                for r in tables["refinements"]
                if (r["layer"], r["plane"]) == (row["layer"], plane)
            ]
            assert len(shown["joint"]) == joint["value"]
            assert f"{joint['value']} cells of 4 heads here (exact)" in shown["title"]
            for name, _, kind in METRICS:
                assert kind in shown["facts"] and f"{row[name]:.4g}" in shown["facts"]


def test_the_network_behind_each_layer(opened, record):
    tokens = record["spec"]["tokens"]
    for found in record["tables"]["depth"]:
        shown = opened.execute_script(
            "Atlas.m.plane.value = String(arguments[0]); Atlas.m.behind.value = arguments[1];"
            "Atlas.depth(); return [Atlas.m.depth_figure.title.text, Atlas.m.depth.data.winners]",
            found["plane"],
            str(found["layer"]),
        )
        assert f"behind layer {found['layer']}: {found['value']} cells" in shown[0]
        assert shown[1] == [" ".join(tokens[j] for j in c["winners"]) for c in found["cells"]]


@pytest.mark.long
def test_soft_weights_harden_with_the_slider(opened):
    means = [
        opened.execute_script(
            "Atlas.pick(0); Atlas.m.slider.value = arguments[0]; Atlas.soften();"
            "const [w] = Atlas.m.soft.data.weight; return w.reduce((a, b) => a + b, 0) / w.length",
            step,
        )
        for step in range(6)
    ]
    assert means == sorted(means) and means[0] < means[-1] <= 1
    opened.execute_script("Atlas.m.slider.value = 6")
    assert opened.execute_script("return Atlas.m.soft.data.image.length") == 0


def test_controls_have_names_for_readers_of_screens(opened):
    nodes = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    asked = {"button", "combobox", "region", "slider"}
    found = [(n["role"]["value"], n["name"]["value"]) for n in nodes if not n["ignored"]
             and n["role"]["value"] in asked]  # fmt: skip
    assert {role for role, _ in found} == asked
    assert [role for role, name in found if not name] == []


def test_light_and_dark(opened):
    grounds = []
    for dark in (True, False):
        opened.execute_script("Atlas.m.dark.active = arguments[0]", dark)
        time.sleep(0.5)  # callbacks of controls run after the change
        grounds.append(
            opened.execute_script(
                "return [getComputedStyle(document.body).backgroundColor,"
                " Atlas.m.grid.background_fill_color]"
            )
        )
    assert [g[0] for g in grounds] == ["rgb(22, 24, 28)", "rgb(255, 255, 255)"]
    assert [g[1] for g in grounds] == ["#16181c", "#ffffff"]


def test_rooms_out_of_sight_are_drawn_when_they_come_near(opened, until):
    size = opened.get_window_size()
    opened.set_window_size(1500, 500)
    try:
        until(lambda: opened.execute_script("return Atlas.hidden.has('atlas-layer')"))
        opened.execute_script("Atlas.pick(5)")
        title = "return Atlas.m.layer_figure.title.text"
        assert opened.execute_script(title).startswith("layer 0:")
        assert opened.find_element("id", "atlas-said").text.startswith("Layer 1, head 1:")
        opened.execute_script("document.getElementById('atlas-layer').scrollIntoView()")
        until(lambda: opened.execute_script(title).startswith("layer 1:"))
    finally:
        opened.set_window_size(size["width"], size["height"])


def test_a_click_is_answered_quickly(opened):
    # A generous bound: the machine may be busy; a page that redraws all would take seconds.
    spent = opened.execute_script(
        "const t = performance.now(); for (let i = 0; i < 8; i++) Atlas.pick(i);"
        "return (performance.now() - t) / 8"
    )
    assert spent < 1000
