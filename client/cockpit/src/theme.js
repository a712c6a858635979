// SPDX-License-Identifier: GPL-3.0-or-later

// Light or dark: what was chosen in Cockpit's menu, or else what the desktop has.

const DARK = "pf-v6-theme-dark";
const CHOICE = "shell:style";

export function followTheme() {
    const desktop = window.matchMedia("(prefers-color-scheme: dark)");
    let choice = localStorage.getItem(CHOICE) ?? "auto";

    const apply = () => document.documentElement.classList.toggle(DARK, choice === "dark" || (choice === "auto" && desktop.matches));
    const choose = style => {
        choice = style ?? "auto";
        apply();
    };

    desktop.addEventListener("change", apply);
    window.addEventListener("storage", event => event.key === CHOICE && choose(event.newValue));
    window.addEventListener("cockpit-style", event => choose(event.detail.style));
    apply();
}
