# SPDX-License-Identifier: GPL-3.0-or-later
# A stand-in for nixpkgs: what flake.nix and service/deploy/nix use of it, and no more. Modules are evaluated with one
# configuration of the user. A package is its arguments, a built file is its text, so that tests can compare them.
rec {
  lib = with builtins; rec {
    inherit (builtins) replaceStrings;

    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
    hasSuffix = suffix: text: hasPrefix suffix (substring (stringLength text - stringLength suffix) (-1) text);
    removeSuffix =
      suffix: text: if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
    hasInfix = infix: text: replaceStrings [ infix ] [ "" ] text != text;
    splitString = separator: text: filter isString (split separator text);
    findFirst =
      wanted: default: list:
      let
        found = filter wanted list;
      in
      if found == [ ] then default else head found;
    getAttrFromPath = path: set: foldl' (s: name: s.${name}) set path;
    hasAttrByPath =
      path: set:
      path == [ ] || (isAttrs set && hasAttr (head path) set && hasAttrByPath (tail path) set.${head path});
    setAttrByPath = path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
    merge =
      a: b:
      if isAttrs a && isAttrs b then
        a // mapAttrs (name: value: if hasAttr name a then merge a.${name} value else value) b
      else
        b;
    genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
    cleanSource = source: source;
    licenses.gpl3Plus = "gpl3Plus";
    platforms.linux = "linux";

    # The module system.
    types.package = "package";
    literalExpression = text: text;
    mkOption = option: option // { isOption = true; };
    mkEnableOption = what: mkOption {
      default = false;
      description = what;
    };
    mkDefault = value: value;
    mkIf = condition: content: if condition then content else { };
    mkRenamedOptionModule = from: to: {
      inherit from to;
      value = getAttrFromPath from;
    };
    mkChangedOptionModule = from: to: value: { inherit from to value; };
    mkRemovedOptionModule = from: advice: { inherit from advice; };

    # The configuration that a module makes of the user's. An option that the module does not have is an error.
    evalModule =
      module: user:
      let
        content = module {
          inherit lib pkgs;
          config = all;
        };
        used = filter (old: hasAttrByPath old.from user) content.imports;
        renamed = foldl' (
          set: old:
          if old ? advice then throw "removed: ${old.advice}" else merge set (setAttrByPath old.to (old.value user))
        ) { } used;
        defaults = mapAttrs (_: option: option.default) content.options.services.wbwatch;
        given = (merge user renamed).services.wbwatch or { };
        unknown = filter (name: !hasAttr name defaults) (attrNames given);
        checked = if unknown == [ ] then given else throw "no option services.wbwatch.${head unknown}";
        all.services.wbwatch = defaults // checked;
      in
      {
        inherit (all.services) wbwatch;
        renamed = map (old: concatStringsSep "." old.from) used;
        made = content.config;
      };
  };

  pkgs = {
    stdenv = {
      mkDerivation = arguments: arguments // { outPath = "/package"; };
      buildPlatform.canExecute = _: true;
      hostPlatform = { };
    };
    callPackage = file: arguments: import file (packages // arguments);
    formats.ini = _: {
      type = "ini";
      generate = _: sections: builtins.concatStringsSep "\n" (
        builtins.attrValues (builtins.mapAttrs (name: keys: "[${name}]\n" + lines keys) sections)
      );
    };
    runCommand = name: _: script: { inherit name script; };
    testers.runNixOSTest = test: test;
    mkShell = arguments: arguments;
    clang-tools = "clang-tools";
    dbus = "dbus";
    polkit = "polkit";
    xfsprogs = "xfsprogs";
  };

  legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (_: pkgs);

  # What callPackage finds; each is its name.
  packages = {
    inherit lib;
    inherit (pkgs) stdenv;
    meson = "meson";
    ninja = "ninja";
    pkg-config = "pkg-config";
    glib = "glib";
    libmicrohttpd = "libmicrohttpd";
    libmnl = "libmnl";
    systemd = "systemd";
    util-linux = "/util-linux";
    xz = "xz";
  };

  lines =
    keys:
    builtins.concatStringsSep "" (
      builtins.attrValues (
        builtins.mapAttrs (
          key: value:
          "${key}=${if builtins.isBool value then (if value then "true" else "false") else toString value}\n"
        ) keys
      )
    );
}
