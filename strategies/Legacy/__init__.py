"""The legacy variant; what makes it so is in overlays/legacy.yaml."""

from sigil_ext.bridge.strategy import VariantStrategy


class Legacy(VariantStrategy):
    variant = "legacy"
