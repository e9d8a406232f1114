"""A real browser, where one is installed; the page under test is opened from disk."""

import json
import shutil

import pytest

TEXT = "314159265="
CHROMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that keeps a log of what it asks for and says."""
    selenium = pytest.importorskip("selenium", reason="needs the extra browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert selenium
    chrome = next((path for name in CHROMES if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if chrome is None or driver is None:
        pytest.skip("no Chromium with its chromedriver on this machine")
    settings = webdriver.ChromeOptions()
    settings.binary_location = chrome
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        settings.add_argument(word)
    settings.add_argument("--window-size=1500,2000")
    settings.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    found = webdriver.Chrome(options=settings, service=Service(driver))
    yield found
    found.quit()


@pytest.fixture
def asked(browser):
    """The addresses that the page has asked for since the last call."""

    def addresses():
        entries = (
            json.loads(line["message"])["message"] for line in browser.get_log("performance")
        )
        return [
            entry["params"]["request"]["url"]
            for entry in entries
            if entry["method"] == "Network.requestWillBeSent"
        ]

    return addresses


@pytest.fixture(scope="session")
def record():
    """The atlas of the shipped model on two planes, as the page holds it."""
    pytest.importorskip("bokeh", reason="needs the extra atlas")
    from tropattn.cli.options import shipped
    from tropattn.study.atlas import AtlasSpec, run
    from tropattn.study.inputs import Source

    source = Source(path=shipped(), text=TEXT, layer="all")
    return run(AtlasSpec(source=source, through=((9, 0, 5), (1, 5, 9)))).as_dict()


@pytest.fixture(scope="session")
def until(browser):
    """What a function gives as soon as it is true, within half a minute: machines may be busy."""
    from selenium.webdriver.support.ui import WebDriverWait

    return lambda true: WebDriverWait(browser, 30, poll_frequency=0.1).until(lambda _: true())


@pytest.fixture(scope="session")
def open_page(browser, record, until, tmp_path_factory):
    """Open the page anew, and wait until it has drawn itself."""
    from tropattn.plotting.atlas import page

    place = tmp_path_factory.mktemp("atlas") / "page.html"
    place.write_text(page(record), encoding="utf-8")

    def opened():
        browser.get(place.as_uri())
        until(lambda: browser.execute_script("return window.Atlas?.index !== undefined"))
        return browser

    return opened


@pytest.fixture
def over(browser):
    """Bring the pointer to a place in a picture, given in its data."""
    from selenium.webdriver import ActionChains

    def move(picture, x, y):
        at = browser.execute_script(
            "const view = Bokeh.index.find_one(Atlas.m[arguments[0]]);"
            "const box = view.el.getBoundingClientRect();"
            "return [box.x + view.frame.x_scale.compute(arguments[1]),"
            " box.y + view.frame.y_scale.compute(arguments[2])]",
            picture,
            x,
            y,
        )
        pointer = ActionChains(browser)
        pointer.w3c_actions.pointer_action.move_to_location(*map(round, at))
        pointer.perform()
        return pointer

    return move
