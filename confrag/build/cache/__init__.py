"""Answers, or what was retrieved, kept for the next time that the same is asked."""

from confrag.build.private.imports import import_lazyllm

# Modules here use LazyLLM's nodes and flows.
import_lazyllm()
