"""write_report: one page that loads nothing."""

from __future__ import annotations

import re
from pathlib import Path


def test_the_page_is_whole_and_self_contained(finished: Path) -> None:
    page = (finished / "results/report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert not re.findall(r'(?:src|href)="(?!#|https?://|data:)[^"]+"', page)
    assert not re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="https?:', page)
    for name in ("distilbert-sst2", "not estimable", "one uploader", "2501.00241"):
        assert name in page
    for section in ("trust", "regressions", "specifications", "surface", "tradeoffs", "strategy",
                    "experiments", "contrast", "published", "audit"):  # fmt: skip
        assert f'<section id="{section}"' in page
    assert "specifications a coefficient" in page and "arXiv:2501.00241" in page
    assert len(page) < 8_000_000
