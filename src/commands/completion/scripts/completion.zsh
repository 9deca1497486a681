#compdef oc-PLUGIN kubectl-PLUGIN
# Completion of oc-PLUGIN and kubectl-PLUGIN in zsh.
#
#   In this shell:     source <(oc-PLUGIN completion zsh)
#   In every new one:  echo 'source <(oc-PLUGIN completion zsh)' >> ~/.zshrc
#
# or, as a file _oc-PLUGIN, in a directory of $fpath. compinit must have run: autoload -Uz compinit && compinit
#
# `oc PLUGIN` and `kubectl PLUGIN` are completed by oc and kubectl, once `oc-PLUGIN completion install` was run.

_FUNCTION_complete() {
    local -a lines described options
    local line directive value
    lines=("${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    directive="${lines[-1]#:}"
    [[ $directive == <-> ]] || return 1
    lines=("${(@)lines[1,-2]}")

    # The value alone is completed, in --flag=value.
    [[ $PREFIX == -*=* ]] && compset -P 1 '*='
    case $directive in
        0) _files; return ;;
        16) _files -/; return ;;
    esac
    ((directive & 2)) && options=(-S '')
    for line in "${lines[@]}"; do
        value="${line%%$'\t'*}"
        [[ -n $value ]] || continue
        described+=("${value//:/\\:}${${line#$value}/#$'\t'/:}")
    done
    ((${#described})) || return 1
    _describe -V PLUGIN described "${options[@]}"
}

if [[ ${funcstack[1]} == _oc-PLUGIN || ${funcstack[1]} == _kubectl-PLUGIN ]]; then
    _FUNCTION_complete "$@"
else
    compdef _FUNCTION_complete oc-PLUGIN kubectl-PLUGIN
fi
