"""Accessibility findings of a page in a browser, by axe-core."""

from pathlib import Path

from playwright.sync_api import Page

__all__ = ["serious_findings"]

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
RUN = """
async () => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  return found.violations
    .filter((each) => ["serious", "critical"].includes(each.impact))
    .map((each) => `${each.id}: ${each.nodes.slice(0, 3).map((node) => node.html).join(" ")}`);
}
"""


def serious_findings(page: Page) -> list[str]:
    """Return the serious and critical findings on a page, each with up to three elements."""
    page.evaluate(f"() => {{ {AXE} }}")
    found: list[str] = page.evaluate(RUN)
    return found
