# SPDX-License-Identifier: GPL-3.0-or-later
{
  description = "Frees stuck kernel writeback workers";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      # f gets the packages of each system.
      forEachSystem =
        f:
        nixpkgs.lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
        ] (system: f nixpkgs.legacyPackages.${system});
      module = ./service/deploy/nix/module.nix;
    in
    {
      packages = forEachSystem (pkgs: rec {
        wbwatch = pkgs.callPackage ./service/deploy/nix/package.nix { };
        default = wbwatch;
      });

      overlays.default = final: prev: {
        wbwatch = final.callPackage ./service/deploy/nix/package.nix { };
      };

      nixosModules.default = module;

      checks = forEachSystem (pkgs: {
        package = pkgs.callPackage ./service/deploy/nix/package.nix { };
        machine = pkgs.testers.runNixOSTest (import ./service/deploy/nix/test.nix { inherit module; });
      });

      # For `meson setup build`, and the tests that need no Debian.
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ (pkgs.callPackage ./service/deploy/nix/package.nix { }) ];
          packages = [
            pkgs.clang-tools
            pkgs.dbus
            pkgs.polkit
            pkgs.xfsprogs
          ];
        };
      });
    };
}
