import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command


@command("pb-cat", "Read records from any source and write them as a plain stream.",
         description="""\
SOURCE is a file, a folder (all files below it, by name, without hidden ones), a glob, `-` for standard input, a topic of Kafka,
or a pattern: {DATE(20260101,20260131)} stands for days or, with ten digits, hours; {INT(0,15)} for numbers; both ends are
included. Names a pattern stands for that do not exist are left out, as long as one exists. Sources are read in the order given.

The output is the bare wire that all stream commands read: an eight-byte little-endian length, then the message. Records
leave byte for byte as they came; with --lagrangex-header the data source key is put into the record, since the wire has no
place for it.

Reads in constant memory. A record that is cut off at the end of a source is an error; --on-bad-record skip tolerates it.

With --follow a record that is not whole yet is waited for. A file that shrinks is read from its start again, a file that is
replaced is read to its end and then the new one; both are reported. Packed files have to appear whole. The stream ends at a
record.

\b
A topic is kafka://HOST:PORT[,HOST:PORT]/TOPIC[,TOPIC][?KEY=VALUE&...], with these keys:
  group      consumer group, which remembers how far it has read; without one all
             partitions are read and nothing is remembered
  offset     where to begin: beginning, end, stored, N, -N (before the end), or s@MS
             (the first message of that time or later, in milliseconds since 1970).
             Default: stored with a group, else beginning. With a group it counts
             only where the group has nothing stored.
  until      end: stop when all partitions were read to their end; e@MS: stop before
             that time. Default: go on until SIGTERM or SIGINT.
  timeout    seconds without a message after which reading ends. Default: never.
  partition  numbers with commas, without a group only. Default: all.
  messages   plain (one record each) or framed (frames as the options below say).
             Default: framed when a framing option is given.
  config     file of librdkafka properties, name=value a line; credentials and TLS
             belong there. Default: the file MONOLITH_KAFKA_CONFIG names.
  wait       seconds to look for a server, at the start and when all are lost,
             before leaving with 69. Default: 30.
Further keys with a dot are properties of librdkafka that are not secret.

The offsets of a group are committed, at most a second later, when the records have been written to standard output, or with
-o when the file is in its place. What was written and not yet committed when the process is killed, or when its partition goes
to another member, comes again: every record at least once. A message with a broken record is committed only when
--on-bad-record passes over it.""",
         examples=[Example("All of January, whatever it is packed in, ten records of it", "pb-cat --limit 10 'log/{DATE(20260101,20260131)}/part-*' | pb-show"),
                   Example("TFRecord in, plain stream out", "pb-cat --format tfrecord train.tfrecord -o train.pb"),
                   Example("Whatever comes to a folder, until nothing comes for two seconds",
                           "pb-cat --follow --follow-timeout 2 log/ | pb-filter --where 'actions any [1, 2]' -o likes.pb"),
                   Example("A topic from where the group stopped, into a file", 'pb-cat "kafka://$BROKER/events?group=daily&until=end" -o events.pb'),
                   Example("The second of four workers takes its share", "pb-cat --shard 1/4 'log/part-*.zst' | pb-stat")],
         exits={65: "a source is broken: the message names it, the byte and the reason; what came before was passed on",
                66: "a source or topic does not exist, or a pattern matches nothing",
                69: "no server of Kafka can be reached", 73: "an output cannot be created"},
         see_also=["pb-head(1)", "pb-show(1)", "pb-filter(1)", "pb-publish(1)"], binary_output=True, reads_stdin=True)
@options.sources
@options.record_type
@options.framing
@click.option("--shard", metavar="I/N", help="Take share I (from 0) of N: every N-th file, or of a single source every N-th record. [default: all]")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="End after N records. [default: no limit]")
@click.option("--repeat", type=click.IntRange(min=0), metavar="N", default=1, show_default=True,
              help="Read all sources N times over; 0 means without end. Standard input can be read once only.")
@click.option("--follow", is_flag=True,
              help="Go on when all is read: wait for files to grow and for new ones in the folders and globs, until SIGTERM or SIGINT.")
@click.option("--follow-interval", type=click.FloatRange(min=0.01), default=0.5, show_default=True, metavar="SECONDS",
              help="How often to look for something new.")
@click.option("--follow-timeout", type=click.FloatRange(min=0), metavar="SECONDS",
              help="End when nothing has come for so long. [default: never]")
@options.on_bad_record
@options.output
def main(sources, record_type, framing, shard, limit, repeat, follow, follow_interval, follow_timeout, on_bad_record, output, run):
    from monolith_cli.records.chain import run_chain
    from monolith_cli.records.framing import Framing

    framing, readers = Framing(**framing, record_type=record_type), None
    if follow:
        from monolith_cli.records.follow import follow_readers

        if shard or repeat != 1:
            raise click.UsageError("--follow does not go with --shard and --repeat")
        readers = follow_readers(sources, framing, interval=follow_interval, timeout=follow_timeout, log=run.log)
    run_chain(sources, framing=framing, output=output, limit_in=limit, shard=shard, repeat=repeat, readers=readers,
              on_bad_record=on_bad_record, run=run)
