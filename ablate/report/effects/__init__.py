"""Effects by variant, place, kind, ratio, control and context, in words, tables and figures."""
