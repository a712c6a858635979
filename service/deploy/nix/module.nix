# SPDX-License-Identifier: GPL-3.0-or-later
# The NixOS module: services.wbwatch. docs/nix.md explains it.
{
  config,
  lib,
  pkgs,
  ...
}:

let
  cfg = config.services.wbwatch;
  format = pkgs.formats.ini { };

  # With a value that the daemon would ignore, the system does not build.
  written = format.generate "wbwatch.conf" cfg.settings;
  checked = pkgs.runCommand "wbwatch.conf" { } ''
    ${cfg.package}/bin/wbwatchd --check-config --config=${written}
    cp ${written} $out
  '';
  canCheck = pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform;
  file = if canCheck then checked else written;

  old = [
    "services"
    "stuck-writeback-workaround"
  ];
  setting = name: [
    "services"
    "wbwatch"
    "settings"
    "Watch"
    name
  ];

  # The alternatives {a,b} of the old globs are @(a|b) in ours.
  convertGlob =
    glob: if lib.hasInfix "{" glob then lib.replaceStrings [ "{" "," "}" ] [ "@(" "|" ")" ] glob else glob;
in
{
  # From the module of stuck_writeback_workaround. Its durations ("30s", "1m") are spelled as ours.
  imports = [
    (lib.mkRenamedOptionModule (old ++ [ "enable" ]) [
      "services"
      "wbwatch"
      "enable"
    ])
    (lib.mkRenamedOptionModule (old ++ [ "runtimeThreshold" ]) (setting "ThresholdSec"))
    (lib.mkChangedOptionModule (old ++ [ "processGlob" ]) (setting "Glob") (
      config: convertGlob (lib.getAttrFromPath (old ++ [ "processGlob" ]) config)
    ))
    (lib.mkRemovedOptionModule (old ++ [ "debug" ]) "Use `systemctl service-log-level wbwatchd debug`.")
    (lib.mkRemovedOptionModule (old ++ [ "package" ]) "Use services.wbwatch.package, if at all.")
  ];

  options.services.wbwatch = {
    enable = lib.mkEnableOption "wbwatchd, which frees stuck kernel writeback workers";

    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "the package of the same source";
      description = "The package that has wbwatchd, its units and wbctl.";
    };

    settings = lib.mkOption {
      type = format.type;
      default = { };
      example = {
        Watch = {
          ThresholdSec = "20s";
          DryRun = true;
        };
      };
      description = ''
        The file /etc/wbwatch/wbwatch.conf: its section Watch, with the keys of wbwatch.conf(5).
        What is not set has its built-in value.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    # wbctl, its completions, the manual pages, and the actions of polkit.
    environment.systemPackages = [ cfg.package ];
    environment.etc."wbwatch/wbwatch.conf".source = file;

    services.dbus.packages = [ cfg.package ];
    # Without polkit root alone may change something.
    security.polkit.enable = lib.mkDefault true;

    # NixOS does not read the section [Install] of units.
    systemd.packages = [ cfg.package ];
    systemd.services.wbwatchd = {
      wantedBy = [ "multi-user.target" ];
      aliases = [ "dbus-org.wbwatch1.service" ];
      reloadTriggers = [ file ];
    };
    systemd.sockets.wbwatch-syncfs.wantedBy = [ "sockets.target" ];

    # Bus policy and polkit know it by this name.
    users.users.wbwatch = {
      isSystemUser = true;
      group = "wbwatch";
      description = "Stuck kernel worker watcher";
    };
    users.groups.wbwatch = { };
  };
}
