"""What `agent-client` does, a function a command, and what it prints: the original's output byte for byte, or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from monolith_cli import errors
from monolith_cli.serving.channel import Tls
from monolith_cli.serving.controller.portal import Portal, clean
from monolith_cli.serving.zookeeper import nodes, paths
from monolith_cli.serving.zookeeper.client import ZkConfig
from monolith_cli.serving.zookeeper.records import ModelMeta, State

# What `get` lists, by the word of --args.
_LISTED = {
    "res": paths.resource_root,
    "pub": paths.publish_root,
    "portal": paths.portal_root,
    "lock": paths.locks_root,
    "elect": paths.election_root,
}


@dataclass(frozen=True)
class Settings:
    """From the command line and the agent's configuration file. zk: how to reach ZooKeeper, made when it is needed."""

    zk: Callable[[], ZkConfig]
    agent: Callable[[], str]
    bzid: str | None = None
    model_name: str | None = None
    tls: Tls | None = None
    timeout_s: float = 10.0
    as_json: bool = False

    @contextmanager
    def portal(self, log) -> Iterator[Portal]:
        from monolith_cli.serving.zookeeper.connection import connect

        if not self.bzid:
            raise errors.UsageError("no business id: give --bzid, or --conf with a file that has it")
        paths.part(self.bzid, "--bzid")
        with connect(self.zk(), log) as connection:
            yield Portal(self.bzid, connection)


def _out(text: str) -> None:
    print(text)


def heart_beat(settings: Settings, server_type: str) -> None:
    from monolith_cli.serving.controller.agent_calls import AgentClient, heart_beat_text

    with AgentClient(settings.agent(), settings.tls, settings.timeout_s) as agent:
        found = agent.heart_beat(server_type)
    if settings.as_json:
        _out(json.dumps(found))
    elif found:
        _out(heart_beat_text(found))


def get_replicas(settings: Settings, server_type: str, task: int) -> None:
    from monolith_cli.serving.controller.agent_calls import AgentClient

    if not settings.model_name:
        raise errors.UsageError("gr needs --model-name, or --conf with a file that has base_name")
    with AgentClient(settings.agent(), settings.tls, settings.timeout_s) as agent:
        found = agent.get_replicas(server_type, task, settings.model_name)
    _out(
        json.dumps({"server_type": server_type, "task": task, "addresses": found})
        if settings.as_json
        else f"{server_type.upper()} {task}  =>  {found}"
    )


def addresses(settings: Settings, run) -> None:
    with settings.portal(run.log) as portal:
        if not portal.has_service(settings.model_name):
            run.nothing_to_do = True
            _out("[]" if settings.as_json else f"{settings.model_name} has not load !")
            return
        found = portal.replicas(settings.model_name)
    run.nothing_to_do = not found
    if settings.as_json:
        _out(json.dumps([{"path": r.path, "state": r.meta.state.name, **dataclasses.asdict(r.meta)} for r in found]))
        return
    for r in found:
        _out(
            f"{r.path}\tarchon_address: {r.meta.archon_address}\taddress: {r.meta.address}"
            f"\tstate: {State.of(r.meta.stat).name}"
        )


def listing(settings: Settings, what: str, run) -> None:
    with settings.portal(run.log) as portal:
        root = _LISTED[what](portal.bzid)
        found = portal.contents(root)
    run.nothing_to_do = not found
    if settings.as_json:
        _out(json.dumps({n: nodes.decode(paths.join(root, n), d)[1] or nodes.data_fields(d) for n, d in found or []}))
    elif found is None:
        _out(f"no {what} found !")
    elif not found:
        _out("{}")
    for name, data in found or [] if not settings.as_json else []:
        _out(f"{name} {data!r}")


def model_info(settings: Settings, model_dir: str | None, ckpt: str | None) -> None:
    from monolith_cli.serving.agent.resources import model_info as info

    if not model_dir:
        raise errors.UsageError("get info needs --model-dir, the folder of the exported models")
    found = info(model_dir, ckpt)
    _out(
        json.dumps({n: {"bytes": size, "path": path} for n, (size, path) in found.items()})
        if settings.as_json
        else str(found)
    )


def load(settings: Settings, meta: ModelMeta, overwrite: bool, run) -> None:
    with settings.portal(run.log) as portal:
        path = portal.load(meta, overwrite)
    if settings.as_json:
        _out(json.dumps({"path": path, **dataclasses.asdict(meta)}))
    run.log.info(f"{path} asks for {meta.model_name}")


def unload(settings: Settings, dry_run: bool, confirm: Callable[[str], bool], run) -> None:
    if not settings.model_name:
        raise errors.UsageError("unload needs --model-name, or --conf with a file that has base_name")
    with settings.portal(run.log) as portal:
        path = paths.portal_path(portal.bzid, paths.part(settings.model_name, "--model-name"))
        there = portal.connection.exists(path) is not None
        done = (
            there
            and not dry_run
            and confirm(f"take {settings.model_name} out of service ({path})")
            and portal.unload(settings.model_name)
        )
    run.nothing_to_do = not there
    if not there:
        run.log.warning(f"{path}: there is no such node; nothing to unload")
    if settings.as_json:
        _out(json.dumps({"path": path, "unloaded": bool(done), "dry_run": dry_run}))
    elif dry_run and there:
        _out(path)


def clean_nodes(settings: Settings, what: str, dry_run: bool, confirm: Callable[[str], bool], run) -> None:
    with settings.portal(run.log) as portal:
        removed = clean(portal, what, dry_run, confirm)
    run.nothing_to_do = not removed
    if settings.as_json:
        _out(json.dumps({"removed": removed, "dry_run": dry_run}))
    elif removed:
        _out("\n".join(removed))


def status(settings: Settings, run) -> None:
    """Of the small client: what is asked for, published and loaded of a model."""
    with settings.portal(run.log) as portal:
        state = portal.status(settings.model_name)
    _out(
        json.dumps(dataclasses.asdict(state))
        if settings.as_json
        else f"portal: {state.portal}\npublish: {state.publish}"
    )
    if not settings.as_json:
        for task, stat in sorted(state.service.items()):
            _out(f"{task}\t{State.of(stat).name}")


def ask_server(program: str, verb: str, arguments: list[str]) -> int:
    """meta, status and profile of a model server are those of tfs-client."""
    from monolith_cli.commands import load as command

    tfs_client = command("tfs-client")
    with tfs_client.make_context(f"{program} {verb}", [verb, *arguments]) as ctx:
        return tfs_client.invoke(ctx)
