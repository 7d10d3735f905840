"""The status page in a real Chromium, served by the real server."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from exporter.assembler import Clocks, Latest
from exporter.web import handlers
from tests.doubles.browser import Browser, Tab, chromium
from tests.doubles.http_client import serving
from tests.doubles.status_snapshot import LONG, NOW, QUOTES, SCRIPT, rich

PHONE, DESKTOP = 375, 1280
TITLE = "gpu-node-17 · accelerator-exporter"
REPORTS = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")

# Each visible text and its contrast with its background, as WCAG 2 defines it.
CONTRASTS = """
(() => {
  const rgba = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = rgba(getComputedStyle(element).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const [low, high] = [light(rgba(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => a - b);
    found.push([texts.currentNode.data, (high + 0.05) / (low + 0.05)]);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as running:
        yield running


@pytest.fixture
def latest() -> Latest:
    return Latest(rich(), made_at=100)


@pytest.fixture
def url(latest: Latest) -> Iterator[str]:
    index = handlers.index(latest, "/metrics", "gpu-node-17", Clocks(lambda: 100.4, lambda: NOW))
    with closing(serving({"/": index, handlers.HEALTHY_PATH: handlers.healthy(latest, lambda: 100.4)})) as server:
        server.start()
        yield f"http://{server.addresses[0]}/"


def opened(browser: Browser, url: str, width: int = DESKTOP, scheme: str = "light") -> Tab:
    tab = browser.tab(width, scheme)
    tab.open(url)
    return tab


def text(tab: Tab) -> str:
    return str(tab.evaluate("document.body.innerText"))


def test_page_shows_devices_holders_and_health(browser: Browser, url: str) -> None:
    tab = opened(browser, url)

    assert tab.evaluate("document.title") == TITLE
    seen = text(tab)
    for words in ("0000:04:00.0", "AMD Instinct MI300X", "71.2 GiB of 80.0 GiB", "shared by 9", "not responding"):
        assert words in seen
    assert tab.evaluate("[...document.querySelectorAll('meter')].map(meter => meter.value)")[1] == 0.934


def test_page_requests_nothing_else_and_reports_no_error(browser: Browser, url: str) -> None:
    tab = opened(browser, url)

    assert [event["request"]["url"] for event in tab.events("Network.requestWillBeSent")] == [url]
    assert tab.events(*REPORTS) == []
    assert tab.evaluate("getComputedStyle(document.querySelector('.tag')).borderRadius") != "0px"  # the style applies


def test_hostile_names_are_shown_and_not_executed(browser: Browser, url: str) -> None:
    tab = opened(browser, url)

    assert tab.evaluate("document.querySelectorAll('script, img').length") == 0
    assert SCRIPT in text(tab)
    assert QUOTES in text(tab)
    assert tab.evaluate("document.title") == TITLE


def test_injected_script_does_not_run(browser: Browser, url: str) -> None:
    tab = opened(browser, url)

    tab.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 1'}))"
    )
    assert tab.evaluate("document.title") == TITLE
    assert "Content Security Policy" in str(tab.events(*REPORTS))


@pytest.mark.parametrize("width", [320, PHONE, 768, 1024, DESKTOP])
def test_page_needs_no_horizontal_scrolling(browser: Browser, url: str, width: int) -> None:
    tab = opened(browser, url, width)

    assert LONG in text(tab)
    assert tab.evaluate("window.innerWidth") == width
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    outside = f"[...document.querySelectorAll('td, th')].filter(e => e.getBoundingClientRect().right > {width})"
    assert tab.evaluate(f"{outside}.length") == 0


def test_narrow_page_shows_a_name_beside_each_value(browser: Browser, url: str) -> None:
    tab = opened(browser, url, PHONE)

    label = "getComputedStyle([...document.querySelectorAll('#devices ~ table td')][1], '::before').content"
    assert "Utilization" in tab.evaluate(label)
    assert tab.evaluate("document.querySelector('thead').getBoundingClientRect().height") <= 1


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_accessibility_tree_has_tables_headings_and_meters(browser: Browser, url: str, width: int) -> None:
    tree = opened(browser, url, width).accessibility_tree()

    tables = {"Needs attention", "Devices", "Collectors", "Attribution"}
    assert {("table", name) for name in tables} <= set(tree)
    for expected in (
        ("columnheader", "Temperature"),
        ("meter", "utilization"),
        ("meter", "memory in use"),
        ("cell", "641 W"),
    ):
        assert expected in tree
    assert sum(role == "rowheader" for role, _ in tree) == 4 + 5 + 2 + 3 + 1
    assert ("navigation", "Other pages") in tree


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(browser: Browser, url: str, scheme: str) -> None:
    tab = opened(browser, url, scheme=scheme)

    contrasts = tab.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [(words, ratio) for words, ratio in contrasts if ratio < 4.5] == []


def test_page_follows_the_colour_scheme(browser: Browser, url: str) -> None:
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(v => v > 127)"
    bright = {scheme: opened(browser, url, scheme=scheme).evaluate(background) for scheme in ("light", "dark")}
    assert bright == {"light": True, "dark": False}


def test_page_refreshes_itself(browser: Browser, url: str, latest: Latest) -> None:
    tab = opened(browser, url)
    assert "shared by 9" in text(tab)

    latest.snapshot = replace(rich(), allocations=())
    tab.wait_for("Page.loadEventFired")

    assert "shared by 9" not in text(tab)
    assert tab.evaluate("location.href") == url


def test_links_open_the_other_pages(browser: Browser, url: str) -> None:
    tab = opened(browser, url)

    links = tab.evaluate("[...document.links].map(link => [link.innerText, link.href])")
    assert links == [["Metrics", f"{url}metrics"], ["Liveness", f"{url}-/healthy"], ["Readiness", f"{url}-/ready"]]
    tab.evaluate("document.links[1].click()")
    tab.wait_for("Page.loadEventFired")
    assert text(tab) == "healthy\n"
