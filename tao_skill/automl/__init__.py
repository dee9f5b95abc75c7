"""Search for better hyper-parameters of any model that says in a schema what may be set.

The story is in `search.py`; `searcher.py` and `executor.py` hold the two seams: how values are proposed, and where
trials run.
"""
