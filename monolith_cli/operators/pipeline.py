"""The text of a chain: the stages of a shell pipe, without a shell.

Words are parted by blanks and line ends, stages by `|`. Single quotes take everything as it stands; in double quotes a
backslash goes before `"`, `\\`, `$` and a backquote; outside of quotes it goes before any character, and takes a line end
away. `#` at the beginning of a word starts a comment. Nothing is expanded: what a shell would act upon and this does not
(variables, redirections, several commands) is refused, so that a chain means here what it means in a shell.
"""

from __future__ import annotations

from dataclasses import dataclass

from monolith_cli import errors

_BLANKS = " \t\r\n"
_REFUSED = {
    "$": "a variable; nothing is expanded here, single quotes take it as it stands",
    "`": "a command in backquotes; nothing is expanded here, single quotes take it as it stands",
    "<": "a redirection; name sources behind the chain", ">": "a redirection; --output writes a file",
    "&": "&; a chain is one pipe", ";": "; parts commands, a chain is one pipe: stages are parted by |",
    "(": "a parenthesis; quote it", ")": "a parenthesis; quote it",
}


@dataclass(frozen=True)
class Word:
    """One argument, and where it stands in the text."""

    text: str
    begin: int
    end: int


@dataclass(frozen=True)
class Stage:
    """One command of a chain; it has one word at least."""

    number: int  # from 1
    words: tuple[Word, ...]

    @property
    def begin(self) -> int:
        return self.words[0].begin

    @property
    def end(self) -> int:
        return self.words[-1].end


class Pipeline:
    """The stages of a text. name: the file it comes from, "" for a command line.

    Raises UsageError, for a file ConfigError, with a caret under the mistake.
    """

    def __init__(self, text: str, name: str = ""):
        self.text, self.name = text, name
        self.stages = self._parse()

    def mistake(self, what: str, begin: int, end: int, kind: type[errors.Error] = errors.UsageError) -> errors.Error:
        """The error for a mistake between two places of the text; a mistake of usage is one of configuration in a file."""
        start = self.text.rfind("\n", 0, begin) + 1
        line = self.text[start:].split("\n", 1)[0].rstrip("\r")
        pad = "".join("\t" if c == "\t" else " " for c in line[:begin - start])
        marks = "^" + "~" * (min(end, start + len(line)) - begin - 1)
        where = f"{self.name}: line {self.text.count(chr(10), 0, begin) + 1}: " if self.name else ""
        if self.name and kind is errors.UsageError:
            kind = errors.ConfigError
        return kind(f"{where}{what}\n  {line}\n  {pad}{marks}")

    def _parse(self) -> tuple[Stage, ...]:
        stages: list[Stage] = []
        words: list[Word] = []
        at = bar = 0  # bar: the | before this stage
        while True:
            at = self._skip_blanks(at)
            end = at >= len(self.text)
            if end or self.text[at] == "|":
                if not words:
                    raise self._empty(at if not end else bar, end, bool(stages))
                stages.append(Stage(len(stages) + 1, tuple(words)))
                words = []
                if end:
                    return tuple(stages)
                bar, at = at, at + 1
                continue
            word, at = self._word(at)
            words.append(word)

    def _empty(self, at: int, end: bool, others: bool) -> errors.Error:
        if end and not others:
            return self.mistake("an empty chain; give commands like pb-filter --label 1 | pb-shuffle", 0, 0)
        return self.mistake("a command is missing " + ("behind" if end else "before") + " this |", at, at + 1)

    def _skip_blanks(self, at: int) -> int:
        text = self.text
        while at < len(text):
            if text[at] == "#":
                at = (text + "\n").index("\n", at)
            elif text.startswith("\\\n", at):
                at += 2
            elif text[at] in _BLANKS:
                at += 1
            else:
                break
        return at

    def _word(self, begin: int) -> tuple[Word, int]:
        text, at, out = self.text, begin, []
        while at < len(text) and text[at] not in _BLANKS and text[at] != "|":
            c = text[at]
            if c == "'":
                end = text.find("'", at + 1)
                if end < 0:
                    raise self.mistake("a quote that does not end", at, at + 1)
                out.append(text[at + 1:end])
                at = end + 1
            elif c == '"':
                piece, at = self._double_quoted(at)
                out.append(piece)
            elif c == "\\":
                if at + 1 == len(text):
                    raise self.mistake("a backslash before nothing", at, at + 1)
                out.append("" if text[at + 1] == "\n" else text[at + 1])
                at += 2
            elif c in _REFUSED:
                raise self.mistake(_REFUSED[c], at, at + 1)
            else:
                out.append(c)
                at += 1
        return Word("".join(out), begin, at), at

    def _double_quoted(self, begin: int) -> tuple[str, int]:
        text, at, out = self.text, begin + 1, []
        while at < len(text) and text[at] != '"':
            c = text[at]
            if c == "\\" and at + 1 < len(text) and text[at + 1] in '"\\$`\n':
                out.append("" if text[at + 1] == "\n" else text[at + 1])
                at += 2
                continue
            if c in "$`":
                raise self.mistake(_REFUSED[c], at, at + 1)
            out.append(c)
            at += 1
        if at >= len(text):
            raise self.mistake("a quote that does not end", begin, begin + 1)
        return "".join(out), at + 1
