"""What a browser shows that nobody asked for: alerts above every page, and characters that nobody sees."""

from typing import Any

from playwright.async_api import Browser, expect

from ledger import reviews
from tests.e2e.test_console import browser, console, house, pytestmark, served, shot, visiting
from tests.house import House, plan, step
from tests.integration.channels.console.conftest import Console
from tests.integration.ledger.rows import LINEAGE

__all__ = ["browser", "console", "house", "pytestmark", "served"]
HIDDEN = "pay \u202e001 to joe"


async def test_broken_glass_comes_up_on_a_page_that_is_open_and_fits_a_phone(browser: Browser, console: Console) -> None:
    await console.asked(groups=["editor"], state="approved")
    phone: dict[str, Any] = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}
    async with visiting(browser, console, "vera", **phone) as page:
        await page.goto("/runs")
        await expect(page.locator("[data-alert]")).to_have_count(0)
        async with console.database.transaction("default") as tx:
            await reviews.open_review(tx, "apr-1", LINEAGE, "s1", ["joe", "kim"])
        # Nobody has touched the page.
        alert = page.locator("[data-alert]")
        await expect(alert).to_contain_text("The glass was broken: joe and kim let blog.publish")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 375
        await shot(page, "alert")
        await alert.get_by_role("link").click()
        await page.wait_for_url("**/requests/apr-1")


async def test_a_review_is_closed_on_the_card_and_the_banner_goes_at_once(browser: Browser, console: Console) -> None:
    await console.asked(groups=["editor"], state="approved")
    async with console.database.transaction("default") as tx:
        await reviews.open_review(tx, "apr-1", LINEAGE, "s1", ["joe", "kim"])
    async with visiting(browser, console, "ann") as page:
        await page.goto("/requests/apr-1")
        await expect(page.locator("[data-alert]")).to_have_count(1)
        await shot(page, "review")
        await page.get_by_label("What was found").fill("the site was down, and it was needed")
        await page.get_by_role("button", name="Reviewed").click()
        await expect(page.locator("#card [data-result].good")).to_have_text("reviewed by ann")
        await expect(page.locator("[data-alert]")).to_have_count(0)
        await expect(page.locator("form[data-rule=review]")).to_have_count(0)


async def test_a_person_says_that_it_did_happen_and_what_does_not_fit_is_told_where_it_was_typed(
    browser: Browser, console: Console
) -> None:
    result = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "note": {"type": "string"}}}
    await console.asked(
        question="again", reason="blog.publish may have happened (the answer was lost): do it again?", about={"result": result}
    )
    phone: dict[str, Any] = {"viewport": {"width": 375, "height": 812}, "is_mobile": True, "has_touch": True}
    async with visiting(browser, console, "ann", **phone) as page:
        await page.goto("/requests/apr-1")
        await page.get_by_text("It did happen: the step is done").click()
        form = page.locator("form[data-rule=happened]")
        await form.get_by_label("What it would have answered").fill('{"id": 7}')
        await form.get_by_label("Reason").fill("the bank shows it")
        await form.get_by_role("button", name="It did happen").click()
        await expect(form.locator("strong[role=alert]")).to_contain_text("7 is not of type 'string'")
        assert await page.evaluate("document.documentElement.scrollWidth") <= 375
        await shot(page, "happened-refused")
        await form.get_by_label("What it would have answered").fill('{"id": "p-1"}')
        await form.get_by_role("button", name="It did happen").click()
        await expect(page.locator(".outcome")).to_contain_text("since it did happen: the bank shows it")


async def test_what_nobody_sees_is_written_out_in_the_form_and_what_is_sent_is_what_was_seen(
    browser: Browser, house: House, console: Console
) -> None:
    handle = await house.start(plan(step("a", note=HIDDEN, ask=True)))
    request = (await house.waiting(handle)).waiting[0]
    assert request.arguments["note"] == HIDDEN
    async with visiting(browser, console) as page:
        await page.goto(f"/requests/{request.id}")
        await page.get_by_text("Run something else instead").click()
        edit = page.locator("form[data-rule=edit]")
        assert await edit.get_by_label("note").input_value() == '"pay \\u202e001 to joe"'
        await edit.get_by_label("note").fill('"pay \u202e100"')
        await edit.get_by_role("button", name="Approve as edited").click()
        await expect(page.locator("#card strong[role=alert]")).to_contain_text("it has U+202E, which nobody sees")
        await shot(page, "hidden-refused")
        await edit.get_by_label("note").fill('"pay 001"')
        await edit.get_by_role("button", name="Approve as edited").click()
        await expect(page.locator("#card [data-result].good")).to_be_visible()
    await house.ended(handle)
    assert await house.notes() == ["pay 001"]
