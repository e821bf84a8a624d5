"""The page in a browser: it answers when opened and speaks the other language on request."""

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the page has an environment of its own: examples/space/requirements.txt")
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
    words = [sys.executable, str(APP), "--model", str(saved_release), "--port", str(PORT)]
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


def test_the_page_answers_when_opened_and_speaks_both_languages(address: str, browser: Any) -> None:
    browser.get(address)
    wait_for(lambda: "Blank 1" in browser.page_source)
    browser.find_element("css selector", "#language label").click()
    wait_for(lambda: "第 1 空" in browser.page_source)
