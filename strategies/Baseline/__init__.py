"""The baseline variant; what makes it so is in overlays/baseline.yaml."""

from sigil_ext.bridge.strategy import VariantStrategy


class Baseline(VariantStrategy):
    variant = "baseline"
