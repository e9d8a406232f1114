"""Words that tables on screen explain below themselves."""

from __future__ import annotations

__all__ = ["DYNAMICS", "SCALING", "TEMPERATURE"]

SCALING = {
    "H, N": "heads, and keys of each head",
    "live": "keys of a head that win somewhere",
    "sampled": "distinct cells among random states: a lower bound",
    "exact": "the count, proved",
    "bound live, N": "the sharp upper bound, for the live keys and for all N",
    "degree": "k: D, where the counts are values of a polynomial in N of degree k with k-th "
    "difference D",
    "limit": "the exponent of N that the bound has as N grows",
}
"""Headings of scaling studies, and what they mean."""

TEMPERATURE = {
    "temperature": "of softmax, in scaled logits: 1 is the model as trained",
    "guaranteed": "share of states for which the gap between the two best keys proves it (T16)",
    "measured": "share of states for which it is so",
    "effective cells": "exp of the entropy of the patterns among the guaranteed states: how many "
    "cells of one size would be as diverse",
    "tokens ...": "the same shares of tokens, all heads of a token together",
}
"""Headings of temperature studies, and what they mean."""

DYNAMICS = {
    "flow": ("flow", "what the tokens do, and where"),
    "clusters_at_end": ("clusters at the end", "groups of tokens with gaps of at most --radius"),
    "soft_hard_horizon": (
        "soft-hard horizon",
        "first time at which some token's softmax is more than 1 % from hardmax; 0: from the start",
    ),
    "dissipation_residual": (
        "dissipation residual",
        "how far the energy is from its own balance: the error of the integration",
    ),
    "windows": (
        "windows",
        "stretches with one number of clusters, their end at least twice their start",
    ),
    "energy": ("energy", "E_beta, which rises along SA and USA"),
    "beta": ("beta", "inverse temperature"),
    "half_met_at": ("half met at", "time at which two tokens have met in half of the runs"),
    "met_at_end": ("met at the end", "share of the runs in which they have met at the last time"),
    "leaders": ("leaders", "tokens that win for themselves; the others move towards them"),
    "coalescence_horizon": (
        "coalescence horizon",
        "layers after which a follower is within rounding of its leader",
    ),
    "first_doubtful_layer": (
        "first doubtful layer",
        "the first whose winners rounding may have changed; none in rationals",
    ),
    "settled_at_layer": ("settled at layer", "from here on no token changes its winners"),
    "limit": ("limit", "where a token ends, from exact rationals"),
    "winners": ("winners", "whom it follows from the settled layer on"),
    "cells": (
        "cells",
        "of the layer's tropical polynomial on the whole space, exact",
    ),
    "phase": ("phase", "what becomes of the covariance"),
    "rank": ("rank", "directions that keep a variance in the limit"),
    "method": ("method", "a closed form, or integrated"),
    "freezing_level": (
        "freezing level",
        "sqrt(2 log n): the deviation of scores from which n tokens leave the Gaussian",
    ),
    "frozen_from": ("frozen from", "the first time at which the deviation is there"),
    "escape": ("escape", "the time at which the covariance passed 10^10 times its start"),
    "eigenvalues": ("eigenvalues", "of the covariance"),
    "deviation": ("deviation", "standard deviation of the scores"),
    "share": ("share", "of a text's tokens that follow the word in the last layer"),
    "logit": ("logit", "above 0 is positive"),
    "texts": ("texts", "in which the word leads"),
}
"""Keys of records of the second wing: the words on screen, and what they mean."""
