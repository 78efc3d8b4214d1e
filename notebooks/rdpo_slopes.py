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
# # Robust DPO's error
#
# How does the error of robust DPO (arXiv 2403.00409) shrink with the number of comparisons n when it is told the rate ε of wrong labels?
# The paper's order is 1/(1 − 2ε) √(d/n). On a world of labelled pairs whose truth is known (d = 8) the root mean square error for large n
# is exact, √(tr(H C)/n) (dashed; derived in this project, claim RDPO-7), C the covariance of √n times the error in the metric H of the
# pairs' information. Points are medians of 200 samples.

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np

import simlab
from algorithms.limit import expected_error
from algorithms.rdpo import RobustDPO
from simlab import collection
from simlab.figures import sample_size
from simlab.figures.curve import Curve
from simlab.members import make
from simlab.refusal import Refused

try:
    table = simlab.load("results/rdpo_slopes")
except Refused as missing:
    raise SystemExit(str(missing)) from None
config = collection.read(Path("results/rdpo_slopes")).runs[0].config
world = replace(make(config, "env"), beta=config["beta"])
exact = {flip: expected_error(RobustDPO(flip), replace(world, flip=flip), 1) for flip in sorted(table["env.flip"].unique())}

# %%
lines = [Curve("root mean square, exact for large n", lambda n, one=one: one / np.sqrt(n), panel=flip) for flip, one in exact.items()]
drawing = sample_size.draw(table, "estimation_error", by="env.flip", rate=None, theory=lines)
drawing.save("figures/rdpo_slopes")
drawing

# %% [markdown]
# The measured root mean square error (of samples that have a minimiser) as a share of the exact one.

# %%
square = table.assign(square=table["estimation_error"] ** 2).groupby(["env.flip", "env.n"])["square"]
share = np.sqrt(square.mean().unstack("env.n")).div(exact, axis=0) * np.sqrt(sorted(table["env.n"].unique()))
slopes = drawing.data[drawing.data["kind"] == "slope"].set_index("env.flip")["value"]
lost = table[table["status"] != "ok"]
assert set(lost["env.flip"]) == {0.4} and set(lost["status"]) == {"no minimiser"} and lost["env.n"].value_counts().idxmax() == 1000
assert share.loc[:, 10_000:].sub(1).abs().max(axis=None) < 0.08 and share.loc[0.4, 1000] > 1.2
assert slopes.between(-0.55, -0.45).all() and slopes.idxmin() == 0.4
share

# %% [markdown]
# **Seen.** Fitted slopes are −1/2 to within 0.05, steepest at ε = 0.4, where small samples err more than the large-sample value. From n =
# 10,000 on the root mean square error is within 8% of the exact one, as 200 samples tell it at every ε: the constant is right, not only
# the slope. At ε = 0.4 and n = 1,000 some samples have no minimiser at all; they count as infinite errors in the medians.
#
# **Limits.** One world. Medians lie a few percent below root mean squares, of which the dashed line speaks. The paper bounds a policy's
# suboptimality by way of this error; that bound is not drawn here.
