"""Writes the generated parts of README.md, each between a pair of comments: methods, worlds, and the table of verdicts.

`make readme` runs it. What it writes comes from the files of conf/ and from a verification on the standard instances.
"""

import re
from pathlib import Path

from simlab import catalogue
from simlab.verification import check, claims, outcome
from theory.claim import Claim, Verdict
from theory.instances import standard_instances

README = Path(__file__).parent.parent / "README.md"


def members(group: str, heading: str) -> str:
    """A table of a group's members and what each file says it is."""
    rows = [f"| `{name}` | {catalogue.purpose(f'{group}/{name}')} |" for name in catalogue.groups()[group]]
    return "\n".join([f"| {heading} | |", "|---|---|", *rows])


def claim_cells(claim: Claim) -> str:
    """The cells of a claim's row that do not depend on a run."""
    cells = [claim.id, f"`{claim.statement.replace('|', chr(0x2223))}`", claim.source.replace("|", "\\|"), claim.provenance]
    return f"| {' | '.join(cells)} |"


def verdicts_table(verdicts: list[Verdict]) -> str:
    """What `simlab verify` prints, in Markdown."""
    head = ["ID", "statement", "source", "provenance", "instances", "measured/claimed", "verdict"]
    rows = [f"{claim_cells(verdict.claim)} {verdict.instances} | {verdict.worst:.4g} | {outcome(verdict)} |" for verdict in verdicts]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *rows])


def replace_part(text: str, name: str, content: str) -> str:
    """Put content between `<!-- name -->` and `<!-- end name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    return re.sub(f"{begin}.*?{end}", lambda _: f"{begin}\n{content}\n{end}", text, flags=re.DOTALL)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    text = replace_part(text, "methods", members("algorithm", "`algorithm=`"))
    text = replace_part(text, "worlds", members("env", "`env=`"))
    selected = sorted(claims().values(), key=lambda claim: claim.id)
    text = replace_part(text, "verdicts", verdicts_table(check(selected, standard_instances())))
    README.write_text(text, encoding="utf-8")
