"""Imports are not searched for garbage, neither meanwhile nor afterwards."""

import gc

from tao_skill.metric_learning.importing import importing_for_good


def test_garbage_is_collected_again_afterwards_but_not_among_what_was_imported() -> None:
    try:
        with importing_for_good():
            assert not gc.isenabled()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 1_000
    finally:
        gc.unfreeze()
