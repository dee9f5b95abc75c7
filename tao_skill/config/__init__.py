"""What may be set: the dataclasses, the single source of schemas, templates, tables and checks.

The dataclasses are in ``actions``; they are not loaded with this package, for most small commands need none of them.
"""

from tao_skill.config.action_names import ACTIONS, DEPLOY_ACTIONS

__all__ = ["ACTIONS", "DEPLOY_ACTIONS"]
