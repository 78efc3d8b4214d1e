"""Writes the tables of docs/mutants.md from what `simlab verify mutants=true store=DIR` keeps: python docs/mutants.py DIR."""

import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "mutants.md"


def originals(rows: list[dict[str, Any]]) -> str:
    """A row for each original: its mutants, which claims were the first to refuse them, and what is left."""
    lines = ["| original | mutants | killed by, the first that refuses | equivalent | survived |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(row["original"] for row in rows):
        own = [row for row in rows if row["original"] == name]
        killed = [row["cells"] for row in own if row["outcome"] == "killed"]
        first = Counter(next(claim for claim, cell in cells.items() if cell == "killed") for cells in killed)
        killers = ", ".join(f"{claim} {number}" for claim, number in first.most_common())
        count = Counter(row["outcome"] for row in own)
        lines.append(f"| {name} | {len(own)} | {killers} | {count['equivalent'] or ''} | {count['survived'] or ''} |")
    return "\n".join(lines)


def listed(rows: list[dict[str, Any]], outcome: str) -> str:
    """The mutants that came out so."""
    found = [f"- {row['original']}: {row['mutant']}" for row in rows if row["outcome"] == outcome]
    return "\n".join(found) or "None."


def replace_part(text: str, name: str, content: str) -> str:
    """Put content between `<!-- name -->` and `<!-- end name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL)


if __name__ == "__main__":
    file = json.loads((Path(sys.argv[1]) / "mutants.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in file["versions"].items())
    text = PAGE.read_text(encoding="utf-8")
    text = replace_part(text, "summary", "\n".join([*(f"    {line}" for line in file["said"]), "", f"With {versions}."]))
    text = replace_part(text, "originals", originals(file["rows"]))
    text = replace_part(text, "equivalent", listed(file["rows"], "equivalent"))
    text = replace_part(text, "survived", listed(file["rows"], "survived"))
    PAGE.write_text(text, encoding="utf-8")
