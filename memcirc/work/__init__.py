"""Work lists: a stage's work in numbered units, done by one process, by Ray actors or by the shards of a job array.

A unit's result depends on its number and the plan alone, never on who computes it. Its finished file is its mark of
completion: whoever comes later lists the files and does the rest.
"""
