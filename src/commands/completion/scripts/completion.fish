# Completion of oc-PLUGIN and kubectl-PLUGIN in fish.
#
#   In this shell:     oc-PLUGIN completion fish | source
#   In every new one:  oc-PLUGIN completion fish > ~/.config/fish/completions/oc-PLUGIN.fish
#
# `oc PLUGIN` and `kubectl PLUGIN` are completed by oc and kubectl, once `oc-PLUGIN completion install` was run.

function __FUNCTION_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '^~' $HOME -- $words[1])
    set -e words[1]
    set -l lines ($program __complete $words $current 2>/dev/null)
    set -q lines[1]; or return
    set -l directive (string replace ':' '' -- $lines[-1])
    set -e lines[-1]

    # In --flag=value the answer is the value alone, and fish wants the whole word.
    set -l before ''
    if string match -q -- '-*=*' $current
        set before (string replace -r '=.*' '=' -- $current)
    end
    set -l last (string replace -- "$before" '' $current)
    switch $directive
        case 0
            set lines (__fish_complete_path $last)
        case 16
            set lines (__fish_complete_directories $last '')
    end
    for line in $lines
        printf '%s%s\n' $before $line
    end
end

complete -c oc-PLUGIN -f -k -a '(__FUNCTION_complete)'
complete -c kubectl-PLUGIN -f -k -a '(__FUNCTION_complete)'
