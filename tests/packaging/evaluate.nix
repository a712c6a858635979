# SPDX-License-Identifier: GPL-3.0-or-later
# Evaluates the flake, the package and the module with the stand-in for nixpkgs. Each case has what is and what is wanted;
# files are the texts that become wbwatch.conf; names are those that files of the project must know.
{
  source,
  version,
  documented, # the configuration in docs/nix.md
}:

let
  nixpkgs = import ./nixpkgs.nix;
  flake = import (source + "/flake.nix");
  outputs = flake.outputs {
    self = outputs;
    inherit nixpkgs;
  };
  module = import outputs.nixosModules.default;
  packages = outputs.packages.x86_64-linux;
  package = packages.default;

  evaluate = nixpkgs.lib.evalModule module;
  fails = configuration: !(builtins.tryEval (builtins.deepSeq (evaluate configuration).made true)).success;
  text = evaluated: (nixpkgs.pkgs.formats.ini { }).generate "" evaluated.wbwatch.settings;
  file = evaluated: evaluated.made.environment.etc."wbwatch/wbwatch.conf".source;

  plain = evaluate { services.wbwatch.enable = true; };
  set = evaluate {
    services.wbwatch = {
      enable = true;
      settings.Watch = {
        CrowdSize = 6;
        DryRun = true;
        ThresholdSec = "20s";
      };
    };
  };
  old = evaluate {
    services.stuck-writeback-workaround = {
      enable = true;
      processGlob = "kworker/*{inode_switch_wbs,flush}*";
      runtimeThreshold = "1m";
    };
    services.wbwatch.settings.Watch.CrowdSize = 5;
  };
  oldGlob = evaluate {
    services.stuck-writeback-workaround.processGlob = "kworker/*inode_switch_wbs";
  };
  machine = outputs.checks.x86_64-linux.machine.nodes.machine;
in
{
  cases = {
    "the flake has its outputs" = {
      is = builtins.attrNames outputs;
      wanted = [ "checks" "devShells" "nixosModules" "overlays" "packages" ];
    };
    "a package for each system" = {
      is = builtins.mapAttrs (_: builtins.attrNames) outputs.packages;
      wanted = {
        aarch64-linux = [ "default" "wbwatch" ];
        x86_64-linux = [ "default" "wbwatch" ];
      };
    };
    "the overlay adds the package" = {
      is = (outputs.overlays.default nixpkgs.pkgs { }).wbwatch.pname;
      wanted = "wbwatch";
    };
    "the shell builds the package" = {
      is = map (input: input.pname) outputs.devShells.x86_64-linux.default.inputsFrom;
      wanted = [ "wbwatch" ];
    };
    "the package has the version" = {
      is = package.version;
      wanted = version;
    };
    "the package has its folders" = {
      is = map (builtins.replaceStrings [ (placeholder "out") ] [ "OUT" ]) package.mesonFlags;
      wanted = [
        "-Dtests=false"
        "-Dexporter=enabled"
        "-Dsystemdsystemunitdir=OUT/lib/systemd/system"
        "-Dsysusersdir=OUT/lib/sysusers.d"
        "-Dcatalogdir=OUT/lib/systemd/catalog"
      ];
    };
    "without enable nothing is made" = {
      is = (evaluate { services.wbwatch.settings.Watch.CrowdSize = 6; }).made;
      wanted = { };
    };
    "without settings the file is empty" = {
      is = text plain;
      wanted = "";
    };
    "the units are enabled" = {
      is = [
        plain.made.systemd.services.wbwatchd.wantedBy
        plain.made.systemd.services.wbwatchd.aliases
        plain.made.systemd.sockets.wbwatch-syncfs.wantedBy
        (map (p: p.pname) plain.made.systemd.packages)
        (map (p: p.pname) plain.made.services.dbus.packages)
        (map (p: p.pname) plain.made.environment.systemPackages)
      ];
      wanted = [ [ "multi-user.target" ] [ "dbus-org.wbwatch1.service" ] [ "sockets.target" ] [ "wbwatch" ] [ "wbwatch" ] [ "wbwatch" ] ];
    };
    "the user is a system user" = {
      is = [ plain.made.users.users.wbwatch.isSystemUser plain.made.users.users.wbwatch.group plain.made.users.groups ];
      wanted = [ true "wbwatch" { wbwatch = { }; } ];
    };
    "polkit is enabled" = {
      is = plain.made.security.polkit.enable;
      wanted = true;
    };
    "settings are written" = {
      is = text set;
      wanted = "[Watch]\nCrowdSize=6\nDryRun=true\nThresholdSec=20s\n";
    };
    "settings are checked" = {
      is = (file set).script;
      wanted = "/package/bin/wbwatchd --check-config --config=${text set}\ncp ${text set} $out\n";
    };
    "new settings reload the daemon" = {
      is = set.made.systemd.services.wbwatchd.reloadTriggers;
      wanted = [ (file set) ];
    };
    "old options are converted" = {
      is = text old;
      wanted = "[Watch]\nCrowdSize=5\nGlob=kworker/*@(inode_switch_wbs|flush)*\nThresholdSec=1m\n";
    };
    "old options are named in warnings" = {
      is = builtins.length old.renamed;
      wanted = 3;
    };
    "enable of old enables" = {
      is = old.wbwatch.enable;
      wanted = true;
    };
    "an old glob without alternatives is kept" = {
      is = oldGlob.wbwatch.settings;
      wanted.Watch.Glob = "kworker/*inode_switch_wbs";
    };
    "an old option that is gone says so" = {
      is = fails { services.stuck-writeback-workaround.debug = true; };
      wanted = true;
    };
    "an unknown option fails" = {
      is = fails { services.wbwatch = { enable = true; threshold = "20s"; }; };
      wanted = true;
    };
    "the machine of the NixOS test has the module" = {
      is = machine.imports;
      wanted = [ outputs.nixosModules.default ];
    };
  };

  files = map text [
    set
    old
    oldGlob
    (evaluate (import documented))
    (evaluate { inherit (machine) services; })
    { wbwatch.settings = (module {
      inherit (nixpkgs) lib pkgs;
      config.services.wbwatch = { };
    }).options.services.wbwatch.settings.example; }
  ];

  names = {
    services = builtins.attrNames plain.made.systemd.services;
    sockets = builtins.attrNames plain.made.systemd.sockets;
    wanted = plain.made.systemd.services.wbwatchd.wantedBy ++ plain.made.systemd.sockets.wbwatch-syncfs.wantedBy;
    aliases = plain.made.systemd.services.wbwatchd.aliases;
    patched = package.postPatch;
  };
}
