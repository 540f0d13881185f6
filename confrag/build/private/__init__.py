"""The one package that touches LazyLLM's private names; nothing else in confrag reaches behind its public ones."""
