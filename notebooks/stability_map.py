# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which steps are stable
#
# How large may a step be? EGPO (arXiv 2503.08942) and online mirror descent on deterministic rock, scissors, paper with a uniform
# reference, from three far starts a cell. Solid: the largest rate at which KL(p* | p) is certified to contract at every step in every
# game, 2(√(1 + β²) − β) for EGPO (derived in this project, claim EG-1) and 4β/(1 + 4β²) for mirror descent (arXiv 2206.05825, Theorem 3.4,
# recalled, with the Lipschitz constant 1/2 of preferences). Dashed: the rate from which on the equilibrium of this game repels, from the
# eigenvalues of an iteration (derived here, claim LIN-1); for mirror descent it is 2β/(β² + 1/12).

# %%
from pathlib import Path

import numpy as np

import simlab
from algorithms.egpo import EGPO, certified_rate
from simlab import collection
from simlab.figures import stability
from simlab.figures.curve import Curve
from simlab.members import make
from simlab.refusal import Refused
from theory.linear_limit import linear_limit

try:
    table = simlab.load("results/stability_map")
except Refused as missing:
    raise SystemExit(str(missing)) from None
world = make(collection.read(Path("results/stability_map")).runs[0].config, "env")

# %%
betas = np.geomspace(0.0008, 0.125, 7)
egpo = [linear_limit(world.games(beta)[0], EGPO, 1 / beta) for beta in betas]
limits = [
    Curve("certified", np.vectorize(certified_rate), "egpo"),
    Curve("certified", lambda beta: 4 * beta / (1 + 4 * beta**2), "online_mirror_descent"),
    Curve("stable up to here", (betas, egpo), "egpo"),
    Curve("stable up to here", lambda beta: 2 * beta / (beta**2 + 1 / 12), "online_mirror_descent"),
]
drawing = stability.draw(table, limits=limits)
drawing.save("figures/stability_map")
drawing

# %%
cells = drawing.data[drawing.data["kind"] == "cell"].rename(columns={"algorithm.rate": "rate"})
for name, certified, stable in (("egpo", *limits[::2]), ("online_mirror_descent", *limits[1::2])):
    of = cells[cells["algorithm"] == name].sort_values("beta")
    line = of["beta"].map(lambda beta, limit=stable: np.interp(beta, *limit.points(betas)))
    assert (of["rate"] < line)[of["outcome"] == "converged"].all() and (of["ratio"] < 1)[of["rate"] < certified.points(of["beta"])[1]].all()
    print(name, of["outcome"].value_counts().to_dict(), "converged from beta", of.loc[of["outcome"] == "converged", "beta"].min())
ratios = np.array(egpo) / [certified_rate(beta) for beta in betas]
assert 1.6 < ratios.min() < ratios.max() < 2.4
assert (cells["algorithm"] == "egpo")[(cells["outcome"] == "converged") & (cells["beta"] < 0.01)].all()

# %% [markdown]
# **Seen.** No cell that converged lies beyond the dashed line, and no cell within the solid one is further from equilibrium at the end
# than at the start. EGPO's limit hardly depends on β and is about twice its certified rate; mirror descent's falls nearly in proportion to
# β, so that below β = 0.01 no rate takes it to the equilibrium in 3,000 iterations.
#
# **Limits.** "Slow" is neither converged (KL below 10⁻⁶ of its start) nor diverged: too few iterations at the left, cycles at the right.
# The dashed line is of this game; another has its own. Three starts show what is typical, not the worst.
