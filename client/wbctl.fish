# SPDX-License-Identifier: GPL-3.0-or-later
# fish completion for wbctl(1). Current values come from the running wbwatchd, which is not started for it.

# Each setting with the value that it has now, or those that it can have, as `wbctl set` takes it.
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
    set -l words (string match -v -- '-*' (commandline -opc))
    test "$words[2]" = "$argv[1]"
end

complete -c wbctl -f
complete -c wbctl -l json -d 'Print JSON'
complete -c wbctl -l no-ask-password -d 'Fail where a password would be requested'
complete -c wbctl -s h -l help -d 'Show the help'
complete -c wbctl -l version -d 'Print the version'
complete -c wbctl -n '__wbctl_verb_is set' -l runtime -d 'Only until wbwatchd is started or reloaded'
complete -c wbctl -n '__wbctl_verb_is sync' -l filesystem -r -F -d 'Only the filesystem that holds this path'

complete -c wbctl -n '__wbctl_verb_is ""' -a status -d 'Whether all is well, what wbwatchd does and why'
complete -c wbctl -n '__wbctl_verb_is ""' -a list -d 'The matching workers that are running'
complete -c wbctl -n '__wbctl_verb_is ""' -a episodes -d 'The stalls, and whether syncs helped'
complete -c wbctl -n '__wbctl_verb_is ""' -a monitor -d 'Follow events live'
complete -c wbctl -n '__wbctl_verb_is ""' -a set -d 'Change settings'
complete -c wbctl -n '__wbctl_verb_is ""' -a pause -d 'Suspend automatic syncs'
complete -c wbctl -n '__wbctl_verb_is ""' -a resume -d 'End a pause'
complete -c wbctl -n '__wbctl_verb_is ""' -a sync -d 'Sync now, and wait until the sync has ended'
complete -c wbctl -n '__wbctl_verb_is ""' -a help -d 'Show the help'

complete -c wbctl -n '__wbctl_verb_is set' -a '(__wbctl_assignments)'
complete -c wbctl -n '__wbctl_verb_is pause' -a '10min 1h 1d'
