"""The parts of the shared handler, which `base_handler` offers to its callers."""
