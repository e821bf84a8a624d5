"""The page in a browser: it answers when opened, in both languages, on a phone, in the dark, and by the keyboard.

The page runs in an environment of its own, whose Python `CHINESE_MODERNBERT_SPACE_PYTHON` names; see `make space`.
"""

import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PYTHON = os.environ.get("CHINESE_MODERNBERT_SPACE_PYTHON")
if not PYTHON:
    pytest.skip("the page has an environment of its own: make space", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    pytest.skip("no chromium and chromedriver on this machine", allow_module_level=True)

APP = Path(__file__).parents[2] / "examples" / "space" / "app.py"
PORT = 7899
QUIET = (
    "--window-size=1200,900",
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
)


@pytest.fixture(scope="module")
def address(saved_release: Path) -> Iterator[str]:
    words = [PYTHON, str(APP), "--model", str(saved_release), "--port", str(PORT)]
    server = subprocess.Popen(words, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)
    address = f"http://127.0.0.1:{PORT}/"
    try:
        wait_for(lambda: urllib.request.urlopen(address).status == 200)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    for word in (*QUIET, "--lang=en", f"--user-data-dir={tmp_path}"):
        options.add_argument(word)
    options.binary_location = CHROMIUM
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER)) as browser:
        yield browser


def wait_for(condition: Any, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:  # the server is not up yet
            pass
        time.sleep(0.2)
    raise AssertionError("the page did not come so far")


@pytest.fixture
def page(address: str, browser: Any) -> Any:
    """The page, opened in English, with its first answer."""
    browser.get(address)
    wait_for(lambda: "Blank 1" in browser.page_source)
    return browser


def test_the_page_answers_when_opened_and_speaks_both_languages(page: Any) -> None:
    wait_for(lambda: page.execute_script("return document.documentElement.lang") == "en")
    page.find_element("css selector", "#language label").click()
    wait_for(lambda: "第 1 空" in page.page_source)
    wait_for(lambda: page.execute_script("return document.documentElement.lang") == "zh", seconds=60)


def test_every_tab_answers_and_every_field_has_a_name_and_every_answer_fits_a_phone(page: Any) -> None:
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    )
    for number in range(4):
        page.find_elements("css selector", "button[role=tab]")[number].click()
        wait_for(lambda: shown(page, ".answer")[0].text.strip())
        fields = shown(page, "textarea, input[type=text], input[type=checkbox], input[type=range]")
        assert fields
        assert [field for field in fields if not field.accessible_name.strip()] == []
        assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_sentence_is_typed_and_filled_by_the_keyboard_alone(page: Any) -> None:
    field = shown(page, "textarea")[0]
    field.clear()
    field.send_keys("北京[MASK]。")
    field.send_keys("\t")
    button = page.switch_to.active_element
    assert button.accessible_name == "Fill in"
    button.send_keys("\n")
    wait_for(lambda: shown(page, ".answer .sentence")[0].text.startswith("北京"))


def test_the_dark_page_is_dark(page: Any) -> None:
    dark = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", dark)
    page.refresh()
    wait_for(lambda: "Blank 1" in page.page_source)
    color = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(page.execute_script(color)[:3]) < 60


def shown(page: Any, selector: str) -> list[Any]:
    return [one for one in page.find_elements("css selector", selector) if one.is_displayed()]
