"""The moderate variant; what makes it so is in overlays/moderate.yaml."""

from sigil_ext.bridge.strategy import VariantStrategy


class Moderate(VariantStrategy):
    variant = "moderate"
