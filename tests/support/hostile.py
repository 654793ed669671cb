"""Texts that a hostile row may hold: each would act if a page, a terminal or a reader of Markdown let it."""

from __future__ import annotations

SCRIPTS = (
    "</div></section><script>document.title = 'ran'; fetch('http://127.0.0.1:9/stolen')</script>",
    "<img src=x onerror=\"document.title = 'ran'\">",
    "<svg onload=\"document.title = 'ran'\"></svg>",
    "<a href=\"javascript:document.title='ran'\">click here</a>",
    "<iframe srcdoc=\"<script>parent.document.title='ran'</script>\"></iframe>",
    '<style>body { display: none } @import "http://127.0.0.1:9/css";</style>',
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/moved'>",
    "<form action=http://127.0.0.1:9/form><input name=q><button>Approve</button></form>",
    '" onmouseover="document.title=\'ran\'" x="',
    "{{ 7 * 7 }} {% raw %} ${7*7} <%= 7*7 %>",
)
MARKDOWN = (
    "[click here](javascript:document.title='ran')",
    "![a picture](http://127.0.0.1:9/pixel.png)",
    "[ref]: http://127.0.0.1:9/ref\n[ref]",
    "<http://127.0.0.1:9/auto> <javascript:alert(1)>",
    "| a | b |\n| --- | --- |\n| 1 | 2 |",
    "```\nfenced\n```",
    "# A title of its own\n\n---\n\n> quoted",
    "`code` ``` **bold** _it_ ~~gone~~",
)
CONTROLS = (
    "\x1b[2J\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]8;;http://127.0.0.1:9\x1b\\link\x1b]8;;\x1b\\",
    "bell \x07 back\x08\x08 line\r over \x9b31m c1 \x00 nul \x7f",
    "bidi \u202egnp.exe\u202c \u2066isolated\u2069",
)
HUGE = ("x" * 200_000, "<b>" * 50_000, "\u202e" * 10_000, "word " * 100_000)
ALL = (*SCRIPTS, *MARKDOWN, *CONTROLS, *HUGE)
