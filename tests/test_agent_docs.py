"""The page on operations says of the agent's keys what the configuration record has, and its examples are configurations."""

import re

import pytest
from conftest import ROOT

from monolith_cli.serving.agent.config import FIELDS, kind_of, load_config

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### (.*?)\n(?:(?!^#).*\n)*?```conf\n((?:.*\n)*?)```", PAGE, re.M)
ENVIRON = {"SHARD_ID": "1", "MONOLITH_HOST_SHARD_N": "4", "TCE_INTERNAL_IDC": "lf", "TCE_CLUSTER": "default"}


def shown(default):
    return "none" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def test_the_tables_have_every_key_with_its_default_and_meaning():
    rows = re.findall(r"^\| `(\w+)` \| (bool|int|float|str|list) \| (.*?) \| (.*) \|$", PAGE, re.M)
    by_group = sorted(FIELDS, key=lambda f: ("server", "agent", "own", "port").index(f.metadata["group"]))
    assert rows == [(f.name, kind_of(f), shown(f.default), f.metadata["help"]) for f in by_group]


@pytest.mark.parametrize("text", [text for _, text in EXAMPLES], ids=[title for title, _ in EXAMPLES])
def test_the_examples_are_configurations(text, tmp_path):
    (tmp_path / "agent.conf").write_text(text)
    told = []
    config = load_config(tmp_path / "agent.conf", ENVIRON, told.append)
    config.check()
    assert told == []
    config.release_ports()


def test_there_are_examples():
    assert len(EXAMPLES) == PAGE.count("```conf") >= 4
