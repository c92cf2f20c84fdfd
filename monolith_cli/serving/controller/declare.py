"""Declaring an export, and moving its sub graphs into and out of layouts."""

from __future__ import annotations

import fnmatch
import os

from monolith_cli import errors
from monolith_cli.serving.controller.backends import ControllerBackend
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.paths import SavedModel
from monolith_cli.serving.zookeeper.records import SavedModelDeployConfig

_REMOTE_PREDICT = "TfServingRemotePredict"
_MAX_SAVED_MODEL = 2**31 - 1


def find_model_name(export_base: str) -> str | None:
    """The model that the entry's newest version asks its parameter servers for; None where it asks for none.

    It is the attribute `model_name`, up to a colon, of the first remote-predict node of the graph or its functions.
    """
    entry = os.path.join(export_base, "entry")
    try:
        versions = [
            v for v in os.listdir(entry) if v.isascii() and v.isdigit() and os.path.isdir(os.path.join(entry, v))
        ]
    except OSError as e:
        raise errors.NoInputError(f"{entry}: {e.strerror}") from None
    if not versions:
        raise errors.NoInputError(f"{entry}: there is no version in it (a folder with a number for a name)")
    path = os.path.join(entry, max(versions, key=int), "saved_model.pb")
    try:
        with open(path, "rb") as f:
            data = f.read(_MAX_SAVED_MODEL)
    except OSError as e:
        raise errors.NoInputError(f"{path}: {e.strerror}") from None
    return _model_name_in(data, path)


def _model_name_in(data: bytes, path: str) -> str | None:
    from google.protobuf.message import DecodeError

    from monolith_cli.serving.protos import saved_model_pb2

    try:
        saved = saved_model_pb2.SavedModel.FromString(data)
    except DecodeError:
        raise errors.BadDataError(f"{path}: this is no SavedModel") from None
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        for node in (*graph.node, *(n for f in graph.library.function for n in f.node_def)):
            if node.op == _REMOTE_PREDICT and (
                name := node.attr["model_name"].s.decode("utf-8", "replace").partition(":")[0]
            ):
                return name
    return None


def sub_graphs(export_base: str) -> list[str]:
    """Names of the folders of an export that are sub graphs, sorted; hidden and temporary ones are not."""
    try:
        names = os.listdir(export_base)
    except OSError as e:
        raise errors.NoInputError(f"{export_base}: {e.strerror}") from None
    return sorted(n for n in names if not n.startswith((".", "temp-")) and os.path.isdir(os.path.join(export_base, n)))


def declare_saved_model(
    backend: ControllerBackend,
    export_base: str,
    model_name: str | None = None,
    overwrite: bool = False,
    arch: str = "entry_ps",
    dry_run: bool = False,
    log=None,
) -> dict:
    """Declares every sub graph of an export: `latest` for the entry, `latest_once` for the others.

    Returns {"model": name, "sub_graphs": {sub graph: {"model_base_path", "version_policy"}}}. model_name stands in for
    the name in the export where that has none; where both are there and differ, the given one counts and is warned of.
    CannotCreateError where the model is declared already, without `overwrite`.
    """
    if arch != "entry_ps":
        raise errors.UsageError(f"--arch {arch}: only entry_ps is known")
    export_base = os.path.abspath(export_base)
    names = sub_graphs(export_base)
    found = find_model_name(export_base)
    if model_name and found and model_name != found and log:
        log.warning(f"the export is of the model {found}; it is declared as {model_name}")
    model = model_name or found
    if not model:
        raise errors.UsageError(f"{export_base}: the entry names no model; give --model-name")
    saved_models = {name: SavedModel(model, name) for name in names}
    if (there := backend.list_saved_models(model)) and not overwrite:
        raise errors.CannotCreateError(
            f"{model} is declared already, with {len(there)} sub graphs; give --overwrite to declare it anew"
        )
    configs = {
        n: SavedModelDeployConfig(os.path.join(export_base, n), "latest" if n == "entry" else "latest_once")
        for n in names
    }
    if not dry_run:
        for name, config in configs.items():
            backend.decl_saved_model(saved_models[name], config)
    return {
        "model": model,
        "sub_graphs": {
            n: {"model_base_path": c.model_base_path, "version_policy": c.version_policy} for n, c in configs.items()
        },
    }


def parse_pattern(text: str) -> tuple[str, str]:
    """`<model>:<glob>` -> its parts."""
    model, colon, pattern = text.partition(":")
    if not colon or not model or not pattern:
        raise errors.UsageError(f"{text!r}: must be MODEL:PATTERN, as in ffm:ps_*")
    return model, pattern


def matching(backend: ControllerBackend, pattern: str, layout_path: str, action: str) -> list[SavedModel]:
    """The sub graphs a `pub` of the pattern would add to the layout, or an `unpub` take out of it; sorted.

    `pub` looks among what is declared (NoInputError where nothing of the model is), `unpub` among what the layout has.
    """
    model, glob = parse_pattern(pattern)
    laid_out = {SavedModel.parse(e) for e in backend.layout(layout_path) if e.startswith(f"{model}:")}
    if action == "unpub":
        return sorted(s for s in laid_out if fnmatch.fnmatchcase(s.sub_graph, glob))
    declared = backend.list_saved_models(model)
    if not declared:
        raise errors.NoInputError(
            f"{paths.saved_model_path(backend.bzid, model)}: nothing of {model} is declared; "
            "`agent-controller decl` does that"
        )
    return sorted(s for s in declared - laid_out if fnmatch.fnmatchcase(s.sub_graph, glob))


def map_model_to_layout(
    backend: ControllerBackend, saved_models: list[SavedModel], layout_path: str, action: str
) -> None:
    """Adds (`pub`) sub graphs to a layout or takes them out (`unpub`)."""
    for saved_model in saved_models:
        if action == "pub":
            backend.add_to_layout(layout_path, saved_model)
        else:
            backend.remove_from_layout(layout_path, saved_model)
