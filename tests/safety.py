"""Run every test that docs/safety.md names, and write what was seen into its last column. `make safety`"""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "safety.md"
ROW = re.compile(r"^\| (?P<threat>[^|]+) \| (?P<law>[^|]+) \| `(?P<test>[^`]+)` \|(?P<seen>[^|]*)\|$", re.MULTILINE)


def named() -> list[str]:
    """The tests of the table, as pytest knows them."""
    return [row["test"] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def main() -> int:
    """Run them, write, and fail where one failed or was not found."""
    tests = named()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *dict.fromkeys(tests)]
        code = subprocess.run(words, cwd=ROOT, check=False).returncode
        seen = _seen(report)
    day = dt.datetime.now(dt.UTC).date()

    def told(row: re.Match[str]) -> str:
        outcomes = seen.get(row["test"], Counter())
        words = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items(), reverse=True)) or "not found"
        return f"| {row['threat']} | {row['law']} | `{row['test']}` | {words}, {day} |"

    PAGE.write_text(ROW.sub(told, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return code or any(set(seen.get(test, {"not found": 1})) != {"passed"} for test in tests)


def _seen(report: Path) -> dict[str, Counter[str]]:
    """How often each test passed, failed or was skipped, over its parameters."""
    seen: dict[str, Counter[str]] = {}
    for case in ET.parse(report).iter("testcase"):
        file = case.attrib["classname"].replace(".", "/") + ".py"
        outcome = next((what for what in ("failure", "error", "skipped") if case.find(what) is not None), "passed")
        name = f"{file}::{case.attrib['name'].partition('[')[0]}"
        seen.setdefault(name, Counter())[{"failure": "failed", "error": "failed"}.get(outcome, outcome)] += 1
    return seen


if __name__ == "__main__":
    sys.exit(main())
