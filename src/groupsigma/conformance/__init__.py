"""Every adapter beside its trainer's own code, on the same recorded groups; and the traps that code falls into."""
