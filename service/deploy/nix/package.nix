# SPDX-License-Identifier: GPL-3.0-or-later
# The package, from the folder that this file is in.
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  glib,
  libmicrohttpd,
  libmnl,
  systemd,
  util-linux,
  xz,
}:

let
  root = ../../..;

  # The version that meson.build has: the only line of that form.
  version = lib.removeSuffix "'," (
    lib.removePrefix "  version: '" (
      lib.findFirst (lib.hasPrefix "  version: '") (throw "meson.build has no version") (
        lib.splitString "\n" (builtins.readFile (root + "/meson.build"))
      )
    )
  );
in
stdenv.mkDerivation {
  pname = "wbwatch";
  inherit version;
  src = lib.cleanSource root;
  strictDeps = true;

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
  ];
  buildInputs = [
    glib
    libmicrohttpd
    libmnl
    systemd
    xz
  ];

  # systemd.pc names folders in systemd's own output. The tests want root and the machine for themselves.
  mesonFlags = [
    "-Dtests=false"
    "-Dexporter=enabled"
    "-Dsystemdsystemunitdir=${placeholder "out"}/lib/systemd/system"
    "-Dsysusersdir=${placeholder "out"}/lib/sysusers.d"
    "-Dcatalogdir=${placeholder "out"}/lib/systemd/catalog"
  ];

  # NixOS has no /bin/kill.
  postPatch = ''
    substituteInPlace service/wbwatchd.service.in --replace-fail /bin/kill ${util-linux}/bin/kill
  '';

  meta = {
    description = "Frees stuck kernel writeback workers";
    license = lib.licenses.gpl3Plus;
    platforms = lib.platforms.linux;
    mainProgram = "wbctl";
  };
}
