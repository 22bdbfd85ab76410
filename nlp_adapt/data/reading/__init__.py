"""From bytes to rows that know their place."""
