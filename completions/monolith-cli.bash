# Completion of all monolith-cli commands; bash 4.4 or newer. Source it, or put it where bash-completion looks.
_monolith_cli() {
    local name=${1##*/} line kind value
    local variable=_$(printf %s "$name" | tr a-z- A-Z_)_COMPLETE
    COMPREPLY=()
    while IFS= read -r line; do
        kind=${line%%,*} value=${line#*,}
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" "$variable=bash_complete" "$1")
}
complete -o nosort -F _monolith_cli agent-client agent-controller model-show monolith monolith-agent monolith-eval monolith-predict monolith-serve monolith-top monolith-train pb-cat pb-convert pb-feature pb-filter pb-gen pb-head pb-label pb-merge pb-negative-gen pb-pool pb-publish pb-reweight pb-run pb-shard-fids pb-show pb-shuffle pb-split pb-stat pb-transform serving-client shard-fids table-diff table-dump table-evict table-get table-load table-merge table-reshard table-stat table-verify tfs-client zk
