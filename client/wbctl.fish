# SPDX-License-Identifier: GPL-3.0-or-later
# fish completion for wbctl(1). Current values come from the running wbwatchd, which is not started for it.

# Each setting with its current or possible values, as `wbctl set` accepts them.
function __wbctl_assignments
    for name in Glob ThresholdSec CrowdSize CrowdThresholdSec PollIntervalSec IdleScanIntervalSec \
            RecoverySec FilesystemTimeoutSec SyncTimeoutSec
        set -l property (string replace -r 'Sec$' USec $name)
        set -l answer (busctl --system --auto-start=no --timeout=1 get-property \
            org.wbwatch1 /org/wbwatch1 org.wbwatch1 $property 2>/dev/null | string split -m 1 ' ')
        set -l value $answer[2]

        switch "$answer[1]"
            case t
                if test (math $value % 1000000) -eq 0
                    set value (math $value / 1000000)s
                else if test (math $value % 1000) -eq 0
                    set value (math $value / 1000)ms
                else
                    set value {$value}us
                end
            case s
                set value (string trim -c '"' -- $value)
        end
        printf '%s=%s\n' $name "$value"
    end
    printf '%s\n' {CountWaiting,DryRun}={yes,no} SyncMethod={auto,sync,syncfs}
end

function __wbctl_verb_is
    set -l words (string match -v -- '-*' (commandline -opc | string join ' ' |
        string replace -ra -- ' (-H|-M|--host|--machine|--socket|--timeout) \S+' '' | string split ' '))
    contains -- "$words[2]" $argv
end

complete -c wbctl -f
complete -c wbctl -l json -d 'Print JSON'
complete -c wbctl -l no-ask-password -d 'Do not prompt for a password; fail instead'
complete -c wbctl -s H -l host -x -a '(__fish_print_hostnames)' -d 'Connect over ssh'
complete -c wbctl -s M -l machine -x -a '(__fish_systemd_machines)' -d 'Connect to a local container'
complete -c wbctl -l socket -r -F -d 'Connect to a socket of wbwatchd'
complete -c wbctl -l timeout -x -a '1s 15s 1min' -d 'Give up after this time'
complete -c wbctl -s h -l help -d 'Show the help'
complete -c wbctl -l version -d 'Print the version'
complete -c wbctl -n '__wbctl_verb_is set' -l runtime -d 'Only until wbwatchd is started or reloaded'
complete -c wbctl -n '__wbctl_verb_is reset' -l runtime -d 'Only what was set with --runtime'
complete -c wbctl -n '__wbctl_verb_is pause' -l until-resume -d 'Without a limit'
complete -c wbctl -n '__wbctl_verb_is inhibit' -l who -x -d 'As what to be listed'
complete -c wbctl -n '__wbctl_verb_is inhibit' -l why -x -d 'The reason to be listed'
complete -c wbctl -n '__wbctl_verb_is episodes' -l since -x -a 'today yesterday -1h -1d' -d 'Only what began then or later'
complete -c wbctl -n '__wbctl_verb_is episodes' -l until -x -a 'today yesterday -1h -1d' -d 'Only what began then or earlier'
complete -c wbctl -n '__wbctl_verb_is episodes' -s b -l boot -d 'Only of a boot: 0, -1 or an ID'
complete -c wbctl -n '__wbctl_verb_is episodes' -s n -l lines -x -d 'Only the newest'
complete -c wbctl -n '__wbctl_verb_is episodes' -s D -l directory -x -a '(__fish_complete_directories)' -d 'Journal files in this folder'
complete -c wbctl -n '__wbctl_verb_is sync' -l filesystem -r -F -d 'Only the filesystem that holds this path'
complete -c wbctl -n '__wbctl_verb_is health' -s q -l quiet -d 'Print nothing'
complete -c wbctl -n '__wbctl_verb_is health' -l alive -d 'Only whether wbwatchd answers'
complete -c wbctl -n '__wbctl_verb_is health' -l nagios -d 'Words and exit status of a Nagios plugin'
complete -c wbctl -n '__wbctl_verb_is status' -s n -l lines -x -d 'Also show the last lines of the log'
complete -c wbctl -n '__wbctl_verb_is doctor' -l batch -x -a 'text json nrpe prometheus' -d 'Print in this format'
complete -c wbctl -n '__wbctl_verb_is doctor' -l root -r -F -d 'Examine the system in this folder'
complete -c wbctl -n '__wbctl_verb_is doctor' -l table -r -F -d 'Read this table of kernels'
complete -c wbctl -n '__wbctl_verb_is doctor' -l observe -x -a '1s 4s 30s' -d 'How long to observe the workers'
complete -c wbctl -n '__wbctl_verb_is metrics' -s o -l output -r -F -d 'Write to this file, or to stdout'
complete -c wbctl -n '__wbctl_verb_is metrics' -l table -r -F -d 'Read this table of kernels'
complete -c wbctl -n '__wbctl_verb_is report' -s o -l output -r -F -d 'Write to this file, or to stdout'
complete -c wbctl -n '__wbctl_verb_is report' -l sysrq -d 'With backtraces of all tasks'
complete -c wbctl -n '__wbctl_verb_is report' -l perf -d 'With a profile of all CPUs'
complete -c wbctl -n '__wbctl_verb_is report' -l names -d 'Keep private names'
complete -c wbctl -n '__wbctl_verb_is report' -l root -r -F -d 'Read files below this folder'
complete -c wbctl -n '__wbctl_verb_is list status' -l root -r -F -d 'Read the proc in this folder if wbwatchd does not answer'

complete -c wbctl -n '__wbctl_verb_is ""' -a status -d 'Show the state, running workers and settings'
complete -c wbctl -n '__wbctl_verb_is ""' -a health -d 'Print in one line whether all is well'
complete -c wbctl -n '__wbctl_verb_is ""' -a list -d 'List running matching workers'
complete -c wbctl -n '__wbctl_verb_is ""' -a episodes -d 'List stalls, or show one in full'
complete -c wbctl -n '__wbctl_verb_is ""' -a monitor -d 'Follow events live'
complete -c wbctl -n '__wbctl_verb_is ""' -a metrics -d 'Print metrics for Prometheus'
complete -c wbctl -n '__wbctl_verb_is ""' -a get -d 'Show settings and their origins'
complete -c wbctl -n '__wbctl_verb_is ""' -a set -d 'Change settings'
complete -c wbctl -n '__wbctl_verb_is ""' -a reset -d 'Undo settings made over the bus'
complete -c wbctl -n '__wbctl_verb_is ""' -a pause -d 'Suspend automatic syncs'
complete -c wbctl -n '__wbctl_verb_is ""' -a resume -d 'End a pause'
complete -c wbctl -n '__wbctl_verb_is ""' -a inhibit -d 'Suspend automatic syncs while a command runs'
complete -c wbctl -n '__wbctl_verb_is ""' -a inhibitors -d 'List who suspends automatic syncs'
complete -c wbctl -n '__wbctl_verb_is ""' -a sync -d 'Sync now, and wait until the sync has ended'
complete -c wbctl -n '__wbctl_verb_is ""' -a doctor -d 'Find out whether this machine is affected, and what to do'
complete -c wbctl -n '__wbctl_verb_is ""' -a report -d 'Make an archive for a bug report'
complete -c wbctl -n '__wbctl_verb_is ""' -a help -d 'Show the help'

complete -c wbctl -n '__wbctl_verb_is inhibit' -a '(__fish_complete_subcommand --fcs-skip=2)'
complete -c wbctl -n '__wbctl_verb_is set' -a '(__wbctl_assignments)'
complete -c wbctl -n '__wbctl_verb_is get reset' -a 'Glob ThresholdSec CrowdSize CrowdThresholdSec CountWaiting \
    PollIntervalSec IdleScanIntervalSec RecoverySec SyncMethod FilesystemTimeoutSec SyncTimeoutSec DryRun'
complete -c wbctl -n '__wbctl_verb_is pause' -a '10min 1h 1d'
