import click

from monolith_cli.commands import options
from monolith_cli.commands.frame import Example
from monolith_cli.commands.operator_command import operator_command


@operator_command("pb-split", "Split a stream into flows.",
         description="""\
Each record goes, byte for byte as it came, to the one flow it belongs to; records of a flow keep their order. Which one that is
says --by: the data_source_key of the record, which is that of the flow's name (the Java hash of the name, shifted left by 8); or a
field of its line id, whose value is the name of the flow; or hash:FIELD or turn, by which all flows get about as much, whatever
their names. Two names with the same code are refused.

PATH is a file, which appears whole at the end, after an error not at all; a FIFO, which is written as records come; or `-`, standard
output. Several flows may go to one PATH.

A FIFO is waited for until it has a reader. A reader that is slow holds up the others: nothing is lost, and no more is kept in
memory than a buffer each, so all flows have to be read at the same time. When the reader of one flow goes, the others are served
on, and what it missed is counted as reader_gone at the end; when none is left, pb-split ends as by SIGPIPE (141).""",
         examples=[Example("By the flow a record came from",
                           "pb-split --flow pc=pc.pb --flow mobile=mobile.pb --unmatched rest.pb clicks.pb"),
                   Example("By a field, one of the flows to the next command",
                           "pb-split --by chnid --flow 1=- --flow 2=two.pb --unmatched drop clicks.pb | pb-stat"),
                   Example("In two for training and testing by user, and together again",
                           "mkfifo a b; pb-split --by hash:uid --flow a=a --flow b=b clicks.pb & pb-merge a b | pb-stat; wait")],
         see_also=["pb-merge(1)", "pb-filter(1)", "pb-cat(1)"], binary_output=lambda values: any(f.endswith("=-") for f in values["flows"]) or values["unmatched"] == "-")
@click.option("--flow", "flows", multiple=True, required=True, metavar="NAME=PATH", help="Where records of this flow go; once for each.")
@click.option("--by", default="flow", show_default=True, metavar="flow|FIELD|hash:FIELD|turn", help="What tells the flow of a record.")
@click.option("--unmatched", default="error", show_default=True, metavar="drop|error|PATH",
              help="What to do with a record of no flow: leave it out, take it for a bad record, or write it there.")
def main(record_type, flows, by, unmatched):
    from monolith_cli.operators.flows import SplitConfig, parse_flow

    return [SplitConfig(tuple(map(parse_flow, flows)), record_type, by, unmatched).operator()]
