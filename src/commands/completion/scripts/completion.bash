# Completion of oc-PLUGIN and kubectl-PLUGIN in bash.
#
#   In this shell:     source <(oc-PLUGIN completion bash)
#   In that of macOS:  source /dev/stdin <<<"$(oc-PLUGIN completion bash)"
#   In every new one:  echo 'source <(oc-PLUGIN completion bash)' >> ~/.bashrc
#
# `oc PLUGIN` and `kubectl PLUGIN` are completed by oc and kubectl, once `oc-PLUGIN completion install` was run.

_FUNCTION_complete() {
    local rest="${COMP_LINE:0:COMP_POINT}" words=() count=0 index word blank
    COMPREPLY=()
    # bash cuts words at = and : as well. What the line has no blank between belongs together.
    for ((index = 0; index <= COMP_CWORD; index++)); do
        blank="${rest%%[![:space:]]*}"
        rest="${rest#"$blank"}"
        if ((index == COMP_CWORD)); then word="$rest"; else word="${COMP_WORDS[index]}"; fi
        rest="${rest#"$word"}"
        if [[ -n $blank || $index -eq 0 ]]; then
            words[count++]="$word"
        else
            words[count - 1]+="$word"
        fi
    done
    local current="${words[count - 1]}" program="${words[0]/#\~/$HOME}" lines=() line
    # Quotes are the shell's. Nothing that stands in the line is run.
    for ((index = 0; index < count; index++)); do
        words[index]="${words[index]//[\"\'\\]/}"
    done
    while IFS='' read -r line; do
        [[ -z $line ]] || lines[${#lines[@]}]="$line"
    done < <("$program" __completeNoDesc "${words[@]:1}" 2>/dev/null)
    ((${#lines[@]})) || return
    local directive="${lines[${#lines[@]} - 1]#:}"
    unset "lines[${#lines[@]} - 1]"

    [[ $current == -*=* ]] && current="${current#*=}"
    local last="${current//[\"\'\\]/}" compopt=:
    [[ $(type -t compopt) == builtin ]] && compopt=compopt
    # What bash takes for words of their own stands already.
    local cut="" break
    for break in : =; do
        if [[ $current == *"$break"* && $COMP_WORDBREAKS == *"$break"* ]]; then
            line="${current%"${current##*"$break"}"}"
            ((${#line} > ${#cut})) && cut="$line"
        fi
    done
    case "$directive" in
        0 | 16)
            $compopt -o filenames
            local kind=-f
            [[ $directive == 16 ]] && kind=-d
            while IFS='' read -r line; do
                COMPREPLY[${#COMPREPLY[@]}]="${line#"$cut"}"
            done < <(compgen "$kind" -- "$last")
            return
            ;;
    esac
    ((directive & 2)) && $compopt -o nospace
    for line in ${lines[@]+"${lines[@]}"}; do
        line="${line#"$cut"}"
        # A list is only looked at; what is alone is what stands in the line then.
        [[ ${#lines[@]} -eq 1 && $line == *[!A-Za-z0-9_@%+=:,./-]* ]] && printf -v line %q "$line"
        COMPREPLY[${#COMPREPLY[@]}]="$line"
    done
}

complete -F _FUNCTION_complete oc-PLUGIN kubectl-PLUGIN
