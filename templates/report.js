// Sorting, filtering, colours; the report is whole without.
(() => {
const page = document, root = page.documentElement, main = page.querySelector("main"), tables = [...page.querySelectorAll("table:not(.on-paper *)")];
const make = (tag, given, ...inside) => {
  const made = Object.assign(page.createElement(tag), given);
  made.append(...inside);
  return made;
};
const once = (find, known = new Map()) => key => known.get(key) ?? known.set(key, find(key)).get(key);
// The words of a cell without those of its drawings.
const words = node => node.nodeType === 3 ? node.data : node.nodeName === "svg" ? "" : [...node.childNodes].map(words).join("");
const said = node => words(node).replace(/\s+/g, " ").trim();
const rowsOf = table => [...table.tBodies].flatMap(body => [...body.rows]);
const seriesOf = node => [...node.querySelectorAll("[data-series]")].map(mark => mark.dataset.series);

// {row: [[cell, its first column, its columns]]}, as the page was written.
const cellsOf = once(table => {
  const found = new Map();
  for (const part of [table.tHead, ...table.tBodies]) {
    const taken = [];
    [...part?.rows ?? []].forEach((row, y) => {
      let x = 0;
      found.set(row, [...row.cells].map(cell => {
        while (taken[x] > y) x += 1;
        const first = x;
        while (x < first + cell.colSpan) taken[x++] = y + cell.rowSpan;
        return [cell, first, cell.colSpan];
      }));
    });
  }
  return found;
});
// Rows that move and hide together: those beside one tall cell, and those that belong to the row above.
const groupsOf = once(table => {
  const groups = [];
  let under = 0;
  rowsOf(table).forEach((row, y) => {
    if (groups.length && (y < under || "joined" in row.dataset)) groups.at(-1).push(row);
    else groups.push([row]);
    for (const cell of row.cells) under = Math.max(under, y + cell.rowSpan);
  });
  return groups;
});

// Numbers as numbers; what has none comes last either way; rows over all classes stay first; a third press undoes it.
const numberOf = text => parseFloat(/^[<>≤≥ ]*([+-]?\d.*)/.exec(text.replace(/,/g, "").replace(/−/g, "-"))?.[1]);
const absent = cell => !cell || cell.classList.contains("absent") || /^(not .*)?$/.test(said(cell));
const {compare} = new Intl.Collator("en", {numeric: true});
const sort = (table, header, column) => {
  const before = header.getAttribute("aria-sort"), way = before ? before === "ascending" && "descending" : "ascending";
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  if (way) header.setAttribute("aria-sort", way);
  const groups = groupsOf(table).map(rows => {
    const [cell] = cellsOf(table).get(rows[0]).find(([, first, span]) => first <= column && column < first + span) ?? [];
    return {rows, none: absent(cell), text: cell && said(cell), name: cell?.tagName === "TH", top: "overall" in rows[0].dataset};
  });
  const numeric = groups.every(({none, text, name}) => none || !name && !isNaN(numberOf(text)));
  const difference = (a, b) => (numeric ? numberOf(a.text) - numberOf(b.text) : compare(a.text, b.text)) * (way === "ascending" ? 1 : -1);
  if (way) groups.sort((a, b) => b.top - a.top || (a.top ? 0 : a.none - b.none || (a.none ? 0 : difference(a, b))));
  table.tBodies[0].append(...groups.flatMap(({rows}) => rows));
  shorten(table);
};

// Tall tables show their beginning and a button for the rest; on paper they are whole.
const SHOWN = 20, toggles = new Map();
const shorten = table => {
  const toggle = toggles.get(table);
  if (!toggle) return;
  const short = toggle.ariaExpanded === "false" && !filtered(), rows = rowsOf(table);
  rows.forEach((row, y) => row.classList.toggle("beyond", short && y >= SHOWN));
  toggle.textContent = short ? `Show all ${rows.length} rows` : `Show ${SHOWN} rows`;
  toggle.hidden = filtered();
};

const state = {class: "", series: "", text: ""};
const filtered = () => Object.values(state).some(Boolean);
const textOf = once(row => said(row).toLowerCase());
const fits = row =>
  (!state.class || !row.dataset.class || row.dataset.class === state.class) &&
  (!state.series || !seriesOf(row).length || seriesOf(row).includes(state.series)) &&
  textOf(row).includes(state.text);
const columns = table => {
  const off = [], cells = [...cellsOf(table).values()].flat();
  for (const [cell, first, span] of cells)
    if (state.series && cell.closest("thead") && seriesOf(cell).some(series => series !== state.series))
      for (let x = first; x < first + span; x++) off[x] = true;
  for (const [cell, first, span] of cells) {
    const left = span - off.slice(first, first + span).filter(Boolean).length;
    cell.hidden = !left;
    cell.colSpan = left || span;
  }
};
const emptied = once(table => {
  const note = make("p", {className: "note emptied"}, `${said(table.caption?.querySelector("b") ?? table)} No row passes the filter.`);
  table.closest(".scroll")?.before(note);
  return note;
});
const apply = () => {
  let all = 0, hidden = 0;
  for (const table of tables) {
    let left = 0;
    for (const rows of groupsOf(table)) {
      const fit = rows.some(fits);
      for (const row of rows) row.hidden = !fit;
      all += rows.length;
      fit ? left++ : hidden += rows.length;
    }
    columns(table);
    shorten(table);
    table.hidden = !left && filtered();
    emptied(table).hidden = !table.hidden;
  }
  for (const figure of page.querySelectorAll("figure[data-class]")) figure.hidden = ![figure.dataset.class, ""].includes(state.class);
  status.textContent = hidden ? `${hidden} of ${all} rows are hidden; charts show everything.` : `All ${all} rows are shown.`;
};

// A page opened from a file may have no storage.
const kept = use => { try { return use(localStorage); } catch { return null; } };
const paint = theme => {
  if (theme === "auto") delete root.dataset.theme;
  else root.dataset.theme = theme;
  kept(storage => storage.setItem("auditor-theme", theme));
};

const status = make("p", {role: "status"}), bar = make("div", {role: "search", ariaLabel: "Filter rows", className: "controls"});
const choice = (label, options, change) => {
  const select = make("select", {onchange: () => change(select.value)}, ...options.map(([value, text]) => make("option", {value}, text)));
  bar.append(make("label", {}, label, select));
  return select;
};
const only = change => { Object.assign(state, change); apply(); };
const classes = [...page.querySelectorAll("[data-class]")].map(row => row.dataset.class);
for (const [name, label, found] of [["class", "Class", new Set(classes)], ["series", main.dataset.called ?? "Strategy", new Set(seriesOf(page))]])
  if (found.size > 1) choice(label, [["", "all"], ...[...found].map(value => [value, value])], value => only({[name]: value}));
if (tables.length) {
  const text = make("input", {type: "search", oninput: () => only({text: text.value.trim().toLowerCase()})});
  const clear = () => {
    for (const control of [text, ...bar.querySelectorAll("select:not(.colours)")]) control.value = "";
    only({class: "", series: "", text: ""});
  };
  bar.append(make("label", {}, "Text", text), make("button", {onclick: clear}, "Clear"));
}
const theme = kept(storage => storage.getItem("auditor-theme")) ?? "auto";
const colours = choice("Colours", [["auto", "as the system"], ["light", "light"], ["dark", "dark"]], paint);
Object.assign(colours, {className: "colours", value: theme});
paint(theme);
if (tables.length) bar.append(status);
main.before(bar);

for (const table of tables) {
  if (groupsOf(table).length > 2 && table.tBodies.length === 1)
    for (const [head, at, span] of [...table.tHead?.rows ?? []].flatMap(row => cellsOf(table).get(row)))
      if (span < 2 && head.scope === "col" && head.textContent)
        head.append(make("button", {className: "sort", onclick: () => sort(table, head, at)}, ...head.childNodes));
  if (rowsOf(table).length > SHOWN + 4) {
    const toggle = make("button", {className: "more", ariaExpanded: "false"});
    toggle.onclick = () => { toggle.ariaExpanded = toggle.ariaExpanded === "false"; shorten(table); };
    toggles.set(table, toggle);
    (table.closest(".scroll") ?? table).after(toggle);
  }
}
apply();
})();
