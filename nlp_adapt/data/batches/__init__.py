"""From rows to padded pairs of both domains."""
