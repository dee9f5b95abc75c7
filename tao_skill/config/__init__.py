"""What may be set: the dataclasses, the single source of schemas, templates, tables and checks."""

from tao_skill.config.actions import ACTIONS, DEPLOY_ACTIONS, spec_class

__all__ = ["ACTIONS", "DEPLOY_ACTIONS", "spec_class"]
