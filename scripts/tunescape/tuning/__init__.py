"""Tuning in stages: screening, grids, Bayesian and surface searches, and what they found.

A study is read by `study`; `rounds` proposes and trains the trials of one round; `screening`,
`grid`, `bayes`, `priors` and `surface_search` decide what is tried; `results`, `curves`,
`selection` and `lora` say what came out; `export` hands a search to Optuna's and DeepCAVE's pages.
"""
