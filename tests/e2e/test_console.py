"""The console in a real browser, on a real run: by mouse, by keyboard, live, and at phone width."""

import asyncio
import re
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect
from temporalio.client import Client

from channels.desk import Desk
from contracts.approvals import Ruling
from database import Database
from ledger import approvals, directory, runs
from settings import ROOT
from tests.house import House, opened, plan, step
from tests.integration.channels.console.conftest import Console, served
from tests.integration.ledger import rows

__all__ = ["served"]
SHOTS = ROOT / ".artifacts" / "console"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: `make browser` installs Debian's where apt may")
SLOW = 60_000  # milliseconds that a loaded machine may take


@pytest.fixture(scope="module")
async def browser() -> AsyncGenerator[Browser]:
    expect.set_options(timeout=SLOW)
    async with async_playwright() as play:
        made = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield made
        await made.close()


@pytest.fixture
async def house(database: Database, temporal_address: str, tmp_path: Path) -> AsyncGenerator[House]:
    async with opened(database, temporal_address, tmp_path) as made, made.worker():
        yield made


@pytest.fixture
async def console(house: House, served: Any) -> AsyncGenerator[Console]:
    async def connect() -> Client:
        return house.client

    async with served(connect, task_queue=house.settings.task_queue, automations=house.settings.automations) as made:
        yield made


@asynccontextmanager
async def visiting(browser: Browser, console: Console, person: str = "ada", **options: Any) -> AsyncGenerator[Page]:
    """Open a browser's window, log in, and see that nothing went wrong in it."""
    context: BrowserContext = await browser.new_context(base_url=console.url, **options)
    context.set_default_timeout(SLOW)
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" and "status of 4" not in line.text else None)
    try:
        await page.goto(await console.link(person))
        yield page
        assert not wrong
    finally:
        await context.close()


async def shot(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


async def waiting(house: House, **arguments: Any) -> tuple[Any, Any]:
    """Start a run that asks a person, and return it with its request."""
    handle = await house.start(plan(step("a", note="one", ask=True, **arguments), step("b", "probe.write", "a", note="two")))
    return handle, (await house.waiting(handle)).waiting[0]


async def test_a_request_is_approved_and_its_run_is_seen_to_end(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)
    async with visiting(browser, console) as page, visiting(browser, console, "vera") as other:
        await other.goto(f"/runs/{handle.id}")
        await expect(other.locator("h1")).to_have_text(handle.id)
        await expect(other.locator("body[data-connected]")).to_be_attached()
        await page.locator(f"[data-request='{request.id}'] a").click()
        card = page.locator("#card")
        await expect(card).to_contain_text("probe.write")
        await expect(card).to_contain_text(request.digest[:12])
        await shot(page, "inbox")
        await card.get_by_role("button", name="Approve", exact=True).click()
        await expect(card.locator(".outcome")).to_contain_text(re.compile("approved|consumed"))
        await expect(page.locator(".item")).to_have_count(0)
        # Nobody has touched the other page.
        await expect(other.locator("#timeline")).to_contain_text("approved by ada over web")
        await expect(other.locator("header .state")).to_have_text("completed")
        await shot(other, "run")
    assert await house.notes() == ["one", "two"]


async def test_a_rejection_needs_a_reason_and_then_holds(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)
    async with visiting(browser, console) as page:
        await page.goto(f"/requests/{request.id}")
        form = page.locator("form[data-rule=reject]")
        await form.get_by_role("button").click()
        assert await form.locator("input[name=reason]").evaluate("field => field.validity.valueMissing")
        await form.locator("input[name=reason]").fill("not today")
        await form.get_by_role("button").click()
        await expect(page.locator(".outcome")).to_contain_text("rejected by ada")
    await house.ended(handle)
    assert await house.notes() == []


async def test_an_edit_shows_what_does_not_fit_and_then_runs_what_was_written(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)
    async with visiting(browser, console) as page:
        await page.goto(f"/requests/{request.id}")
        await page.get_by_text("Run something else instead").click()
        edit = page.locator("form[data-rule=edit]")
        await edit.get_by_label("note").fill("forbidden")
        await edit.get_by_role("button", name="Approve as edited").click()
        await expect(page.locator("#card [role=alert]").first).to_contain_text("this note is forbidden")
        await shot(page, "edit-refused")
        await edit.get_by_label("note").fill("better")
        await edit.get_by_role("button", name="Approve as edited").click()
        await expect(page.locator("#card [data-result].good")).to_be_visible()
    await house.ended(handle)
    assert sorted(await house.notes()) == ["better", "two"]


async def test_two_words_at_once_from_web_and_slack_make_one_effect(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)

    async def wake(tenant: str) -> None:
        await house.deliver()

    desk = Desk(house.database, wake)
    async with house.database.transaction("default") as tx:
        ann = await directory.person(tx, "ann")
        assert ann is not None
        await directory.put(tx, replace(ann, groups=frozenset({"owner"})), "tester")
    ruling = Ruling(request=request.id, verdict="approve", by="ann", digest=request.digest)
    async with visiting(browser, console) as page:
        await page.goto(f"/requests/{request.id}")
        button = page.locator("form[data-rule=approve]").get_by_role("button")
        await expect(button).to_be_visible()
        _, slack = await asyncio.gather(button.click(), desk.rule("default", ruling, ann, channel="slack"))
        await expect(page.locator("#card [data-result]")).to_be_visible()
        mine = await page.locator("#card [data-result].good").count()
        assert mine + slack.accepted == 1
        late = await page.locator("#card [data-result]").inner_text()
        assert mine == 1 or "already decided by ann" in late
    await desk.close()
    await house.ended(handle)
    assert set((await house.calls()).values()) == {1}


async def test_a_page_that_is_loaded_again_in_the_middle_misses_nothing(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)
    async with visiting(browser, console) as page:
        await page.goto(f"/runs/{handle.id}")
        await expect(page.locator("body[data-connected]")).to_be_attached()
        async with house.database.transaction("default") as tx:
            ada = await directory.person(tx, "ada")
        ruling = Ruling(request=request.id, verdict="approve", by="ada", digest=request.digest)
        await console.house.desk.rule("default", ruling, ada, channel="slack")
        await page.reload()
        await expect(page.locator("header .state")).to_have_text("completed")
        found = await house.explained(handle)
        await expect(page.locator("#timeline > li")).to_have_count(len(found.timeline))


async def test_a_run_is_paused_and_resumed_with_the_keyboard_alone(browser: Browser, house: House, console: Console) -> None:
    handle, request = await waiting(house)
    async with visiting(browser, console) as page:
        await page.goto("/inbox")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("#card h2")).to_be_focused()
        await page.keyboard.press("a")
        await expect(page.locator("form[data-rule=approve] button")).to_be_focused()
        await page.keyboard.press("g")
        await page.keyboard.press("r")
        await page.wait_for_url("**/runs")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await expect(page.locator("h1")).to_have_text(handle.id)
        await page.get_by_text("Pause", exact=True).first.press("Enter")
        await page.locator("form[data-verb=pause] button").press("Enter")
        await expect(page.locator("header .state")).to_have_text("paused")
        await page.locator("form[data-verb=resume] button").press("Enter")
        await expect(page.locator("header .state")).to_have_text("running")
    assert (await console.read(request.id)).state == "pending"


async def test_identical_requests_are_chosen_and_approved_together(browser: Browser, console: Console) -> None:
    for nth in range(3):
        await console.asked(f"apr-{nth}", step=f"s{nth}")
    await console.asked("apr-other", arguments={"title": "other"})
    async with visiting(browser, console) as page:
        boxes = page.locator("input[name=chosen]")
        await expect(boxes).to_have_count(3)
        for nth in range(3):
            await boxes.nth(nth).check()
        await expect(page.locator(".bulk")).to_contain_text("3 identical")
        await shot(page, "bulk")
        await page.get_by_role("button", name="Approve them").click()
        await expect(page.locator(".notice")).to_contain_text("3 approved")
        await expect(page.locator(".item")).to_have_count(1)


async def test_five_hundred_runs_are_listed_and_found(browser: Browser, console: Console) -> None:
    async with console.database.transaction("default") as tx:
        for nth in range(500):
            await runs.open_run(tx, rows.run(f"lineage-{nth:03}", workflow_id=f"run-{nth:03}", automation="probe"), limit_micros=1000)
    async with visiting(browser, console) as page:
        await page.goto("/runs")
        for count in (100, 200, 300, 400, 500):
            await expect(page.locator("#rows tr[data-item-row]")).to_have_count(count)
            if count < 500:
                await page.get_by_role("link", name="Older runs").click()
        await expect(page.get_by_role("link", name="Older runs")).to_have_count(0)
        await page.locator("#q").fill("run-042")
        await expect(page.locator("#rows tr[data-item-row]")).to_have_count(1)
        await shot(page, "runs")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_fits_a_phone_and_names_its_controls(browser: Browser, house: House, console: Console, scheme: Any) -> None:
    handle, request = await waiting(house, fail="x" * 300)
    phone = {"viewport": {"width": 375, "height": 812}, "color_scheme": scheme, "is_mobile": True, "has_touch": True}
    async with visiting(browser, console, **phone) as page:
        for name, path in {
            "inbox": "/inbox", "request": f"/requests/{request.id}", "runs": "/runs", "run": f"/runs/{handle.id}",
            "calendar": "/calendar", "memory": "/memory", "numbers": "/numbers",
        }.items():  # fmt: skip
            await page.goto(path)
            assert await page.evaluate("document.documentElement.scrollWidth") <= 375, path
            assert await page.evaluate(UNNAMED) == [], path
            await shot(page, f"phone-{scheme}-{name}")
        await page.goto("/inbox")
        await page.locator(".item a").first.tap()
        await page.wait_for_url("**/requests/*")


UNNAMED = """
() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select, textarea")].filter((one) =>
  !(one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length || one.title)).map((one) => one.outerHTML)
"""


async def test_a_hostile_text_on_a_card_does_nothing(browser: Browser, console: Console) -> None:
    text = "<img src=x onerror=document.title='gone'><script>document.title='gone'</script>\u202e"
    await console.asked(arguments={"title": text})
    async with visiting(browser, console) as page:
        await page.locator(".item a").click()
        await expect(page.locator("#card .action")).to_contain_text("<img src=x")
        assert await page.title() == "Inbox · Perdure"
        assert await page.locator("#card img, #card script").count() == 0
    async with console.database.transaction("default") as tx:
        assert len(await approvals.open_requests(tx)) == 1
