"""What `agent-controller` and `serving-client` do with declarations and layouts, and print of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from monolith_cli.serving.controller import declare as d
from monolith_cli.serving.controller.backends import ZKBackend
from monolith_cli.serving.zookeeper import paths
from monolith_cli.serving.zookeeper.connection import ZkConfig, connect


@contextmanager
def open_backend(bzid: str, config: ZkConfig, log) -> Iterator[ZKBackend]:
    """The namespace of a business id, for as long as a command runs."""
    paths.part(bzid, "--bzid")
    with connect(config, log) as connection:
        yield ZKBackend(bzid, connection)


def _print(text: str, blank: bool = True) -> None:
    # The original prints an empty line first, and scripts that cut its output count on it.
    sys.stdout.write(("\n" if blank else "") + text + "\n")


def show_info(backend: ZKBackend, as_json: bool) -> None:
    _print(json.dumps(backend.bzid_info(), indent=None if as_json else 2), blank=not as_json)


def declare(
    backend: ZKBackend, export_base: str, model_name: str, overwrite: bool, arch: str, dry_run: bool, as_json: bool, run
) -> None:
    done = d.declare_saved_model(backend, export_base, model_name or None, overwrite, arch, dry_run, run.log)
    if as_json:
        _print(json.dumps(done | {"dry_run": dry_run}), blank=False)
        return
    lines = [
        f"{done['model']}:{n}\t{c['model_base_path']}\t{c['version_policy']}" for n, c in done["sub_graphs"].items()
    ]
    _print("\n".join(lines))
    run.log.summary(f"{'would declare' if dry_run else 'declared'} {done['model']}, sub graphs {len(lines)}")


def publish(
    backend: ZKBackend,
    action: str,
    pattern: str,
    layout: str,
    dry_run: bool,
    as_json: bool,
    confirm: Callable[[str], bool],
    run,
) -> None:
    """pub and unpub. `confirm` is asked before something is taken out of a layout."""
    path = paths.layout_path(backend.bzid, layout)
    saved_models = d.matching(backend, pattern, path, action)
    verb = "add to" if action == "pub" else "take out of"
    run.nothing_to_do = not saved_models
    todo = bool(saved_models) and not dry_run
    if todo and action == "unpub":
        todo = confirm(f"take {', '.join(map(str, saved_models))} out of the layout {path}")
    if todo:
        d.map_model_to_layout(backend, saved_models, path, action)
    if as_json:
        _print(
            json.dumps(
                {
                    "layout": path,
                    "action": action,
                    "changed": [str(s) for s in saved_models] if todo or dry_run else [],
                    "dry_run": dry_run,
                    "saved_models": backend.layout(path),
                }
            ),
            blank=False,
        )
        return
    _print("\n".join(map(str, saved_models if todo or dry_run else [])))
    what = f"{verb} {path}: {len(saved_models)} sub graphs"
    run.log.summary(
        f"would {what}"
        if dry_run
        else f"done: {what}"
        if todo
        else "nothing to do: nothing matches that is not so already"
        if not saved_models
        else "nothing was changed"
    )
