# SPDX-License-Identifier: GPL-3.0-or-later
# A NixOS test of the module, in a virtual machine: `nix flake check` runs it.
{ module }:
{
  name = "wbwatch";

  nodes.machine = {
    imports = [ module ];
    services.wbwatch = {
      enable = true;
      settings.Watch = {
        ThresholdSec = "20s";
        CrowdSize = 6;
      };
    };
  };

  testScript = ''
    machine.wait_for_unit("wbwatchd.service")
    machine.wait_for_unit("wbwatch-syncfs.socket")
    machine.succeed("wbctl health")

    # The settings are in effect, and the user is the daemon's.
    settings = machine.succeed("wbctl get ThresholdSec CrowdSize")
    assert "20s" in settings and "6" in settings, settings
    pid = machine.succeed("systemctl show --property MainPID --value wbwatchd.service").strip()
    assert machine.succeed(f"stat --format %U /proc/{pid}").strip() == "wbwatch"

    machine.succeed("systemctl reload wbwatchd.service")

    # A call on the bus starts it.
    machine.succeed("systemctl stop wbwatchd.service")
    machine.succeed("busctl call org.wbwatch1 /org/wbwatch1 org.wbwatch1 ListWorkers")
    machine.require_unit_state("wbwatchd.service", "active")

    # sync(2) and syncfs(2), through both units.
    machine.succeed("wbctl sync")
  '';
}
