"""The aggressive variant; what makes it so is in overlays/aggressive.yaml."""

from sigil_ext.bridge.strategy import VariantStrategy


class Aggressive(VariantStrategy):
    variant = "aggressive"
