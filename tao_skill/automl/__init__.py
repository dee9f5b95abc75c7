"""Search for better hyper-parameters of any model that says in a schema what may be set.

The story is in `search.py`, which decides what runs next; `trial_runner.py` keeps trials running. `searcher.py` and
`executor.py` hold the two seams: how values are proposed, and where trials run.
"""
