# shellcheck shell=bash
# SPDX-License-Identifier: GPL-3.0-or-later
# bash completion for wbctl(1). Current values come from the running wbwatchd, which is not started for it.

# Prints the value of a setting as `wbctl set` accepts it.
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

# The running containers, as systemctl completes them.
_wbctl_machines() {
  machinectl list --full --no-legend --no-pager 2>/dev/null | while read -r machine _; do
    printf '%s\n' "$machine"
  done
}

_wbctl() {
  local cur prev words cword word last='' verb='' value values
  local verbs='status health doctor list episodes monitor metrics get set reset pause resume inhibit inhibitors sync
    report help'
  local options='--json --host --machine --socket --timeout --no-ask-password --help --version'
  local settings='Glob ThresholdSec CrowdSize CrowdThresholdSec CountWaiting PollIntervalSec '
  settings+='IdleScanIntervalSec RecoverySec SyncMethod FilesystemTimeoutSec SyncTimeoutSec DryRun'

  _init_completion -n = || return

  for word in "${words[@]:1:cword-1}"; do
    if [[ $word != -* && $last != -@(H|M|-host|-machine|-socket|-timeout) ]]; then
      verb=$word
      break
    fi
    last=$word
  done
  # The command of inhibit has its own completion.
  if [[ $verb == inhibit ]]; then
    for ((word = 2; word <= cword; word++)); do
      if [[ ${words[word]} != -* && ${words[word]} != inhibit && ${words[word - 1]} != --wh[oy] ]]; then
        _command_offset "$word"
        return
      fi
    done
  fi
  [[ $verb == set || $verb == reset ]] && options+=' --runtime'
  [[ $verb == pause ]] && options+=' --until-resume'
  [[ $verb == inhibit ]] && options+=' --who --why'
  [[ $verb == episodes ]] && options+=' --since --until --boot --lines --directory'
  [[ $verb == sync ]] && options+=' --filesystem'
  [[ $verb == health ]] && options+=' --quiet --alive --nagios'
  [[ $verb == status ]] && options+=' --lines --root'
  [[ $verb == list ]] && options+=' --root'
  [[ $verb == doctor ]] && options+=' --batch --root --table --observe'
  [[ $verb == metrics ]] && options+=' --output --table'
  [[ $verb == report ]] && options+=' --output --sysrq --perf --names --root'

  # With -n =, --filesystem=PATH is one word.
  case $cur in
    --filesystem=*|--table=*|--output=*|--socket=*) prev=--filesystem cur=${cur#*=} ;;
    --directory=*|--root=*) prev=--directory cur=${cur#*=} ;;
    --batch=*) prev=--batch cur=${cur#*=} ;;
    --since=*|--until=*) prev=${cur%%=*} cur=${cur#*=} ;;
    --boot=*) prev=--boot= cur=${cur#*=} ;;
    --host=*|--machine=*|--timeout=*) prev=${cur%%=*} cur=${cur#*=} ;;
  esac
  case $prev in
    --host|-H)
      mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
      return
      ;;
    --machine|-M)
      mapfile -t COMPREPLY < <(compgen -W "$(_wbctl_machines)" -- "$cur")
      return
      ;;
    --filesystem|--table|--output|-o|--socket)
      _filedir
      return
      ;;
    --directory|-D|--root)
      _filedir -d
      return
      ;;
    --since|--until)
      mapfile -t COMPREPLY < <(compgen -W 'today yesterday -1h -1d' -- "$cur")
      return
      ;;
    --boot=)
      mapfile -t COMPREPLY < <(compgen -W '0 -1 -2' -- "$cur")
      return
      ;;
    --batch)
      mapfile -t COMPREPLY < <(compgen -W 'text json nrpe prometheus' -- "$cur")
      return
      ;;
    --lines|-n|--observe|--timeout|--who|--why) return ;;
  esac

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
    get|reset)
      mapfile -t COMPREPLY < <(compgen -W "$settings" -- "$cur")
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
