"""Propose the trials of one round of a search."""

from pathlib import Path

from tunescape.jobs import logged

with logged(snakemake.log[0], snakemake.input, snakemake.output):
    from tunescape.tuning.rounds import MINED, propose_trials

    inputs = dict(snakemake.input.items())
    mined = {name: inputs[name] for name in MINED if name in inputs}
    path = Path(snakemake.output.proposals)
    propose_trials(path, path.parents[1], snakemake.params.spec, mined or None)
