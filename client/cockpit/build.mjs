// SPDX-License-Identifier: GPL-3.0-or-later

// Builds the page: node build.mjs [OUTPUT_FOLDER [WORK_FOLDER]]
//   npm installs what package-lock.json names, into the work folder, unless node_modules is in this folder already.
// Extracts the texts for translators: node build.mjs --pot [OUTPUT_FILE]

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

import { parsePo, poScript } from "./po.mjs";

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);

const sources = () => fs.readdirSync(path.join(here, "src")).filter(name => /\.jsx?$/.test(name))
        .sort();

// Not by xgettext, which loses its way in JSX.
function extract(output) {
    const call = /\b(?:_|ngettext)\(\s*("(?:[^"\\]|\\.)*")(?:,\s*("(?:[^"\\]|\\.)*"))?/g;
    const entries = new Map();

    for (const name of sources())
        for (const [, id, plural] of fs.readFileSync(path.join(here, "src", name), "utf8").matchAll(call))
            entries.set(id, `#: src/${name}\nmsgid ${id}\n` +
                (plural ? `msgid_plural ${plural}\nmsgstr[0] ""\nmsgstr[1] ""\n` : `msgstr ""\n`));
    fs.writeFileSync(output, `msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n${[...entries.values()].join("\n")}`);
}

// PatternFly defines a few thousand variables: those that nothing uses are dropped, and so are the themes that Cockpit does
// not offer, and fonts, which Cockpit has.
function prune(css) {
    const declaration = /^\s*(--pf-[\w-]+):[^;]*;\n/gm;
    let before;

    css = css.replace(/@font-face\s*{[^}]*}\n/g, "")
            .replace(/:root:where\([^{]*-(felt|high-contrast)\b[^{]*{[^}]*}\n/g, "");
    do {
        before = css.length;
        const used = new Set([...css.matchAll(/var\(\s*(--pf-[\w-]+)/g)].map(match => match[1]));
        css = css.replace(declaration, (line, name) => used.has(name) ? line : "");
    } while (css.length < before);
    return css;
}

// The folder of the modules; installed again only after package-lock.json has changed.
function installModules(work) {
    const modules = path.join(here, "node_modules");
    const lock = "package-lock.json";
    const read = file => fs.existsSync(file) ? fs.readFileSync(file, "utf8") : "";

    if (!work || fs.existsSync(modules))
        return modules;
    if (read(path.join(work, "installed.json")) !== read(path.join(here, lock))) {
        fs.mkdirSync(work, { recursive: true });
        for (const name of ["package.json", lock])
            fs.copyFileSync(path.join(here, name), path.join(work, name));
        execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: work, stdio: "inherit" });
        fs.copyFileSync(path.join(here, lock), path.join(work, "installed.json"));
    }
    return path.join(work, "node_modules");
}

async function build(output, modules) {
    const { build, transform } = createRequire(path.join(modules, "package.json"))("esbuild");
    const bundle = await build({
        entryPoints: [path.join(here, "src/page.jsx"), path.join(here, "src/page.css")],
        outdir: output,
        bundle: true,
        write: false,
        minifySyntax: true,
        nodePaths: [modules],
        jsx: "automatic",
        jsxImportSource: "preact",
        target: ["es2020"],
        // Of PatternFly: pruned.
        external: ["*.woff2", "*.jpg", "*.svg"],
        legalComments: "inline",
    });

    fs.rmSync(output, { recursive: true, force: true });
    fs.mkdirSync(output, { recursive: true });
    for (const file of bundle.outputFiles) {
        const isStyle = file.path.endsWith(".css");
        const text = isStyle ? prune(file.text) : file.text;
        const { code } = await transform(text, { loader: isStyle ? "css" : "js", target: "es2020", minify: true, legalComments: "inline" });
        fs.writeFileSync(file.path, code);
    }
    for (const name of ["index.html", "manifest.json"])
        fs.copyFileSync(path.join(here, name), path.join(output, name));
    fs.writeFileSync(path.join(output, "LICENSES.txt"), licenses(modules));
    translate(output);
}

const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the rights to
use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom
the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES
OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE
LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR
IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`;

// What the bundle contains of others. PatternFly's package has no file with its license.
const licenses = modules =>
    `page.js contains Preact:\n\n${fs.readFileSync(path.join(modules, "preact/LICENSE"), "utf8")}\n` +
    `page.css contains parts of PatternFly:\n\nThe MIT License\n\nCopyright (c) 2019 Red Hat, Inc.\n\n${MIT}`;

// The browser requests po.js in its language; Cockpit serves po.LANGUAGE.js.
function translate(output) {
    for (const name of fs.readdirSync(path.join(here, "po")).filter(name => name.endsWith(".po"))) {
        const text = fs.readFileSync(path.join(here, "po", name), "utf8");
        fs.writeFileSync(path.join(output, `po.${path.basename(name, ".po")}.js`), poScript(parsePo(text)));
    }
}

const [first, second] = process.argv.slice(2);

if (first === "--pot")
    extract(path.resolve(second ?? path.join(here, "po/wbwatch.pot")));
else
    await build(path.resolve(first ?? path.join(here, "dist")), installModules(second && path.resolve(second)));
