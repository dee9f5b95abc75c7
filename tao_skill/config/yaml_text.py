"""YAML in and out, the same for specs, templates and override values."""

import re
from typing import Any

import yaml

from tao_skill.errors import SpecError

__all__ = ["dump_yaml", "load_yaml"]


class _Loader(yaml.SafeLoader):
    """The safe loader, with scalars nearer to YAML 1.2.

    1e-4 is a number, not a text; dates, 12:30 and 0123 are texts, not objects or other numbers. A document that holds
    itself is refused.
    """

    def construct_document(self, node: yaml.Node) -> Any:
        """Build all that is below a node before the node itself, so that one that stands below itself is noticed."""
        self.deep_construct = True
        return super().construct_document(node)


_OTHER = {f"tag:yaml.org,2002:{name}" for name in ("float", "int", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _OTHER]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"""^[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
        |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?
        |[0-9][0-9_]*[eE][-+]?[0-9]+
        |\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


class _Dumper(yaml.SafeDumper):
    """The safe dumper: list items stand indented below their key, texts that look like numbers in quotes."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, False)


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def load_yaml(text: str, source: str = "the text") -> Any:
    """Parse one YAML document; JSON is YAML too.

    Raises:
        SpecError: the text is not YAML; the message names the source and the line.
    """
    try:
        # _Loader is a SafeLoader: it builds plain data only.
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also numbers of thousands of digits, and depth
        said = "it is too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise SpecError(f"{source} is not valid YAML: {said}") from error


def dump_yaml(value: Any) -> str:
    """Write plain data as YAML, keys in the order given."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
