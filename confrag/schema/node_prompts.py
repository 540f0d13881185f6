"""The prompts by which a chat model writes nodes, unless a configuration brings its own.

``{text}`` stands for the parent's text. One message, without a system part: not every chat template has one. No example
of a pair: small models copy it, and it would be found as if it came from the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["NODE_PROMPTS", "TEXT"]

TEXT = "{text}"
"""Stands in a prompt for the text of the parent node."""

_QA_EN = """\
Below is a passage of a document. Write up to five questions that a reader may have and that the passage answers, \
each with its answer. A question must be clear to somebody who does not see the passage: name the people, things and \
dates that it is about. An answer takes its facts from the passage alone, in one or two sentences.

Write in English. Begin the line of each question with "Q:" and the line of its answer with "A:", and write nothing \
else. If the passage holds nothing that can be asked, write only: NONE

Passage:
{text}"""

_QA_ZH = """\
下面是一篇文档中的一个段落。请写出读者可能提出、并且该段落能够回答的问题，最多五个，并给出每个问题的答案。\
没有看到段落的人也应当能看懂问题，因此请写明问题所涉及的人物、事物和日期。答案只依据该段落，用一两句话写成。

请用中文书写。每个问题单独一行，以“问：”开头；答案写在下一行，以“答：”开头；不要写其他内容。如果段落中没有可以提问的内容，只写：无

段落：
{text}"""

_SUMMARY_EN = """\
Below is a passage of a document. Summarise it in English, in two or three sentences. Keep its names, numbers and \
dates, add nothing that it does not say, and write the summary alone, without an introduction.

Passage:
{text}"""

_SUMMARY_ZH = """\
下面是一篇文档中的一个段落。请用中文写出两三句话的摘要，保留其中的名称、数字和日期，\
不要添加段落中没有的内容，只写摘要本身，不要写开场白。

段落：
{text}"""

NODE_PROMPTS: Mapping[str, Mapping[str, str]] = {
    "llm_qa": {"en": _QA_EN, "zh": _QA_ZH},
    "llm_summary": {"en": _SUMMARY_EN, "zh": _SUMMARY_ZH},
}
"""Kind of the transform -> language -> prompt."""
