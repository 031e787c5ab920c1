"""`nemo-runspec completion SHELL`: the script that a shell reads."""

from __future__ import annotations

from collections.abc import Sequence

from nemo_runspec.command_line import Command, Given, run_parsed
from nemo_runspec.exceptions import UsageError

# Each asks `nemo-runspec complete SHELL LINE`, with the line up to the cursor.
_BASH = """\
# bash completion of nemo-runspec
_nemo_runspec() {
    COMPREPLY=()
    local word
    while IFS= read -r word; do
        COMPREPLY+=("$word")
    done < <(nemo-runspec complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o default -F _nemo_runspec nemo-runspec
"""
_ZSH = """\
#compdef nemo-runspec
# zsh completion of nemo-runspec
_nemo_runspec() {
    local -a found
    found=("${(@f)$(nemo-runspec complete zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then
        compadd -Q -a found
    else
        _files
    fi
}
if [ "${funcstack[1]}" = _nemo_runspec ]; then
    _nemo_runspec "$@"
else
    compdef _nemo_runspec nemo-runspec
fi
"""
_FISH = """\
# fish completion of nemo-runspec
function __nemo_runspec_complete
    nemo-runspec complete fish (commandline -cp) 2>/dev/null
end
complete -c nemo-runspec -a '(__nemo_runspec_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

COMPLETION = Command(
    "completion",
    "SHELL",
    (
        "Prints the script that lets a shell complete nemo-runspec's command lines: commands, "
        "options and their values, profiles of env.toml, configs and artifacts. SHELL is bash, "
        "zsh or fish.",
        "bash: source <(nemo-runspec completion bash), in ~/.bashrc. zsh: the same in ~/.zshrc, "
        "after compinit. fish: nemo-runspec completion fish | source, in "
        "~/.config/fish/config.fish.",
    ),
    at_least=1,
    at_most=1,
    has_store=False,
    examples=("completion bash > ~/.local/share/bash-completion/completions/nemo-runspec",),
)


def run_completion(arguments: Sequence[str]) -> int:
    """The command line of `nemo-runspec completion`; returns the exit code.

    Raises:
        UsageError: there is no such shell.
    """
    return run_parsed(COMPLETION, _print, arguments)


def _print(given: Given) -> int:
    shell = given.arguments[0]
    if shell not in SCRIPTS:
        from nemo_runspec._names import hint

        raise UsageError(f"completion: no shell {shell!r}; {hint(shell, SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return 0
