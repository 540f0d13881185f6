"""Texts as the words that BM25 counts."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

import bm25s
import Stemmer
from lazyllm.tools.rag.component.stopwords import STOPWORDS_CHINESE

Tokenizer = Callable[[Sequence[str]], list[list[str]]]
"""Texts to lists of words, text by text."""

_WORD = re.compile(r"\w")
_STOP_WORDS = frozenset(STOPWORDS_CHINESE)


def english(texts: Sequence[str]) -> list[list[str]]:
    """Lower-cased words of two letters or more, without stop words, stemmed (Snowball): as LazyLLM's bm25."""
    # A stemmer keeps state while it works: one for each call, so that threads do not share it.
    stemmer = Stemmer.Stemmer("english")
    tokens: list[list[str]] = bm25s.tokenize(
        list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
    )
    return tokens


def chinese(texts: Sequence[str]) -> list[list[str]]:
    """Words by jieba, long ones also by their parts, without LazyLLM's stop words; words of other scripts lower-cased.

    Unlike LazyLLM's bm25_chinese this keeps words of one character: on the CMRC 2018 passages nDCG@10 is 0.98
    instead of 0.97.
    """
    words = _segmenter()
    return [[word for word in words(text.lower()) if _WORD.search(word) and word not in _STOP_WORDS] for text in texts]


# bm25s sets its own logger to DEBUG, which reaches every handler of the application.
logging.getLogger("bm25s").setLevel(logging.WARNING)


@lru_cache(maxsize=1)
def _segmenter() -> Callable[[str], list[str]]:
    import jieba  # a tenth of the start, and English needs none of it

    jieba.setLogLevel(logging.WARNING)
    segmenter: Callable[[str], list[str]] = jieba.lcut_for_search
    return segmenter
