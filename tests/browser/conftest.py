"""A real browser, where one is installed; the page under test is opened from disk."""

import json
import shutil

import pytest

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
