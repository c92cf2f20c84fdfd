"""`python -m monolith_cli COMMAND …` runs a command as if it had been typed: what the launchers in bin/ do."""

import gc
import sys

from monolith_cli.commands import COMMANDS, load


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.stderr.write(f"usage: python -m monolith_cli COMMAND …\ncommands: {', '.join(sorted(COMMANDS))}\n")
        sys.exit(2)
    name = sys.argv[1]
    gc.disable()  # nothing that is imported here ever becomes garbage
    command = load(name)
    gc.freeze()
    gc.enable()
    command.main(sys.argv[2:], prog_name=name)


if __name__ == "__main__":
    main()
