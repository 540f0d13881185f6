"""The compiled plan."""

from confrag.plan.compile import compile_plan
from confrag.plan.draw import describe, draw
from confrag.plan.model import Plan

__all__ = ["Plan", "compile_plan", "describe", "draw"]
