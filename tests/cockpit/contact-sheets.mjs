#!/usr/bin/env node
// SPDX-License-Identifier: GPL-3.0-or-later

// contact-sheets.mjs FOLDER OUT: puts the pictures that test-cockpit has drawn into FOLDER (WBWATCH_SCREENSHOTS) on four
// sheets in OUT, light and dark, of 1280 and of 400 pixels: all states at one look, for docs/cockpit.md.
//
// $WBWATCH_COCKPIT_MODULES: the node_modules of the page's build.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const [folder, out] = process.argv.slice(2);
if (!out) {
    console.error("usage: contact-sheets.mjs FOLDER OUT");
    process.exit(2);
}

const { chromium } = createRequire(path.join(process.env.WBWATCH_COCKPIT_MODULES, "package.json"))("playwright-core");
const columns = { 1280: 4, 400: 8 };
const escape = text => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function sheet(files, end, style, width) {
    const figures = files.map(file => {
        const data = fs.readFileSync(path.join(folder, file)).toString("base64");
        return `<figure><figcaption>${escape(file.slice(0, -end.length))}</figcaption><img src="data:image/png;base64,${data}"></figure>`;
    });
    return `<!doctype html><style>
        body { margin: 12px; columns: ${columns[width]}; column-gap: 12px; font: 13px sans-serif;
               background: ${style === "dark" ? "#333" : "#ccc"}; color: ${style === "dark" ? "#fff" : "#000"} }
        figure { margin: 0 0 12px; break-inside: avoid }
        img { width: 100% }
    </style>${figures.join("")}`;
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
for (const style of ["light", "dark"])
    for (const width of [1280, 400]) {
        const end = `-${style}-${width}.png`;
        const files = fs.readdirSync(folder).filter(file => file.endsWith(end)).sort();
        const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });

        await page.setContent(sheet(files, end, style, width), { waitUntil: "load" });
        await page.screenshot({ path: path.join(out, `cockpit-states-${style}-${width}.jpg`), type: "jpeg", quality: 70, fullPage: true });
        await page.close();
        console.log(`cockpit-states-${style}-${width}.jpg: ${files.length} states`);
    }
await browser.close();
