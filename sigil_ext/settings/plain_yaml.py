"""YAML as a person reads it: 010 is not 8, 1:30 is not 90, 1e3 is a number and a date is text. Start at `read_value`.

PyYAML follows YAML 1.1, where all of that is otherwise. A number that can be taken for another one is refused, never read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from sigil_ext.errors import SettingsError

_WHOLE = r"(?:0|[1-9][0-9]{0,2}(?:_[0-9]{3})+|[1-9][0-9]{0,39})"
_INT = re.compile(rf"[-+]?{_WHOLE}")
_FLOAT = re.compile(rf"[-+]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# All that any YAML, Python or a clock would call a number; what of it is none of the three above is refused.
_LIKE_A_NUMBER = re.compile(
    rf"""^(?:{_NOT_FINITE.pattern}
    |[-+]?(?:0[xX][0-9a-fA-F_]*|0[bBoO][0-7_]*|[0-9][0-9_]*(?::[0-9]+)*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?
    |\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?))$""",
    re.VERBOSE,
)
_FLOAT_TAG = "tag:yaml.org,2002:float"
_READ_OTHERWISE = (_FLOAT_TAG, "tag:yaml.org,2002:int", "tag:yaml.org,2002:timestamp")


class PlainLoader(yaml.SafeLoader):
    """SafeLoader without the traps: plainly written numbers only, no dates."""

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Return the number that `node` plainly is."""
        text = str(self.construct_scalar(node))
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return float(text)
        if _NOT_FINITE.fullmatch(text):
            return float(text.replace(".", ""))
        raise self.unclear(text, node)

    def unclear(self, text: str, node: yaml.ScalarNode) -> SettingsError:
        """Return the error for a number that is not plain."""
        return SettingsError(f"'{text[:40]}' is not a plainly written value; write it like 10, 2.5 or 90m")


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _READ_OTHERWISE]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(_FLOAT_TAG, _LIKE_A_NUMBER, list("-+0123456789."))
for _tag in (_FLOAT_TAG, "tag:yaml.org,2002:int"):  # the second one for !!int
    PlainLoader.add_constructor(_tag, PlainLoader.construct_number)


def read_value(text: str) -> Any:
    """Return the value that `text` would be in an overlay.

    Raises:
        SettingsError: it is none, or a number that can be read in two ways.
    """
    try:
        return yaml.load(text, Loader=PlainLoader)
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
    ):  # ValueError: what an explicit tag such as !!timestamp cannot read
        raise SettingsError(f"'{' '.join(text.split())[:40]}' is not a value") from None
