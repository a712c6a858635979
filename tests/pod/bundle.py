#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the config.json with which an OCI runtime runs a container of the pod, as the kubelet and containerd would make it
from service/deploy/kubernetes/daemonset.yaml: arguments, capabilities, mounts and namespaces are those of that file.

    bundle.py CONTAINER ROOT VOLUMES SECCOMP >config.json

CONTAINER: its name, wbwatchd or exporter.
ROOT: the root filesystem of the image.
VOLUMES: a folder with a folder for each volume of the pod that is not a hostPath, of the same name.
SECCOMP: the profile RuntimeDefault, in the format of the containers' tools (see build-image)."""

import json
import sys
from pathlib import Path

import yaml

MANIFESTS = Path(__file__).resolve().parents[2] / "service/deploy/kubernetes"

# containerd's populateDefaultUnixSpec() in oci/spec.go: mounts, and what is hidden or read-only in /proc and /sys.
MOUNTS = [("/proc", "proc", []), ("/dev", "tmpfs", ["strictatime", "mode=755", "size=65536k"]),
          ("/dev/pts", "devpts", ["newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
          ("/dev/shm", "tmpfs", ["nodev", "mode=1777", "size=65536k"]), ("/dev/mqueue", "mqueue", ["nodev"]),
          ("/sys", "sysfs", ["nodev", "ro"]), ("/sys/fs/cgroup", "cgroup", ["nodev", "ro"])]
MASKED = ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
          "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

PROPAGATION = {"None": "rprivate", "HostToContainer": "rslave", "Bidirectional": "rshared"}

# The kubelet's value for pods with the priority system-node-critical.
OOM_SCORE_ADJ = -997

# systemd's DefaultLimitMEMLOCK=, in effect where containerd.service sets no other.
MEMLOCK_BYTES = 8 << 20


def read_pod():
    return yaml.safe_load((MANIFESTS / "daemonset.yaml").read_text())["spec"]["template"]["spec"]


def find_container(pod, name):
    return next(container for container in pod["containers"] if container["name"] == name)


def last_stage(instruction):
    """The arguments of this instruction, in the last stage of the Containerfile."""
    stage = (MANIFESTS / "Containerfile").read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]
    return [line.split(" ", 1)[1] for line in stage.splitlines() if line.startswith(instruction + " ")]


def packages():
    """What the image has beside its base."""
    install = next(words for words in last_stage("RUN") if " install " in words)
    return [word for word in install.split("&&")[1].split(" install ")[1].split() if not word.startswith("-")]


def capabilities(container):
    wanted = container["securityContext"]["capabilities"]
    assert wanted["drop"] == ["ALL"], f"{container['name']} keeps capabilities that it does not name"
    return ["CAP_" + name for name in wanted.get("add", [])]


def rule_applies(rule, granted):
    includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
    return set(includes.get("caps", [])) <= set(granted) and "amd64" in includes.get("arches", ["amd64"]) and \
        not set(excludes.get("caps", [])) & set(granted) and "amd64" not in excludes.get("arches", [])


def seccomp(path, granted):
    """The profile for a container with these capabilities, in the format of the runtime."""
    profile = json.loads(Path(path).read_text())
    rules = [{key: rule[key] for key in ("names", "action", "args", "errnoRet") if rule.get(key) is not None}
             for rule in profile["syscalls"] if rule_applies(rule, granted)]
    return {"defaultAction": profile["defaultAction"], "defaultErrnoRet": profile.get("defaultErrnoRet", 1),
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], "syscalls": rules}


def volume_mount(mount, pod, volumes):
    volume = next(volume for volume in pod["volumes"] if volume["name"] == mount["name"])
    return {"destination": mount["mountPath"], "type": "bind",
            "source": volume["hostPath"]["path"] if "hostPath" in volume else f"{volumes}/{mount['name']}",
            "options": ["rbind", "ro" if mount.get("readOnly") else "rw",
                        PROPAGATION[mount.get("mountPropagation", "None")]]}


def make_process(container):
    context, granted = container["securityContext"], capabilities(container)
    # Kubernetes has no ambient capabilities: users other than root get none.
    owned = granted if context["runAsUser"] == 0 else []
    return {
        "cwd": "/",
        "user": {"uid": context["runAsUser"], "gid": context["runAsGroup"]},
        "args": container.get("command", json.loads(last_stage("ENTRYPOINT")[0])) + container.get("args", []),
        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + last_stage("ENV"),
        "capabilities": {"bounding": granted, "effective": owned, "permitted": owned},
        "noNewPrivileges": not context["allowPrivilegeEscalation"],
        "oomScoreAdj": OOM_SCORE_ADJ,
        "rlimits": [{"type": "RLIMIT_MEMLOCK", "soft": MEMLOCK_BYTES, "hard": MEMLOCK_BYTES}],
    }


def make_config(name, root, volumes, profile):
    pod = read_pod()
    container = find_container(pod, name)
    # With the machine's network, a pod also gets the machine's host name.
    namespaces = ["mount", "ipc", "cgroup"] + ([] if pod.get("hostPID") else ["pid"]) + \
        ([] if pod.get("hostNetwork") else ["network", "uts"])
    return {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": container["securityContext"]["readOnlyRootFilesystem"]},
        "process": make_process(container),
        "mounts": [{"destination": path, "source": kind, "type": kind, "options": ["nosuid", "noexec"] + options}
                   for path, kind, options in MOUNTS] +
                  [volume_mount(mount, pod, volumes) for mount in container["volumeMounts"]],
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
            "rootfsPropagation": "rslave",
            "seccomp": seccomp(profile, capabilities(container)),
        },
    }


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    json.dump(make_config(*sys.argv[1:]), sys.stdout, indent=2)
