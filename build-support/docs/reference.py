"""MkDocs' hook: the reference, made of the help texts whenever the site is built.

What `./pants help-all` says of our targets and goals, and `nemo-runspec COMMAND --help` of each
command, becomes a page; there is no copy of a help text that could grow old. At last the site is
searched for anything that a browser would fetch from elsewhere. What a hook is:
https://www.mkdocs.org/user-guide/configuration/#hooks.
"""

from __future__ import annotations

import functools
import html
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = "reference/generated"
_BACKEND = "pants_runspec"
_COMMON_FIELDS = frozenset(("tags", "description"))
_COMMAND_LINE = re.compile(r"(?m)^  ([a-z][a-z-]*)(?= |$)")
# Attributes by which a browser fetches something when it shows a page.
_FETCHING = {
    "audio": "src",
    "embed": "src",
    "iframe": "src",
    "img": "src",
    "link": "href",
    "script": "src",
    "source": "src",
    "video": "src",
}
# Relations of a <link> that fetch nothing.
_NAMING = frozenset(("canonical", "prev", "next", "alternate"))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    knowledge = json.loads(_pants("help-all"))
    for name, text in (
        ("targets", _targets_page(knowledge)),
        ("goals", _goals_page(knowledge)),
        ("commands", _commands_page()),
    ):
        files.append(File.generated(config, f"{_FOLDER}/{name}.md", content=text))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that asks other hosts for anything."""
    site = Path(config.site_dir)
    for page in sorted(site.rglob("*.html")):
        finder = _Fetches()
        finder.feed(page.read_text(encoding="utf-8"))
        if finder.found:
            raise PluginError(f"{page}: fetches {', '.join(finder.found)}")


class _Fetches(HTMLParser):
    """Collects the addresses on other hosts that a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(_FETCHING.get(tag, "")) or ""
        if tag == "link" and values.get("rel") in _NAMING:
            return
        if re.match(r"(https?:)?//", address):
            self.found.append(address)


@functools.cache
def _pants(*arguments: str) -> str:
    result = subprocess.run(
        [str(_ROOT / "pants"), *arguments],
        cwd=_ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    if result.returncode:
        raise PluginError(f"./pants {' '.join(arguments)} failed:\n{result.stderr}")
    return result.stdout


def _targets_page(knowledge: Mapping[str, Any]) -> str:
    targets = knowledge["name_to_target_type_info"]
    ours = {name: each for name, each in targets.items() if each["provider"] == _BACKEND}
    parts = ["# Targets", "As `pants help TARGET` has them, for each target of the backend."]
    for name in sorted(ours):
        parts += [f"## {name}", _text(ours[name]["description"])]
        for field in ours[name]["fields"]:
            if field["alias"] in _COMMON_FIELDS:
                continue
            default = "required" if field["required"] else f"default: `{field['default']}`"
            kind = html.escape(field["type_hint"])
            parts += [f"### {name}: `{field['alias']}`", f"*{kind}, {default}*"]
            parts.append(_text(field["description"]))
    return "\n\n".join(parts) + "\n"


def _goals_page(knowledge: Mapping[str, Any]) -> str:
    scopes = knowledge["scope_to_help_info"]
    ours = {name: each for name, each in scopes.items() if each["provider"] == _BACKEND}
    parts = [
        "# Goals and options",
        "As `pants help SCOPE` has them: the goals of the backend, and the options of its tools, "
        "which stand in `pants.toml` below `[SCOPE]`, in the environment, or on the command line.",
    ]
    for name in sorted(ours):
        parts += [f"## {name}", _text(ours[name]["description"])]
        for option in (*ours[name]["basic"], *ours[name]["advanced"]):
            parts.append(f"### {name}: `{option['config_key']}`")
            written = ", ".join(f"`{each}`" for each in option["display_args"])
            parts.append(f"{written}; `{option['env_var']}`; default: `{option['default']}`")
            parts.append(_text(option["help"]))
    return "\n\n".join(parts) + "\n"


def _commands_page() -> str:
    overview = _help()
    parts = [
        "# Commands",
        "`nemo-runspec COMMAND`, or `./pants nemo-runspec -- COMMAND` where Pants builds it.",
        _fenced(overview),
    ]
    for name in _names(overview):
        page = _help(name)
        parts += [f"## {name}", _fenced(page)]
        if f"{name} COMMAND" in page:
            for second in _names(page):
                parts += [f"### {name} {second}", _fenced(_help(name, second))]
    return "\n\n".join(parts) + "\n"


def _help(*command: str) -> str:
    return _pants("nemo-runspec", "--", *command, "--help")


def _names(page: str) -> Iterator[str]:
    """The commands that a page of help lists."""
    for part in page.split("\n\n"):
        if not part.startswith(("usage:", "options:", "exit codes:")):
            yield from dict.fromkeys(_COMMAND_LINE.findall(part))


def _fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def _text(text: str) -> str:
    """A help text as Markdown: it is so already, but for what `<` and `${` would be taken for."""
    lines = []
    for line in text.split("\n"):
        is_code = line.startswith("    ")
        lines.append(line if is_code else re.sub(r"<(?=[A-Za-z/])", "&lt;", line))
    return "\n".join(lines)
