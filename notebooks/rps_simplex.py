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
# # Rock, scissors, paper
#
# Where do policies go on the smallest game with a cycle? The reference prefers rock, so that the regularised equilibrium (β = 0.03) lies
# apart from the original one, the uniform policy. All methods take rate 1. EGPO (arXiv 2503.08942), Nash-MD (arXiv 2312.00886) and mirror
# descent are pulled to the reference; SPPO (arXiv 2405.00675), magnetic preference optimisation (arXiv 2410.16714) and optimistic mirror
# descent (arXiv 2502.16852) seek the original equilibrium, SPPO with its average.

# %%
from pathlib import Path

import simlab
from algorithms.egpo import EGPO
from algorithms.online_mirror_descent import OnlineMirrorDescent
from simlab import collection
from simlab.figures import simplex
from simlab.members import make
from simlab.refusal import Refused
from theory.linear_limit import linear_limit

try:
    table = simlab.load("results/rps_simplex")
except Refused as missing:
    raise SystemExit(str(missing)) from None
config = collection.read(Path("results/rps_simplex")).runs[0].config
game = make(config, "env").games(config["beta"])[0]

# %%
drawing = simplex.draw(table, game, actions=("rock", "scissors", "paper"))
drawing.save("figures/rps_simplex")
drawing

# %% [markdown]
# Where they are after 400 iterations, and the largest rates at which two of them are stable near the regularised equilibrium of this game:
# the first at which the derivative of an iteration has an eigenvalue of modulus 1 (derived here).

# %%
limits = {method.__name__: linear_limit(game, method, 1 / game.beta) for method in (EGPO, OnlineMirrorDescent)}
assert limits["OnlineMirrorDescent"] < config["algorithm"]["rate"] < limits["EGPO"]
late = table[table["step"] > 300].groupby("algorithm")
assert late["kl_to_equilibrium"].max()["egpo"] < 1e-15
assert (late["kl_to_equilibrium"].min()[["nash_md", "online_mirror_descent"]] > 0.1).all()
last = table[table["step"] == config["steps"]].set_index("algorithm")
original = last[["original_exploitability", "average_original_exploitability"]]
assert original.loc["sppo"].iloc[0] > 0.49 and original.loc["sppo"].iloc[1] < 0.02
assert (original.loc[["optimistic", "magnetic"]].iloc[:, 0] < 0.01).all()
print({name: round(limit, 3) for name, limit in limits.items()})
last[["kl_to_equilibrium", *original.columns]]

# %% [markdown]
# **Seen.** At this rate, above mirror descent's limit and below EGPO's, mirror descent and Nash-MD end on a cycle round the equilibrium,
# while EGPO's half step brings it in. SPPO's iterate leaves for the boundary as its average closes in on the original equilibrium.
# Optimistic mirror descent spirals into that equilibrium; the magnetic method follows, an arc for each place of its magnet.
#
# **Limits.** One game, one start, exact expectations. Nash-MD's theorem is on falling steps: with this constant one it rests elsewhere
# even where it is stable (claim NMD-3). At a small enough rate mirror descent converges, too.
