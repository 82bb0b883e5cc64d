"""A model's words on the run's page in a real browser: as they come, after a reload, superseded, and gone with the decision."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from database import Database
from tests.e2e.test_console import browser, console, pytestmark, served, shot, visiting
from tests.house import House, opened, plan, step
from tests.integration.channels.console.conftest import Console
from tests.probes import copied

__all__ = ["browser", "console", "pytestmark", "served"]
HOSTILE = "</pre><img src=x onerror=document.title='gone'><script>document.title='gone'</script>\u202e "
SAID = plan({**step("a", note="one"), "why": f"{HOSTILE}{'because it fits ' * 20}"})
BROKEN = plan({**step("a", note="one"), "why": "half a thought " * 40})


@pytest.fixture
async def house(database: Database, temporal_address: str, tmp_path: Path) -> AsyncGenerator[House]:
    """A house whose decisions may take as long as a browser looks at them."""
    folder = copied(tmp_path / "automations", limits={"propose_seconds": 250})
    async with opened(database, temporal_address, tmp_path, folder=folder) as made, made.worker(model_timeout=250):
        yield made


def call(page: Page, attempt: int) -> Locator:
    return page.locator(f"#said [data-call='d1/{attempt}/0']")


async def test_tokens_stream_are_superseded_by_a_retry_and_give_way_to_the_record(browser: Browser, house: House, console: Console) -> None:
    # Nobody decides before the page is there: the first answer breaks off, the second stands still in its middle.
    handle = await house.start({**BROKEN, "fault": "cut", "hold": 192}, {**SAID, "hold": 264})
    await house.until(handle, lambda found: found.run.status == "running")
    async with visiting(browser, console, "vera") as page:
        await page.goto(f"/runs/{handle.id}")
        first, second = call(page, 1), call(page, 2)
        await expect(first.locator("pre")).to_contain_text("half a thought")
        await expect(first).to_contain_text("is being said")
        await expect(page.locator("#said")).to_have_attribute("aria-live", "off")
        await shot(page, "tokens")
        house.model.go_on()
        await expect(first).to_have_class("said superseded")
        await expect(first.locator(".standing")).to_have_text("superseded")
        assert "line-through" in await first.locator("pre").evaluate("text => getComputedStyle(text).textDecorationLine")
        await expect(second).to_contain_text("is being said")
        # That it speaks is spoken, what it says is not.
        await expect(page.locator("#live")).to_have_text("The model is answering d1")
        await shown_as_text(page, second)
        # Who loads the page in the middle sees what was said so far, and how it goes on.
        await page.reload()
        await expect(first).to_have_class("said superseded")
        await shown_as_text(page, second)
        await expect(page.locator("body[data-connected]")).to_be_attached()
        await shot(page, "tokens-superseded")
        house.model.go_on()
        await expect(page.locator("header .state")).to_have_text("completed")
        await expect(page.locator("#timeline .decision")).to_contain_text("planner decided on 1 step")
        await expect(page.locator("#saying")).to_be_hidden()
        await expect(page.locator("#said > *")).to_have_count(0)
        assert await page.title() == f"{handle.id} · Perdure"


async def shown_as_text(page: Page, said: Locator) -> None:
    await expect(said.locator("pre")).to_contain_text("<img src=x")
    assert await page.locator("#said img, #said script").count() == 0 and await page.title() != "gone"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_models_words_fit_a_phone(browser: Browser, house: House, console: Console, scheme: Any) -> None:
    handle = await house.start({**plan({**step("a", note="one"), "why": "x" * 900}), "hold": 480})
    await house.until(handle, lambda found: found.run.status == "running")
    phone = {"viewport": {"width": 375, "height": 812}, "color_scheme": scheme, "is_mobile": True, "has_touch": True}
    async with visiting(browser, console, "vera", **phone) as page:
        await page.goto(f"/runs/{handle.id}")
        await expect(call(page, 1)).to_contain_text("is being said")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 375
        await shot(page, f"phone-{scheme}-tokens")
    house.model.go_on()
