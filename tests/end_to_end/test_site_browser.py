"""The Chinese part of the site, opened from the disk in a browser: its search finds words and asks nobody else."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("no chromium and chromedriver on this machine", allow_module_level=True)

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"
QUIET = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
ASK = """
document.querySelector("[data-md-toggle=search]").click();
const box = document.querySelector("input.md-search__input");
box.focus();
box.value = arguments[0];
box.dispatchEvent(new KeyboardEvent("keyup", {bubbles: true}));
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built Chinese part; the English one is ten times as large and built in the same way."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, SITE / "assemble.py", folder / "pages"], check=True)
    places = {"docs_dir": str(folder / "pages" / "zh"), "site_dir": str(folder / "built")}
    settings = {"INHERIT": str(SITE / "mkdocs.zh.yml"), "hooks": [str(SITE / "navigation.py")], **places}
    (folder / "mkdocs.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", folder / "mkdocs.yml"]
    subprocess.run(command, check=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder / "built"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for word in (*QUIET, f"--user-data-dir={tmp_path}"):
        options.add_argument(word)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as browser:
        yield browser


def found(browser: Any, word: str, seconds: float = 60) -> list[str]:
    """Return the titles of the pages that the search of the open page finds."""
    end = time.monotonic() + seconds
    browser.execute_script(ASK, word)
    while time.monotonic() < end:
        titles = browser.find_elements("css selector", ".md-search-result__item h1")
        if titles:
            return [one.get_attribute("textContent").replace("\u200b", "") for one in titles]
        time.sleep(0.2)
    return []


def asked_for(browser: Any) -> list[str]:
    """Return the addresses that the browser has asked for."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert any(address.endswith("iframe-worker.js") for address in asked), "the log tells what was asked for"
    return asked


def test_the_search_of_a_page_from_the_disk_finds_chinese_words(site: Path, browser: Any) -> None:
    browser.get((site / "index.html").as_uri())
    assert "术语表" in found(browser, "遮盖")
    assert [address for address in asked_for(browser) if address.startswith("http")] == []
