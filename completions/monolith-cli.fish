# Completion of all monolith-cli commands for fish.
function _monolith_cli
    set -l name (commandline -cp | string split -n ' ')[1]
    set -l variable _(basename $name | string upper | string replace -a - _)_COMPLETE
    for line in (env $variable=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) $name)
        set -l part (string split -m 1 ',' -- $line)
        switch $part[1]
            case dir
                __fish_complete_directories $part[2]
            case file
                __fish_complete_path $part[2]
            case plain
                echo $part[2]
        end
    end
end
for name in agent-client agent-controller model-show monolith monolith-agent monolith-eval monolith-predict monolith-serve monolith-top monolith-train pb-cat pb-convert pb-feature pb-filter pb-gen pb-head pb-label pb-merge pb-negative-gen pb-pool pb-publish pb-reweight pb-run pb-shard-fids pb-show pb-shuffle pb-split pb-stat pb-transform serving-client shard-fids table-diff table-dump table-evict table-get table-load table-merge table-reshard table-stat table-verify tfs-client zk
    complete --no-files --command $name --arguments '(_monolith_cli)'
end
