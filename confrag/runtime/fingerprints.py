"""What the rows of a node group depend on: when one of it changes, the group is built again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from confrag.build.models.fingerprint import fingerprint as model_fingerprint
from confrag.build.nodes import FORMAT
from confrag.build.private.nodes import ROOT_GROUP
from confrag.plan.compile import OF_THE_QUERY, corpus_paths, params_of_rows
from confrag.plan.model import GroupPlan, Plan, canonical, thaw
from confrag.schema.nodes import ROOT

__all__ = ["GroupRecipe", "recipes"]

_FORMAT = "confrag"


@dataclass(frozen=True, slots=True)
class GroupRecipe:
    """How the rows of a node group are made.

    Attributes:
        group: its name; `ROOT_GROUP` for whole documents.
        parent: the group it is cut from; None for whole documents.
        values: key of the configuration -> value, of the group alone.
        fingerprint: of the values and of everything above, 16 hexadecimal digits.
    """

    group: str
    parent: str | None
    values: Mapping[str, Any]
    fingerprint: str

    def reasons(self, before: Mapping[str, Any]) -> tuple[str, ...]:
        """Which keys changed, when the rows that are stored were made of `before`; none: something above did."""
        changed = [key for key in {**before, **self.values} if before.get(key) != self.values.get(key)]
        if _FORMAT in changed:
            return ("this version of confrag makes other nodes",)
        # Keys come and go with a kind, or a model, that is named itself.
        changed = [key for key in changed if key in before and key in self.values] or changed
        # The digest of a model changes with each of its keys, which say more.
        return tuple(f"{key} changed" for key in changed if not any(other.startswith(f"{key}.") for other in changed))


def recipes(plan: Plan) -> dict[str, GroupRecipe]:
    """Group -> recipe, whole documents first, parents before children."""
    # Nodes know where their file lies. Only at a place that the user named may another corpus come to the same rows.
    root = {_FORMAT: FORMAT, "corpus.path": corpus_paths(plan.corpus), **_flat("corpus.readers", plan.corpus.readers)}
    root |= _flat("doc_fields", plan.corpus.doc_fields)
    made = {ROOT_GROUP: _recipe(ROOT_GROUP, None, root)}
    for group in plan.groups:
        parent = ROOT_GROUP if group.parent == ROOT else group.parent
        made[group.name] = _recipe(group.name, made[parent], _values(plan, group))
    return made


def _values(plan: Plan, group: GroupPlan) -> dict[str, Any]:
    prefix = f"node_groups.{group.name}"
    values = {
        f"{prefix}.parent": group.parent,
        f"{prefix}.transform.kind": group.kind,
        **_flat(f"{prefix}.transform", params_of_rows(group)),
        f"{prefix}.embed": list(group.embed),
    }
    for name in (*group.embed, *filter(None, [group.model])):
        model = plan.model(name)
        params = {key: value for key, value in model.params.items() if key not in OF_THE_QUERY}
        values |= {f"models.{name}.kind": model.kind, **_flat(f"models.{name}", params)}
        # The fingerprint sees the files of a model, too.
        values[f"models.{name}"] = model_fingerprint(model)
    return values


def _recipe(group: str, parent: GroupRecipe | None, values: Mapping[str, Any]) -> GroupRecipe:
    above = parent.fingerprint if parent else None
    digest = hashlib.sha256(canonical([group, values, above]).encode()).hexdigest()[:16]
    return GroupRecipe(group, parent.group if parent else None, values, digest)


def _flat(prefix: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{key}": thaw(value) for key, value in params.items()}
