"""The unhinged variant; what makes it so is in overlays/unhinged.yaml."""

from sigil_ext.bridge.strategy import VariantStrategy


class Unhinged(VariantStrategy):
    variant = "unhinged"
