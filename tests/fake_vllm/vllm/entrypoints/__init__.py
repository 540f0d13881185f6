"""A stand-in for vLLM: the same module, flags and answers, and a checkpoint that says how it behaves."""
