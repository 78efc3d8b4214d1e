"""Writes the generated parts of README.md (methods, worlds, a count of verdicts), each between a pair of comments, and docs/claims.md.

`make readme` runs it. What it writes comes from the files of conf/ and from a verification on the standard instances.
"""

import re
from pathlib import Path

from simlab import catalogue
from simlab.verification import check, claims, outcome
from theory.claim import Claim, Instance, Verdict
from theory.instances import standard_subjects
from theory.testbed import PairTestbed, PopulationTestbed

README = Path(__file__).parent.parent / "README.md"
CLAIMS = Path(__file__).parent / "claims.md"

TOPICS = {
    "Self-play": Instance,
    "Labelled pairs": PairTestbed,
    "Users who differ": PopulationTestbed,
}
"""Parts of the table of claims, by what these are put to."""

PAGE = """\
# Claims

What `simlab verify` finds on its standard instances; `make readme` writes this page. *measured/claimed* is the largest ratio over
all instances (the smallest where failure is predicted): at most 1 meets the claim. Provenance says whose constant it is: a bound
derived here is never shown as the paper's.
"""


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


def page(verdicts: list[Verdict]) -> str:
    """All verdicts, a table a topic."""
    parts = [f"## {topic}\n\n{verdicts_table([v for v in verdicts if v.claim.subject is subject])}" for topic, subject in TOPICS.items()]
    return "\n\n".join([PAGE.rstrip(), *parts]) + "\n"


def counts_table(verdicts: list[Verdict]) -> str:
    """How many claims of each topic hold, and how many fail as predicted."""
    rows = []
    for topic, subject in TOPICS.items():
        mine = [verdict for verdict in verdicts if verdict.claim.subject is subject]
        failing = sum(verdict.claim.predicted_to_fail for verdict in mine)
        rows.append(f"| {topic} | {len(mine) - failing} | {failing} |")
    return "\n".join(["| claims on | hold | fail as predicted |", "|---|---|---|", *rows])


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    text = replace_part(text, "methods", members("algorithm", "`algorithm=`"))
    text = replace_part(text, "worlds", members("env", "`env=`"))
    selected = sorted(claims().values(), key=lambda claim: claim.id)
    verdicts = check(selected, standard_subjects())
    surprises = [verdict.claim.id for verdict in verdicts if not verdict.expected]
    if surprises:
        raise SystemExit(f"against the prediction: {', '.join(surprises)}")
    text = replace_part(text, "verdicts", counts_table(verdicts))
    CLAIMS.write_text(page(verdicts), encoding="utf-8")
    README.write_text(text, encoding="utf-8")
