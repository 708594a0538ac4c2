"""The page at the admin address, in a real browser: it shows what goes on, and asks nobody but the agent."""

from urllib.parse import urlsplit

import pytest
import requests

from harness import checks
from harness.agent import chromium
from harness.browser import Browser
from harness.wait import until


@pytest.fixture
def browser():
    assert chromium(), "no Chromium: run 'tests/backends/install.sh chromium', or set CHROMIUM_BIN"
    one = Browser()
    yield one
    one.close()


def test_the_page_shows_pipelines_and_verdicts_and_needs_nothing_from_outside(start_agent, emitter, sink, browser, tmp_path):
    agent = start_agent(sink.exporters)
    sdk = emitter(agent, "grpc")
    kept, dropped = sdk.task(priority="critical"), sdk.task(priority="low")
    sdk.flush()
    checks.arrives_whole(sink, kept)
    checks.decided(agent, 2)

    counts = requests.get(f"{agent.admin}/status", timeout=5).json()["traces"]
    assert (counts["kept"]["total"], counts["dropped"]["total"]) == (1, 1), "the page's figures are traces, not spans"

    browser.open(f"{agent.admin}/")
    shown = "document.body ? document.body.innerText : ''"
    for what, text in {
        "the pipeline": "traces", "its receiver": "otlp", "its processor": "tail_sampling", "its exporter": "otlp_grpc/sink",
        "the kept trace": kept.trace_id[:8], "why it was kept": "important-tasks", "the dropped trace": dropped.trace_id[:8],
    }.items():
        until(lambda: text in browser.evaluate(shown), f"the page shows {what} ('{text}')", timeout=20, every=0.2)

    picture = tmp_path / "page.png"
    browser.screenshot(picture)
    assert picture.stat().st_size > 10_000
    print(f"screenshot: {picture}")

    others = [url for url in browser.requests if urlsplit(url).netloc != urlsplit(agent.admin).netloc and urlsplit(url).scheme != "data"]
    assert browser.requests and not others, f"requests to other origins: {others}"
    assert not browser.errors, browser.errors
