"""The page in a real browser, without a network: real clicks, keys and typing; nothing in its console is the rule.

Needs Chromium and chromedriver (Debian: apt-get install chromium chromium-driver). Without them the tests are skipped;
where KIR_REQUIRE_BROWSER is set, as in .ci/run, they fail.
"""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

import kir
from kir import Model
from kir.exporters.picture.errors import save_error_page
from kir.numerics.report import Finding, Statement, VerificationReport
from tests.exporters.picture.models import HOSTILE, controlled, hostile_model, nested, residual

HOW_TO_INSTALL = "install Chromium and its driver: apt-get install chromium chromium-driver"
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name resolves: whatever the page asked for beyond itself would be an error in the console.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--window-size=1200,800",
]
WAIT = 10


def without_browser(reason: str) -> NoReturn:
    """Skip the tests, or fail where a browser must be there."""
    end = pytest.fail if os.environ.get("KIR_REQUIRE_BROWSER") else pytest.skip
    end(f"the page is tested in a browser, and {reason}; {HOW_TO_INSTALL}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    # Both paths are given: without one, Selenium would look for something to download.
    if chromium is None or driver is None:
        without_browser(f"there is no {'Chromium' if chromium is None else 'chromedriver'}")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    try:
        running = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    except WebDriverException as error:
        without_browser(f"{chromium} does not start: {error.msg}")
    yield running
    running.quit()


class Page:
    """A page, open in the browser."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        browser.get(path.as_uri())
        self.wait(lambda: self.canvas.get_attribute("data-scale"))

    @property
    def canvas(self) -> Any:
        return self.browser.find_element(By.ID, "picture")

    @property
    def panel(self) -> str:
        return str(self.browser.find_element(By.ID, "panel").text)

    @property
    def title(self) -> str:
        return str(self.browser.find_element(By.CSS_SELECTOR, "#panel h2").text)

    @property
    def tabs(self) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, "[role=tab]")

    @property
    def open_tab(self) -> str:
        [tab] = self.browser.find_elements(By.CSS_SELECTOR, "[role=tab][aria-selected=true]")
        return str(tab.text)

    def view(self) -> tuple[float, float, float]:
        """x, y and scale."""
        x, y, scale = (float(self.canvas.get_attribute(f"data-{name}") or "nan") for name in ("x", "y", "scale"))
        return x, y, scale

    def wait(self, condition: Any) -> None:
        WebDriverWait(self.browser, WAIT).until(lambda _: condition())

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def search(self, text: str) -> None:
        field = self.browser.find_element(By.ID, "search")
        field.clear()
        field.send_keys(text)

    def click_middle(self) -> None:
        """Click the middle of the picture, to which a search has moved what it found."""
        ActionChains(self.browser).move_to_element(self.canvas).click().perform()

    def errors(self) -> list[Any]:
        return list(self.browser.get_log("browser"))  # type: ignore[no-untyped-call]


def plotted(browser: webdriver.Chrome, model: Model, folder: Path, **options: Any) -> Page:
    """Return the page of a model, open in the browser."""
    path = folder / "page.html"
    kir.plot(model, path, **options)
    return Page(browser, path)


@pytest.fixture
def page(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Page]:
    opened = plotted(browser, residual(2), tmp_path)
    yield opened
    assert opened.errors() == []


def test_a_click_on_a_box_shows_what_is_in_it(page: Page) -> None:
    page.search("second_1")
    page.click_middle()
    page.wait(lambda: page.title == "Dense second_1")
    for text in ("f32[batch, 8]", "72", "units", "kernel", "std", "reads", "Dropout drop_1", "read by", "Add add_1"):
        assert text in page.panel
    [histogram, *_] = page.browser.find_elements(By.CSS_SELECTOR, "#panel svg")
    assert "histogram of kernel" in (histogram.get_attribute("aria-label") or "")
    assert len(histogram.find_elements(By.TAG_NAME, "rect")) == 32


def test_a_click_beside_the_boxes_lets_go(page: Page) -> None:
    page.search("second_1")
    page.click_middle()
    page.wait(lambda: page.title == "Dense second_1")
    area = page.canvas.size
    ActionChains(page.browser).move_to_element_with_offset(
        page.canvas, 4 - area["width"] // 2, 4 - area["height"] // 2
    ).click().perform()
    page.wait(lambda: page.title == "layers")


def test_search_counts_and_goes_from_hit_to_hit(page: Page) -> None:
    page.search("first_")
    hits = page.browser.find_element(By.ID, "hits")
    page.wait(lambda: hits.text == "1 of 2")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title == "Dense first_0")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title == "Dense first_1")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title == "Dense first_0")
    page.search("FIRST_1 dense")
    page.wait(lambda: hits.text == "1 of 1")
    page.search("no such layer")
    page.wait(lambda: hits.text == "0 of 0")


def test_tabs_show_what_each_pass_did(page: Page) -> None:
    assert [tab.text for tab in page.tabs] == ["layers", "graph", "strip-inference−2", "fuse-activations−3 ~3"]
    page.tabs[2].click()
    page.wait(lambda: page.open_tab.startswith("strip-inference"))
    assert "removed: 2" in page.panel
    [first, _] = page.browser.find_elements(By.CSS_SELECTOR, "#panel button.removed")
    first.click()
    page.wait(lambda: page.title == "Dropout drop_0")
    assert "status removed" in page.panel
    before = page.browser.find_element(By.ID, "before")
    assert before.get_attribute("aria-pressed") == "true", "what was removed stands in the picture before"
    before.click()
    page.wait(lambda: before.get_attribute("aria-pressed") == "false")
    page.tabs[3].click()
    page.wait(lambda: "changed: 3" in page.panel)


def test_a_box_stays_chosen_from_tab_to_tab(page: Page) -> None:
    page.tabs[1].click()
    page.search("first_0")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title == "Dense first_0")
    page.tabs[3].click()
    page.wait(lambda: page.open_tab.startswith("fuse-activations"))
    assert page.title == "Dense first_0"
    assert "Relu" in page.panel


def test_dragging_moves_and_buttons_zoom(page: Page) -> None:
    x, y, scale = page.view()
    ActionChains(page.browser).move_to_element(page.canvas).click_and_hold().move_by_offset(60, 40).release().perform()
    page.wait(lambda: page.view() == pytest.approx((x + 60, y + 40, scale)))
    assert page.title == "layers", "a drag is no click"
    page.browser.find_element(By.ID, "in").click()
    page.wait(lambda: page.view()[2] == pytest.approx(1.25 * scale, rel=1e-3))
    page.browser.find_element(By.ID, "fit").click()
    height = page.browser.execute_script("return data.stages[0].height")
    page.wait(lambda: page.view()[2] == pytest.approx(min(1.5, page.canvas.size["height"] / height), rel=1e-2))


def test_the_wheel_scrolls_and_with_control_zooms(page: Page) -> None:
    x, y, scale = page.view()
    wheel = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(page.canvas)
    ActionChains(page.browser).scroll_from_origin(wheel, 0, 120).perform()
    page.wait(lambda: page.view() == pytest.approx((x, y - 120, scale)))
    ActionChains(page.browser).key_down(Keys.CONTROL).scroll_from_origin(wheel, 0, -120).key_up(Keys.CONTROL).perform()
    page.wait(lambda: page.view()[2] > scale)


def test_everything_can_be_done_with_keys(page: Page) -> None:
    page.press("/", "first_0", Keys.ENTER)
    page.wait(lambda: page.title == "Dense first_0")
    page.press(Keys.ESCAPE)
    page.press(Keys.ARROW_DOWN)
    page.wait(lambda: page.title == "Dropout drop_0")
    page.press(Keys.ARROW_UP)
    page.press(Keys.ARROW_UP)
    page.wait(lambda: page.title == "Input x")
    page.press("]", "]")
    page.wait(lambda: page.open_tab.startswith("strip-inference"))
    page.press(Keys.ESCAPE)
    page.wait(lambda: page.title == "strip-inference")
    page.press("b")
    page.wait(lambda: page.title == "before strip-inference")
    page.press("[")
    page.wait(lambda: page.open_tab == "graph")
    scale = page.view()[2]
    page.press("+")
    page.wait(lambda: page.view()[2] > scale)


def test_neighbours_in_the_panel_can_be_clicked(page: Page) -> None:
    page.search("add_0")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title == "Add add_0")
    page.browser.find_element(By.XPATH, "//aside//button[text()='Dense second_0']").click()
    page.wait(lambda: page.title == "Dense second_0")


def test_names_that_are_markup_are_text(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = plotted(browser, hostile_model(), tmp_path)
    assert browser.find_element(By.ID, "name").text.startswith("</script><script>alert('1')</script>")
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 2
    page.search("<script>")
    page.press(Keys.ENTER)
    page.wait(lambda: page.title.startswith("Dense </script>"))
    assert browser.execute_script("return recordOf(shownStage().boxes[view.selected]).fullName") == HOSTILE
    assert page.errors() == []


def test_boxes_inside_boxes_can_be_clicked(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = plotted(browser, nested(), tmp_path, expand_nested=True)
    page.search("inner_dense")
    page.click_middle()
    page.wait(lambda: page.title == "Dense inner_dense")
    assert page.errors() == []


def test_graphs_inside_operators_open_and_fold(browser: webdriver.Chrome, tmp_path: Path) -> None:
    kir.plot(controlled(), tmp_path / "page.html")
    page = Page(browser, tmp_path / "page.html")
    button = browser.find_element(By.ID, "inside")

    def titles() -> list[str]:
        found = browser.execute_script("return shownStage().boxes.map((box) => recordOf(box).title)")
        return list(map(str, found))

    assert {"Loop", "If", "then_branch", "Neg", "Abs", "Relu"} <= set(titles())
    page.search("Abs")
    page.click_middle()
    page.wait(lambda: page.title == "Abs")
    button.click()
    page.wait(lambda: set(titles()) == {"Input", "Loop", "Exp", "Output"})
    assert button.get_attribute("aria-pressed") == "false"
    page.search("Loop")
    page.click_middle()
    page.wait(lambda: page.title == "Loop repeat")
    ActionChains(browser).move_to_element(page.canvas).double_click().perform()
    page.wait(lambda: "Neg" in titles())
    assert page.title == "Loop repeat"
    assert button.get_attribute("aria-pressed") == "true"
    browser.execute_script("canvas.focus()")
    page.press("i")
    page.wait(lambda: "Neg" not in titles())
    assert page.errors() == []


def test_where_nothing_is_inside_there_is_nothing_to_fold(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = plotted(browser, residual(1), tmp_path)
    assert not browser.find_element(By.ID, "inside").is_enabled()
    page.press("i")
    assert page.errors() == []


def test_findings_above_the_picture_lead_to_their_boxes(browser: webdriver.Chrome, tmp_path: Path) -> None:
    graph = residual(2).to_graph()
    wrong = Finding("</script> differs", "second_1 (Dense)")
    unseen, lost = Finding("no probe reached it", "first_0 (Dense)"), Finding("elsewhere", "gone")
    statements = [
        Statement("file", "all nodes", (wrong, lost)),
        Statement("passes", not_run="nothing to compare with"),
        Statement("operators", "most nodes", not_shown=(unseen,)),
    ]
    save_error_page(
        tmp_path / "page.html", "m.onnx of m.py", graph, VerificationReport((), 0, "cpu", 0, "", tuple(statements))
    )
    page = Page(browser, tmp_path / "page.html")
    section = browser.find_element(By.ID, "statements")
    for line in ("file FAIL all nodes", "passes not run nothing to compare with", "operators pass most nodes"):
        assert line in section.text
    assert "elsewhere" in section.text
    assert [one.text for one in section.find_elements(By.TAG_NAME, "button")] == [str(wrong), str(unseen)]
    section.find_element(By.CSS_SELECTOR, "button.wrong").click()
    page.wait(lambda: "second_1" in page.title)
    assert "status wrong" in page.panel
    assert "</script> differs" in page.panel
    section.find_element(By.CSS_SELECTOR, "button.unseen").click()
    page.wait(lambda: "first_0" in page.title)
    section.find_element(By.TAG_NAME, "summary").click()
    page.wait(lambda: not section.find_element(By.CSS_SELECTOR, "button.wrong").is_displayed())
    assert page.errors() == []


def test_a_page_without_statements_has_no_room_for_them(page: Page) -> None:
    assert not page.browser.find_element(By.ID, "statements").is_displayed()


def test_the_policy_of_the_page_forbids_what_is_not_part_of_it(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = plotted(browser, residual(1), tmp_path)
    browser.execute_script(
        "const script = document.createElement('script'); script.textContent = 'window.ran = true';"
        "document.body.append(script);"
        "const image = new Image(); image.src = 'https://example.com/a.png'; document.body.append(image);"
    )
    assert browser.execute_script("return window.ran") is None
    page.wait(
        lambda: (
            len(violations := [json.dumps(entry) for entry in page.errors()]) >= 1
            and "Content Security" in violations[0]
        )
    )


@pytest.mark.slow
def test_thousands_of_boxes_are_drawn_and_found(browser: webdriver.Chrome, tmp_path: Path) -> None:
    page = plotted(browser, residual(500), tmp_path, level=0)
    page.press("f")
    page.search("second_499")
    page.click_middle()
    page.wait(lambda: page.title == "Dense second_499")
    assert page.errors() == []
