"""The click layer: one module per command, each maps options to one call of the layer below."""

# Command name -> module in this package. `monolith VERB` offers each under its name (without a leading `monolith-`).
COMMANDS = {
    "pb-cat": "pb_cat",
    "pb-convert": "pb_convert",
    "pb-feature": "pb_feature",
    "pb-filter": "pb_filter",
    "pb-gen": "pb_gen",
    "pb-head": "pb_head",
    "pb-label": "pb_label",
    "pb-merge": "pb_merge",
    "pb-negative-gen": "pb_negative_gen",
    "pb-pool": "pb_pool",
    "pb-publish": "pb_publish",
    "pb-reweight": "pb_reweight",
    "pb-run": "pb_run",
    "pb-shard-fids": "pb_shard_fids",
    "pb-show": "pb_show",
    "pb-shuffle": "pb_shuffle",
    "pb-split": "pb_split",
    "pb-stat": "pb_stat",
    "pb-transform": "pb_transform",
    "shard-fids": "shard_fids",
    "table-diff": "table_diff",
    "table-dump": "table_dump",
    "table-evict": "table_evict",
    "table-get": "table_get",
    "table-load": "table_load",
    "table-merge": "table_merge",
    "table-reshard": "table_reshard",
    "table-stat": "table_stat",
    "table-verify": "table_verify",
    "agent-client": "agent_client",
    "agent-controller": "agent_controller",
    "serving-client": "serving_client",
    "tfs-client": "tfs_client",
    "zk": "zk",
    "model-show": "model_show",
    "monolith-train": "monolith_train",
    "monolith-eval": "monolith_eval",
    "monolith-predict": "monolith_predict",
    "monolith-agent": "monolith_agent",
    "monolith-top": "monolith_top",
    "monolith-serve": "monolith_serve",
    "monolith": "monolith",
}

# Further names a verb answers to.
ALIASES = {"read-instances": "pb-cat"}


def verbs() -> dict[str, str]:
    """Verb of `monolith` -> command name."""
    names = {c.removeprefix("monolith-"): c for c in COMMANDS if c != "monolith"}
    return {**names, **ALIASES}


def load(name: str):
    """The click command of one command name."""
    import importlib

    return importlib.import_module(f"monolith_cli.commands.{COMMANDS[name]}").main
