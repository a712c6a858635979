// SPDX-License-Identifier: GPL-3.0-or-later

// What several parts of the page are made of, in PatternFly's classes.

import { useEffect, useRef, useState } from "preact/hooks";

import { _, format } from "./words.js";

export const Card = ({ title, id, children }) =>
    <section class="pf-v6-c-card" id={id} aria-labelledby={`${id}-title`}>
      <div class="pf-v6-c-card__header"><h2 class="pf-v6-c-card__title-text" id={`${id}-title`}>{title}</h2></div>
      <div class="pf-v6-c-card__body">{children}</div>
    </section>;

export const Button = ({ primary, small, label, type = "button", children, ...props }) =>
    <button class={`pf-v6-c-button ${primary ? "pf-m-primary" : "pf-m-secondary"}${small ? " pf-m-small" : ""}`}
            type={type} aria-label={label} {...props}>
      <span class="pf-v6-c-button__text">{children}</span>
    </button>;

// A state, in words and in a colour.
export const Label = ({ level, children }) =>
    <span class={`pf-v6-c-label ${level ? "pf-m-" + level : ""}`}>
      <span class="pf-v6-c-label__content"><span class="pf-v6-c-label__text">{children}</span></span>
    </span>;

export const Alert = ({ level, title, live, children }) =>
    <div class={`pf-v6-c-alert pf-m-inline pf-m-${level} wb-alert`} role={live ? "alert" : undefined}>
      <p class="pf-v6-c-alert__title">{title}</p>
      {children && <div class="pf-v6-c-alert__description">{children}</div>}
    </div>;

const isDenied = error =>
    ["org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"].includes(error.name);

export const Problem = ({ error }) => error &&
    <Alert level="danger" live title={isDenied(error) ? _("Not authorized") : _("That failed")}>
      {error.message}
      {isDenied(error) && " " + _("Turn on administrative access at the top of Cockpit, or ask for a rule of polkit.")}
    </Alert>;

// A call that somebody requested: whether it is under way, and its error. Several may follow each other.
export function useAction() {
    const [state, setState] = useState({ running: false, error: null });
    const mounted = useRef(true);

    useEffect(() => () => { mounted.current = false }, []);
    const finish = error => mounted.current && setState({ running: false, error });
    const run = work => {
        setState({ running: true, error: null });
        return Promise.resolve().then(work)
                .then(() => finish(null), finish);
    };
    return { ...state, run };
}

// A table whose rows become cards on a narrow screen. That takes the meaning of its elements away, hence the roles.
export const Table = ({ label, columns, children }) =>
    <table class="pf-v6-c-table pf-m-compact wb-table" role="table" aria-label={label}>
      <thead class="pf-v6-c-table__thead" role="rowgroup">
        <tr class="pf-v6-c-table__tr" role="row">
          {columns.map(column => <th key={column} class="pf-v6-c-table__th" role="columnheader" scope="col">{column}</th>)}
        </tr>
      </thead>
      <tbody class="pf-v6-c-table__tbody" role="rowgroup">{children}</tbody>
    </table>;

export const Row = ({ children }) => <tr class="pf-v6-c-table__tr" role="row">{children}</tr>;

export const Cell = ({ column, header, children }) => header
    ? <th class="pf-v6-c-table__th wb-cell" role="rowheader" scope="row" data-label={column}>{children}</th>
    : <td class="pf-v6-c-table__td wb-cell" role="cell" data-label={column}>{children}</td>;

// The same, of [{ key, cells }].
export const SimpleTable = ({ label, columns, rows }) =>
    <Table label={label} columns={columns}>
      {rows.map(({ key, cells }) =>
          <Row key={key}>{cells.map((cell, i) => <Cell key={i} column={columns[i]}>{cell}</Cell>)}</Row>)}
    </Table>;

// [name, value] pairs; those without a value are left out.
export const Facts = ({ facts }) =>
    <dl class="pf-v6-c-description-list pf-m-horizontal wb-facts">
      {facts.filter(([, value]) => value !== null && value !== undefined).map(([name, value]) =>
          <div key={name} class="pf-v6-c-description-list__group">
            <dt class="pf-v6-c-description-list__term"><span class="pf-v6-c-description-list__text">{name}</span></dt>
            <dd class="pf-v6-c-description-list__description"><div class="pf-v6-c-description-list__text">{value}</div></dd>
          </div>)}
    </dl>;

export const describeFilesystem = ({ Mountpoint, Type, Result }, span) =>
    span ? format(_("$0 ($1): $2 $3"), Mountpoint, Type, Result, span) : format(_("$0 ($1): $2"), Mountpoint, Type, Result);

// The width of an element, for what is drawn in it.
export function useWidth() {
    const ref = useRef(null);
    const [width, setWidth] = useState(0);

    useEffect(() => {
        const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry.contentRect.width)));
        observer.observe(ref.current);
        return () => observer.disconnect();
    }, []);
    return [ref, width];
}
