"""The plan's reasons as HTML."""

from __future__ import annotations

from autodiffseg.report.plan_pages import to_html


def test_headings_go_down_and_tables_get_a_box() -> None:
    html = to_html("# A\n\n## B\n\n| x |\n|---|\n| 1 |\n")
    assert "<h3>A</h3>" in html
    assert "<h4>B</h4>" in html
    assert html.index('<div class="scroll"') < html.index("<table>") < html.index("</table>") < html.index("</div>")


def test_html_and_scripts_are_shown_and_nothing_is_loaded() -> None:
    html = to_html("<script>x</script>\n\n[a](javascript:alert(1)) ![b](http://c/d.png)")
    assert "<script>" not in html
    assert "javascript:" not in html.replace("(javascript:alert(1))", "")
    assert "<img" not in html
