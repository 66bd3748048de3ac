"""SQL over the engine's tables, in a process of its own; and journals as their readers see them."""
