"""The text of a proposed pipeline file: its keys, with the reasons as comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.commands.init.propose import Choice
from pipeline.config import json_schema, yaml_file

_WIDTH = 100
# Each line works as it is without its `# `, in its place.
_DATA = {
    "spans": "spans: {latest: 30}                      # read the newest 30 spans. {} reads all of them",
    "time": "split: {by: time, eval_fraction: 0.1}    # evaluate the newest pairs",
    "": "duplicates: last                         # of equal pairs, the last one counts",
}
_OTHERS = """\
# All other keys have defaults (docs/pipeline-file.md, `kindred check --show`). Some that are often changed:
# model: {dimension: 64}                     # without it, the Trainer chooses settings on held-out rows
# evaluate:
#   bless:                                   # what a model needs to be published
#     - {metric: METRIC, better_than: baseline}
"""


def write_text(
    name: str, path: str, settings: Mapping[str, Any], chosen: Mapping[str, Choice], about: str, has_spans: bool
) -> str:
    """Returns the text of a pipeline file.

    Args:
      name: of the pipeline.
      path: `data.path`.
      settings: further keys of section `data`.
      chosen: the column of each role.
      about: describes the data, one sentence to a line.
      has_spans: whether the path has spans.
    """
    # Editors with a YAML language server complete and check keys with it.
    lines = [f"# yaml-language-server: $schema={json_schema.FILE.as_uri()}"]
    lines += ["# A proposal of kindred init. Read it, and change what is wrong.", *_entry({"name": name}, 0), "data:"]
    lines += [line for sentence in about.splitlines() for line in _comment(sentence, 2)]
    lines += [*_entry({"path": path}, 2), *_entry(dict(settings), 2), "  columns:"]
    for role, choice in chosen.items():
        lines += [*_comment(choice.why, 4), *_entry({role: choice.column}, 4)]
    if "score" not in chosen:
        lines += _comment("No score: every pair is a positive, and the model learns which pairs are likely.", 4)
    metric = "rmse" if "score" in chosen else "ndcg@10"
    lines.append("  # Often changed:")
    given = {"", *chosen, *(["spans"] if has_spans else [])}
    lines += [f"  # {line}" for needs, line in _DATA.items() if needs in given]
    return "\n".join([*lines, "", _OTHERS.replace("METRIC", metric)])


def _entry(tree: dict[str, Any], indent: int) -> Iterator[str]:
    """Yields keys as YAML. Characters beyond ASCII are escaped if YAML has no plain form of them."""
    if not tree:
        return
    text = yaml_file.dump(tree, allow_unicode=all(map(_is_plain, tree.values())))
    yield from textwrap.indent(text, " " * indent).splitlines()


def _is_plain(value: object) -> bool:
    return not isinstance(value, str) or value.isprintable()


def _comment(text: str, indent: int) -> Iterator[str]:
    """Yields a comment. Names come from data, so that characters that break lines are escaped."""
    printable = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    for line in textwrap.wrap(printable, _WIDTH - indent):
        yield f"{' ' * indent}# {line}"
