"""A page as the text that a reader sees."""

import pytest

from tools.library.pages import text_of


def test_a_page_is_its_title_and_its_blocks() -> None:
    html = "<html><head><title> A \n page </title></head><body><h1>One</h1><p>Two <b>bold</b>\n words<br>three<ul><li>a<li>b</ul>end</body>"
    assert text_of(html) == ("A page", "One\nTwo bold words\nthree\na\nb\nend")


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>EVIL</script>",
        "<style>EVIL</style>",
        "<!-- EVIL -->",
        "<template>EVIL</template>",
        "<noscript>EVIL</noscript>",
        "<p hidden>EVIL</p>",
        '<p hidden="">EVIL</p>',
        '<p aria-hidden="true">EVIL</p>',
        '<p style="display:none">EVIL</p>',
        '<p style="DISPLAY : NONE !important">EVIL</p>',
        '<p style="dis/**/play:none">EVIL</p>',
        '<div style="visibility: hidden"><p>EVIL</p></div>',
        '<p style="opacity:0">EVIL</p>',
        '<p style="opacity: 0.0; color: red">EVIL</p>',
        '<p style="font-size:0px">EVIL</p>',
        '<p style="position:absolute; left:-9999px">EVIL</p>',
        '<p style="text-indent:-5000px">EVIL</p>',
        '<p style="width:0;overflow:hidden">EVIL</p>',
        '<p style="color: transparent">EVIL</p>',
        "<style>.x, .y { color: red } .ghost,#no{display:none}</style><p class='a ghost'>EVIL</p><i id=no>EVIL</i>",
        "<style>/* .a{} */ aside { visibility:hidden }</style><aside>EVIL</aside>",
        "<select><option>EVIL</option></select>",
        "<svg><text>EVIL</text></svg>",
        "<input type=hidden value=EVIL>",
        "<?php EVIL ?>",
        "<![CDATA[EVIL]]>",
    ],
)
def test_what_a_reader_does_not_see_is_no_text(hidden: str) -> None:
    assert text_of(f"<title>t</title><p>before</p>{hidden}<p>after</p>") == ("t", "before\nafter")


@pytest.mark.parametrize(
    "shown",
    ['<p style="opacity:0.5">x</p>', '<p style="font-size:0.8em">x</p>', '<p style="max-width:0">x</p>', '<p style="left:-5px">x</p>'],
)
def test_what_a_reader_sees_stays(shown: str) -> None:
    assert text_of(shown) == ("", "x")


@pytest.mark.parametrize(
    "html", ["", "plain words", "http://example.com", '<?xml version="1.0"?><root>plain words</root>', "<p", "</p></p>"]
)
def test_what_is_hardly_a_page_is_read_without_a_warning(html: str) -> None:
    text_of(html)


def test_a_page_that_is_nested_beyond_reason_is_read() -> None:
    assert text_of("<div>" * 20_000 + "deep") == ("", "deep")
