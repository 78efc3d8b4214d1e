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
# # Users who differ, and how much each must say
#
# How many comparisons of each user does PAL (arXiv 2406.08469) need, for the mean user and for the worst? Twenty populations of 40 users,
# ideal points that are mixtures of three prototypes in six dimensions, and PAL told that there are three, beside one Bradley-Terry score
# for all users (pooled). The paper's promise is fewer samples a user as users share prototypes.

# %%
import simlab
from simlab.figures import samples_per_user
from simlab.refusal import Refused

try:
    table = simlab.load("results/pal_samples")
except Refused as missing:
    raise SystemExit(str(missing)) from None

# %%
drawing = samples_per_user.draw(table, users="seen")
drawing.save("figures/pal_samples")
drawing

# %% [markdown]
# Newcomers, for whom only the mixture of the learned prototypes is fitted, after 100 comparisons of each user that PAL learned from.

# %%
newcomers = samples_per_user.draw(table[table["env.samples"] == 100], users="new")
newcomers.save("figures/pal_samples_newcomers")
newcomers

# %%
columns = ["comparisons", "measure", "algorithm"]
seen, new = (each.data.set_index(columns)["value"].unstack().sort_index() for each in (drawing, newcomers))
gain, gain_new = ((each["pal"] - each["pooled"]).unstack("measure") for each in (seen, new))
assert (gain["accuracy"] > 0.05).all() and (gain_new["accuracy"] > 0.03).all()
assert abs(gain["worst_accuracy"].loc[10]) < 0.12 < gain["worst_accuracy"].loc[50:].min()
assert gain_new["worst_accuracy"].loc[:5].max() < 0 < gain_new["worst_accuracy"].loc[50:].min()
assert seen["pooled"].unstack()["accuracy"].max() < 0.78
seen.unstack("measure")

# %% [markdown]
# **Seen.** The mean user is better served by PAL at every number of comparisons, down to two of a newcomer. The worst user is not: with
# ten comparisons of each user the intervals of the two overlap, and after two or five of a newcomer one score for all serves the worst
# newcomer better. From fifty on PAL is ahead there, too. Pooled scores stay below 78% however much is asked, since users differ.
#
# **Limits.** Accuracy is over all pairs against what a user likelier says, so that the truth has 1. The worst of 40 users (of 200
# newcomers) is an extreme: the more users, the lower. Told the true number of prototypes, PAL has the easier task (`experiment=prototypes`
# varies it). Populations are drawn, and mix prototypes as PAL supposes.
