"""How near an answer is to what is known to be right, as SQuAD (English) and CMRC2018 (Chinese) measure it.

Sources: the evaluation scripts of SQuAD 1.1 (Rajpurkar et al. 2016) and of CMRC2018 (Cui et al. 2019). Marks of
citations (``[1]``) are taken out before, since the prompt asks for them.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from typing import Any

__all__ = ["answer_metrics", "contains", "exact_match", "f1", "without_citations"]

_CITATION = re.compile(r"\s*\[\d+\]")
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CHINESE = re.compile("[\u4e00-\u9fa5]")
_CHINESE_PUNCTUATION = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""What CMRC2018 takes out."""


def answer_metrics(answer: str, right: Sequence[str], language: str) -> dict[str, float]:
    """``exact_match``, ``f1`` and ``contains``, each the best over the right answers.

    Args:
        answer: what was answered.
        right: at least one; each of them is right.
        language: ``en`` or ``zh``.
    """
    said = without_citations(answer)
    return {
        "exact_match": max(float(exact_match(said, one, language)) for one in right),
        "f1": max(f1(said, one, language) for one in right),
        "contains": max(float(contains(said, one, language)) for one in right),
    }


def without_citations(answer: str) -> str:
    """The text without ``[1]`` and the like."""
    return _CITATION.sub("", answer)


def exact_match(answer: str, right: str, language: str) -> bool:
    """Whether two texts are the same but for case, punctuation, spaces, and articles in English."""
    return _normal(answer, language) == _normal(right, language)


def contains(answer: str, right: str, language: str) -> bool:
    """Whether the right answer stands in the text, word for word; what is nothing but punctuation never does."""
    said, wanted = _normal(answer, language), _normal(right, language)
    if language == "zh":
        return bool(wanted) and wanted in said
    return bool(wanted) and f" {wanted} " in f" {said} "


def f1(answer: str, right: str, language: str) -> float:
    """Harmonic mean of precision and recall, between 0 and 1.

    English counts the words that both have; Chinese the longest stretch of characters (and words of other scripts) that
    stands in both.
    """
    said, wanted = _tokens(answer, language), _tokens(right, language)
    if language == "zh":
        shared = SequenceMatcher(None, said, wanted, autojunk=False).find_longest_match().size
    else:
        shared = sum((Counter(said) & Counter(wanted)).values())
    if not shared:
        # SQuAD 2.0: nothing equals nothing.
        return float(not said and not wanted)
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _normal(text: str, language: str) -> str:
    if language == "zh":
        return "".join(text.lower().translate(_CHINESE_PUNCTUATION).split())
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _tokens(text: str, language: str) -> list[str]:
    return _segments(text) if language == "zh" else _normal(text, language).split()


def _segments(text: str) -> list[str]:
    """CMRC2018's mixed segmentation: each Chinese character by itself, what is between them by words."""
    found: list[str] = []
    between = ""
    for character in text.lower().strip().translate(_CHINESE_PUNCTUATION):
        if _CHINESE.match(character):
            found += [*_words(between), character]
            between = ""
        else:
            between += character
    return [*found, *_words(between)]


def _words(text: str) -> list[str]:
    found: list[str] = _tokenizer().tokenize(text) if text.strip() else []
    return found


@cache
def _tokenizer() -> Any:
    from nltk.tokenize import NLTKWordTokenizer  # what nltk.word_tokenize uses; alone, it needs no data files

    return NLTKWordTokenizer()
