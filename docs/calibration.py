"""Writes docs/calibration.md from what `simlab calibrate store=FOLDER` has kept: `python docs/calibration.py FOLDER...`.

Later folders add to earlier ones. The numbers are kept in docs/calibration.json, from which the page is written where no folder is given.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from simlab import calibration_file, calibration_page
from simlab.measured import Measured

PLACE = Path(__file__).with_name("calibration.json")

PAGE = """\
# How often the tests err

A claim that draws samples is tested, and a test may refuse what is true or pass what is false. `simlab calibrate` measures both, with the
claims' own checks:

```
simlab calibrate claim=RDPO-7 seeds=100 power_seeds=20 simulations=0     one claim, in seconds
simlab calibrate budget=600                                              as much as ten minutes allow
simlab calibrate store=results                                           everything; results/calibration.json keeps the numbers
```

It tells how many seeds and simulations there were, also where Ctrl-C or the budget ended it. Null seeds can be shared out: `seed=1
seeds=500` and `seed=501 seeds=500` into one `store` add up. The exit status is 1 where something errs more often than it says.

**Null.** Each check draws its samples anew with every seed, the statement being true. (The statement of a claim that is predicted to fail
is made true: robust DPO for DPO, users who agree for users who differ; the table of power says how.) *refused* is a ratio above 1, which
is what `simlab verify` calls violated; it is said to happen with chance 10⁻⁶ a finding or so, which no thousand seeds can show: they show
that it is not far more frequent. So each finding also has a p-value, and *refused at 5 %* is Holm's procedure over the p-values of one
check. Where that is calibrated, the law behind the test is right where it can be seen. Intervals are exact (Clopper and Pearson) at 95 %;
of thirty one may well miss by chance, so that a test is said to err *too often* by Holm's procedure at 5 % over all of them.

**A whole report** is all claims on one seed, with the dependence that they have (several look at the same fits), Holm's procedure at 5 %
over all p-values together. `simlab verify` itself refuses at 10⁻⁶ or so a finding, far below that.

**Power.** A claim's class says how an effect of size s is planted, and is checked on the same seeds at half, once and twice a size; then
on a ladder of sizes, each the root of 2 times the last, up to the size that is noticed four times in five (interpolated). *noticed* is by
p-values at 5 % (by the ratio where there are none), *refused* by the ratio. A dash: by no size up to 64 times the middle one, already by
a 64th of it, or not asked for.

**Inconclusive** is a verdict: a mean over seeds whose bound lies between its confidence limits says nothing, and such findings are
counted apart.

**Sample sizes.** {setting} Limit laws are tested at the numbers of comparisons that `simlab verify` uses, but on a fortieth of the fits:
a small bias of a limit law that full checks would see is not excluded by this table. The full checks were not repeated so often.

Versions: {versions}.

## False alarms

{alarms}

{family}

## Power

{power}

## Intervals

{coverage}

Means are studentised (`interval(seeds, statistic=np.mean, error=standard_error)`); no figure of this project draws one. An exact interval
of a share promises at least 95 % and may hold the truth more often.

## What calibration has changed

- Medians had bootstrap intervals, which held the truth in 92.8 %, 93.6 %, 92.6 % and 94.3 % of 2,000 simulations with 6, 10, 20 and 50
  seeds. They are now by ranks, interpolated.
- Bootstrap intervals of other statistics are at a raised level, as long as Student's would be: the mean of 20 normal seeds was held in
  91.5 %. With the raised level the mean of 100 lognormal seeds was still held in 93.3 % only; where the standard error of a statistic is
  given its interval is studentised now.
- A mean over seeds was compared with its bound at four standard errors and said to err three times in 10⁵, by the normal law. With 32
  seeds Student's law makes that 18; limits are Student's now.
- The slopes of error curves (RDPO-8, RDPO-9, RDPO-10-n, RDPO-14) had p-values from the first-order variance of a log, 2/f for f degrees
  of freedom; at 5 % they refused in 5.3 % to 6.6 % of 1,000 seeds. The variance is trigamma(f/2) now. With the fits of `simlab verify` the
  two are nearly the same.
- PAL-7 spoke of 1,500 comparisons a user, of which its p-value was found at 5 % in 7.4 % of 1,000 seeds: its limit law is that of more.
  It speaks of 6,000 now.
- Claims on newcomers and on one score for all (PAL-4, PAL-14, PAL-8p) stated no false alarm. The table has what was measured, on one
  population a check.
- SPPO-3-few lost its power in a brief check of 60 iterations, which is how its null was measured; its brief check has 300 now, as its
  power was.
"""


def page(measured: Measured, head: dict) -> str:  # type: ignore[type-arg]
    """All of it."""
    setting = head["setting"]
    brief = "Checks are brief (`brief=true`)." if setting["brief"] else "Checks are those of `simlab verify`."
    parts = {name: "\n".join(getattr(calibration_page, name)(measured)) for name in ("alarms", "family", "power", "coverage")}
    versions = ", ".join(f"{library} {number}" for library, number in head["versions"].items())
    where = "; ".join(f"`{name}`" for name in setting["instances"])
    return PAGE.format(setting=f"{brief} Instances: {where}.", versions=versions, **parts)


if __name__ == "__main__":
    measured, head = calibration_file.read(PLACE) if len(sys.argv) == 1 else (Measured(), {})
    for folder in sys.argv[1:]:
        later, head = calibration_file.read(Path(folder) / calibration_file.NAME)
        measured = later.after(measured)
    PLACE.write_text(json.dumps(head | asdict(measured), indent=1) + "\n", encoding="utf-8")
    PLACE.with_suffix(".md").write_text(page(measured, head), encoding="utf-8")
