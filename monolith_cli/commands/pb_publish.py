import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example, command
from monolith_cli.records import kafka_sink


class Pair(click.ParamType):
    def __init__(self, name: str):
        self.name = name

    def convert(self, value, param, ctx):
        name, equals, text = value.partition("=") if isinstance(value, str) else (value[0], "=", value[1])
        if not equals or not name:
            self.fail(f"'{value}': write {self.name}", param, ctx)
        return name, text


@command("pb-publish", "Send records to a topic of Kafka.",
         description="""\
Sends every record of the sources to TARGET, kafka://HOST:PORT[,HOST:PORT]/TOPIC, which must exist. Credentials and TLS stand in
a file of librdkafka properties, name=value a line, that ?config=FILE in TARGET or $MONOLITH_KAFKA_CONFIG names:
security.protocol, sasl.mechanism, sasl.username, sasl.password, ssl.ca.location and so on. ?wait=SECONDS says how long to look
for a server (default 30).

A message is one record as it stands, or with --messages framed several in frames, as pb-cat 'kafka://…?messages=framed' reads
them; a message is closed when it has --records-per-message records, when its key changes, and when the input has nothing more
at hand. Messages with equal keys go to the same partition, the one that Java's client chooses.

Leaves with 0 when the servers have confirmed every message (acks=all). Within one run a message is neither lost nor doubled nor
put out of order when a server goes away and comes back. A run that fails says how many messages are confirmed; the
confirmed ones stay, so that a second run doubles them. SIGTERM and SIGINT end reading and wait for the confirmations.

A SOURCE may be a topic itself: offsets of its group are then committed once the records read from it are confirmed. Through a
pipe, pb-cat commits them when the pipe took the records.""",
         examples=[Example("Clicks of a file, users kept together, to a topic and back",
                           'pb-publish --key uid "kafka://$BROKER/clicks" clicks.pb && pb-cat "kafka://$BROKER/clicks?until=end" | pb-stat'),
                   Example("What is liked in one topic into another",
                           'pb-cat "kafka://$BROKER/events?group=likes&until=end" | pb-filter --where \'actions any [1]\' '
                           '| pb-publish -z zstd "kafka://$BROKER/likes"'),
                   Example("A copy of a topic that nothing can get lost in: an offset is committed when its record is confirmed",
                           'pb-publish "kafka://$BROKER/clicks" "kafka://$BROKER/events?group=copy&until=end"')],
         exits={65: "a source or record is broken, or a record does not fit a message: the message names source, byte and reason; what "
                    "came before was sent", 66: "a source does not exist, or a pattern matches nothing",
                69: "no server can be reached, or messages were not confirmed in time: the message says how many are confirmed",
                73: "the topic or partition does not exist"},
         see_also=["pb-cat(1)", "pb-filter(1)"], reads_stdin=True)
@click.argument("target", metavar="TARGET")
@options.sources
@options.record_type
@click.option("--key", default="", metavar="FIELD",
              help="The field of LineId whose value, as text, is the key: uid, req_time, item_id, chnid, device_type, cid, user_id, rank or "
                   "data_source_name. A record in which it is 0, empty or missing has no key. [default: no keys]")
@click.option("-p", "--partition", type=click.IntRange(min=0), metavar="N", help="Send everything to this partition. [default: by key, else at random]")
@click.option("-H", "--header", "headers", type=Pair("NAME=VALUE"), multiple=True, metavar="NAME=VALUE",
              help="A header of every message. Repeatable. [default: none]")
@click.option("-z", "--codec", type=click.Choice(kafka_sink.CODECS), default="none", show_default=True, help="Compression of the messages.")
@click.option("--messages", type=click.Choice(["plain", "framed"]), default="plain", show_default=True,
              help="What a message holds: one record, or several in frames.")
@click.option("--frame-part", "frame_parts", type=click.Choice(kafka_sink.FRAME_PARTS), multiple=True,
              help="framed: what each frame has before its length; zeros, but lagrangex, which holds the data source key. Repeatable. "
                   "[default: nothing]")
@click.option("--records-per-message", type=click.IntRange(min=1), default=100, show_default=True, metavar="N",
              help="framed: close a message at this many records.")
@click.option("--timeout", type=click.FloatRange(min=1, max=86400), default=120.0, show_default=True, metavar="SECONDS",
              help="How long a message may wait for its confirmation before the run fails.")
@click.option("-X", "--property", "properties", type=Pair("NAME=VALUE"), multiple=True, metavar="NAME=VALUE",
              help="A property of librdkafka that is not secret. Repeatable. [default: none]")
@options.framing
@options.on_bad_record
@options.stats
def main(target, sources, record_type, key, partition, headers, codec, messages, frame_parts, records_per_message, timeout, properties,
         framing, on_bad_record, stats, run):
    from monolith_cli.records.framing import Framing

    if frame_parts and messages == "plain":
        raise click.UsageError("--frame-part goes with --messages framed")
    config = kafka_sink.PublishConfig(
        target=target, record_type=record_type, key=key, partition=partition, headers=headers, codec=codec,
        framed=messages == "framed", frame_parts=frame_parts, max_records=records_per_message, timeout=timeout, properties=properties)
    kafka_sink.publish(sources, config, framing=Framing(**framing, record_type=record_type), on_bad_record=on_bad_record, stats=stats, run=run)
