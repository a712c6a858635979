# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for wbctl(1). Current values come from the running wbwatchd, which is not started for it.

# The value of a setting as `wbctl set` takes it.
_wbctl_value() {
  local property=${1/%Sec/USec} type value

  read -r type value < <(busctl --system --auto-start=no --timeout=1 get-property \
    org.wbwatch1 /org/wbwatch1 org.wbwatch1 "$property" 2>/dev/null)
  case $type in
    t)
      if ((value % 1000000 == 0)); then
        printf '%ss\n' $((value / 1000000))
      elif ((value % 1000 == 0)); then
        printf '%sms\n' $((value / 1000))
      else
        printf '%sus\n' "$value"
      fi
      ;;
    u) printf '%s\n' "$value" ;;
    s) value=${value#\"} && printf '%q\n' "${value%\"}" ;;
  esac
}

_wbctl() {
  local cur prev words cword word verb='' value values
  local verbs='status list episodes monitor set pause resume sync help'
  local options='--json --no-ask-password --help --version'
  local settings='Glob ThresholdSec CrowdSize CrowdThresholdSec CountWaiting PollIntervalSec '
  settings+='IdleScanIntervalSec RecoverySec SyncMethod FilesystemTimeoutSec SyncTimeoutSec DryRun'

  _init_completion -n = || return

  for word in "${words[@]:1:cword-1}"; do
    if [[ $word != -* ]]; then
      verb=$word
      break
    fi
  done
  [[ $verb == set ]] && options+=' --runtime'
  [[ $verb == sync ]] && options+=' --filesystem'

  # With -n =, --filesystem=PATH is one word.
  if [[ $prev == --filesystem ]]; then
    _filedir
    return
  elif [[ $cur == --filesystem=* ]]; then
    cur=${cur#*=}
    _filedir
    return
  fi

  if [[ $cur == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
    return
  fi

  case $verb in
    '')
      mapfile -t COMPREPLY < <(compgen -W "$verbs" -- "$cur")
      ;;
    pause)
      [[ ${words[cword-1]} == pause ]] && mapfile -t COMPREPLY < <(compgen -W '10min 1h 1d' -- "$cur")
      ;;
    set)
      if [[ $cur != *=* ]]; then
        mapfile -t COMPREPLY < <(compgen -S = -W "$settings" -- "$cur")
        compopt -o nospace
        return
      fi

      word=${cur%%=*} cur=${cur#*=}
      case $word in
        CountWaiting|DryRun) values=$'yes\nno' ;;
        SyncMethod) values=$'auto\nsync\nsyncfs' ;;
        *) values=$(_wbctl_value "$word") ;;
      esac
      # To readline, = ends a word by default.
      [[ $COMP_WORDBREAKS == *=* ]] && word='' || word+='='
      while read -r value; do
        [[ $value && $value == "$cur"* ]] && COMPREPLY+=("$word$value")
      done <<<"$values"
      ;;
  esac
} && complete -F _wbctl wbctl
