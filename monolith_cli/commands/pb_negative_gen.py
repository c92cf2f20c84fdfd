import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command

_INT32 = click.IntRange(-(1 << 31), (1 << 31) - 1)


@operator_command("pb-negative-gen", "Make negatives with the items of other records.",
         description="""\
For each positive record leave up to --neg-num negatives, then the record itself. A negative has the user and context features of
its positive and the item features, and item id, of an item drawn from a pool; its label at --label-index is --negative-label.

A record is positive when its label at --label-index is --positive-label, or, with --positive-action, when the action that counts
is one of those: the first, or of several the one that stands first in --action-priority. The item part of a record are the v1
fids of the slots (instance) or the features with the names (example) of --item-feature. The pool holds the items of the input
records, up to --max-item-num of a channel, the oldest being forgotten first; of an item known already the features stay as they
were. With --per-channel there is a pool for each value of --channel-feature, and --easy-hard-ratio of the negatives are drawn
from any channel. A channel gives items once it holds more than --start-num; until then positives leave without negatives.

All records get a weight: positives 1, other input --real-neg-instance-weight, negatives --sampled-neg-instance-weight if that is
given; else 1 + neg-num * age ^ decay / draws, where age is 1 for the newest item of the channel and 1/n for the oldest of n, and
draws is how often the item was drawn. Negatives of an example hold features, line id, labels and weight alone, unless --keep-all.

--pool-dir keeps the pool: it is loaded at the start and saved at the end, on SIGTERM and SIGINT, and every --save-every records,
as TFRecord files model.ckpt-STEP_item_pool_WORKER_SHARD_WORKERS. However a run ends, the folder holds the pool of its last save.
The worker is told by --worker-index and --worker-count, or by TF_CONFIG; after a change of their number worker i of N starts with
the pool of worker i modulo the number before. One run at a time keeps the pool of a worker.

The same seed, pool and input give the same output. Random are the item and, where asked for, its channel, and which items of
other than positive records are pooled (--origin-neg-in-pool-proba, in steps of 0.01).""",
         examples=[Example("Four negatives for each positive; the pool is kept for the next run",
                           "pb-negative-gen --seed 1 --neg-num 4 --item-feature 200,201 --start-num 10 --pool-dir pool clicks.pb | pb-stat"),
                   Example("By action, negatives alone, as examples",
                           "pb-negative-gen -t example --neg-num 2 --positive-action 2 --item-feature fc_slot_200 --start-num 0 "
                           "--negative-action 0 --throw-origin examples.pb -o negatives.pb")],
         exits={65: "a source, a record or a file of the pool is broken: the message names file, byte and reason",
                75: "another run keeps this pool (or holds --lock); try again later"},
         see_also=["pb-filter(1)", "pb-shuffle(1)", "pb-cat(1)"])
@click.option("--neg-num", type=click.IntRange(min=1), required=True, metavar="N", help="Negatives of a positive, at most.")
@click.option("--item-feature", "item_features", multiple=True, metavar="SLOT|NAME,…",
              help="What belongs to the item: v1 slots of an instance, feature names of an example; may be repeated. [default: none]")
@click.option("--per-channel", is_flag=True, help="Draw items of the same channel.")
@click.option("--channel-feature", default="", metavar="SLOT|NAME",
              help="Feature whose fid is the channel, for --per-channel. [default: slot 3 of an instance]")
@click.option("--index-feature", default="", metavar="SLOT|NAME", help="Feature whose fid tells items apart. [default: line_id.item_id]")
@click.option("--start-num", type=click.IntRange(min=0), default=500, show_default=True, metavar="N",
              help="A channel gives items when it holds more than this.")
@click.option("--max-item-num", type=click.IntRange(1, 1 << 30), default=100_000, show_default=True, metavar="N",
              help="Items a channel holds at most.")
@click.option("--label-index", type=click.IntRange(min=0), default=0, show_default=True, metavar="I", help="Which label tells positives.")
@click.option("--positive-label", type=float, default=1, show_default=True, metavar="X", help="Label of positives.")
@click.option("--negative-label", type=float, default=-1, show_default=True, metavar="X", help="Label that negatives get.")
@click.option("--positive-action", "positive_actions", multiple=True, metavar="N,…",
              help="These actions make a positive, whatever its label. [default: none, the label decides]")
@click.option("--action-priority", multiple=True, metavar="N,…", help="Which of several actions counts, best first. [default: the first action]")
@click.option("--negative-action", type=_INT32, default=-99999, show_default=True, metavar="N",
              help="The action that negatives get instead of those of their positive; -99999 leaves them.")
@click.option("--throw-origin", is_flag=True, help="Let no input record leave, negatives alone.")
@click.option("--throw-origin-neg", is_flag=True, help="Let no input record leave that is no positive.")
@click.option("--cache-only-pos/--cache-all", default=False, show_default=True, help="Pool the items of positives alone, or of all records.")
@click.option("--cache-negative-action", "cache_negative_actions", multiple=True, metavar="N,…",
              help="With --cache-only-pos: pool records with one of these actions as well. [default: none]")
@click.option("--origin-neg-in-pool-proba", type=float, default=1.0, show_default=True, metavar="P",
              help="Share of records that are no positives whose item is pooled; outside [0, 1) all.")
@click.option("--real-neg-instance-weight", type=float, default=1.0, show_default=True, metavar="W",
              help="Weight of input records that are no positives; up to 0.00001 stands for 1.")
@click.option("--sampled-neg-instance-weight", type=float, default=-1.0, show_default=True, metavar="W",
              help="Weight of negatives; up to 0.00001: see --unbias-sampled-neg.")
@click.option("--unbias-sampled-neg/--no-unbias-sampled-neg", default=True, show_default=True,
              help="Weigh negatives by age and draws of their item when no weight is given, or all 1.")
@click.option("--neg-sample-decay-factor", "--neg-sample-declay-factor", "neg_sample_decay_factor", type=float, default=1.0,
              show_default=True, metavar="X", help="Exponent of the age in that weight.")
@click.option("--easy-hard-ratio", type=float, default=0.0, show_default=True, metavar="P",
              help="Share of negatives drawn from any channel, with --per-channel.")
@click.option("--keep-all", is_flag=True, help="Let negatives of an example keep raw features, data_source_key and unknown fields.")
@click.option("--pool-dir", type=click.Path(file_okay=False), metavar="DIR", help="Keep the pool in this folder. [default: in memory alone]")
@click.option("--pool-step", type=click.IntRange(0, (1 << 64) - 1), default=0, show_default=True, metavar="N",
              help="Step the pool is saved as; it is loaded from the largest up to this one.")
@click.option("--pool-shards", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N",
              help="Files the pool is saved in; as many as when it was saved.")
@click.option("--save-every", type=click.IntRange(min=0), default=0, show_default=True, metavar="N",
              help="Save the pool each time after N input records; 0: at the end alone.")
@click.option("--worker-index", type=click.IntRange(0, (1 << 32) - 1), metavar="I", help="Which worker this is, from 0. [default: by TF_CONFIG, else 0]")
@click.option("--worker-count", type=click.IntRange(1, (1 << 32) - 1), metavar="N", help="How many workers there are. [default: by TF_CONFIG, else 1]")
@options.seed
def main(record_type, item_features, positive_actions, action_priority, cache_negative_actions, pool_dir, pool_step, pool_shards,
         worker_index, worker_count, **values):
    from monolith_cli.operators import numbers
    from monolith_cli.operators.item_pool import PoolConfig
    from monolith_cli.operators.negative_gen import NegativeGenConfig

    action = (-(1 << 31), (1 << 31) - 1)
    features = tuple(f for text in item_features for f in text.split(",") if f)
    pool = PoolConfig(pool_dir, pool_step, pool_shards, worker_index, worker_count) if pool_dir is not None else None
    config = NegativeGenConfig(
        record_type=record_type, item_features=features,
        positive_actions=numbers.integers(positive_actions, "--positive-action", *action),
        action_priority=numbers.integers(action_priority, "--action-priority", *action),
        cache_negative_actions=numbers.integers(cache_negative_actions, "--cache-negative-action", *action), pool=pool, **values)
    return [config.operator()]
