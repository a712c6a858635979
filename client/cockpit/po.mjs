// SPDX-License-Identifier: GPL-3.0-or-later

// Translations: a .po file as the script that Cockpit loads.

// [{ id, plural, texts }] of a .po file; the header has the empty id.
export function parsePo(text) {
    return text.split(/\n\s*\n/).map(parseEntry)
            .filter(entry => entry.id !== undefined);
}

function parseEntry(block) {
    const entry = { texts: [] };
    let append = () => {};

    if (/^#,.*\bfuzzy\b/m.test(block) && !/^msgid ""\nmsgstr/m.test(block))
        return entry;
    for (const line of block.split("\n")) {
        const match = line.match(/^(?:(msgid|msgid_plural|msgstr)(?:\[(\d)\])? )?"(.*)"\s*$/);
        if (!match)
            continue;
        const part = JSON.parse(`"${match[3]}"`);
        if (match[1] === "msgid")
            append = more => { entry.id = (entry.id ?? "") + more };
        else if (match[1] === "msgid_plural")
            append = more => { entry.plural = (entry.plural ?? "") + more };
        else if (match[1] === "msgstr")
            append = more => { entry.texts[Number(match[2] ?? 0)] = (entry.texts[Number(match[2] ?? 0)] ?? "") + more };
        append(part);
    }
    return entry;
}

// The plural rule becomes code, so it may hold nothing but an expression of n.
function pluralFunction(header) {
    const rule = header.match(/plural=([^;]*);/)?.[1] ?? "n != 1";

    if (!/^[n\d\s()?:<>=!&|%]+$/.test(rule))
        throw new Error(`"${rule}" is no plural rule`);
    return `n => ${rule}`;
}

export function poScript(entries) {
    const header = entries.find(({ id }) => id === "")?.texts[0] ?? "";
    const language = header.match(/^Language: *(\S+)/m)?.[1] ?? "en";
    const messages = entries.filter(({ id, texts }) => id && texts.some(text => text))
            .map(({ id, texts }) => `${JSON.stringify(id)}:${JSON.stringify([null, ...texts])}`);

    return `cockpit.locale({"":{"plural-forms":${pluralFunction(header)},"language":${JSON.stringify(language)}},\n${messages.join(",\n")}});\n`;
}
