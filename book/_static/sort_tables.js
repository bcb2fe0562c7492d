// Tables of the class "sortable": a click on a heading sorts by its column, a second one the other
// way round, a third one puts the rows back. No library: DataTables would add 600 kB to every page
// and would read "−0.5", "1 052", "< 0.001" and "4.6 to 5.0" as words.

/** What a cell sorts by: its first number, `null` for a dash, else its text. */
function sortKey(text) {
  const plain = text.trim().replace(/\u2212/g, "-").replace(/[\u202f\u00a0]/g, "");
  if (plain === "\u2013" || plain === "") return null;
  if (/^-?\u221e/.test(plain)) return plain.startsWith("-") ? -Infinity : Infinity;
  const found = plain.match(/^(<\s*)?(-?\d+(?:\.\d+)?)(?=$|[\s%,;)]|\s*to\b)/);
  if (!found) return plain.toLowerCase();
  return Number(found[2]) - (found[1] ? 1e-9 : 0);
}

/** Order of two keys; cells without a value come last, whichever way the column is sorted. */
function compareKeys(a, b, way) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  const order = typeof a === "number" ? a - b || 0 : a.localeCompare(b);
  return way * order;
}

function makeSortable(table) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort by this column";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const before = heading.getAttribute("aria-sort");
      const now = { null: "ascending", ascending: "descending" }[before];
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      let rows = original;
      if (now) {
        heading.setAttribute("aria-sort", now);
        const way = now === "ascending" ? 1 : -1;
        const keyed = original.map((row) => [sortKey(row.cells[column].textContent), row]);
        rows = keyed.sort((a, b) => compareKeys(a[0], b[0], way)).map((pair) => pair[1]);
      }
      body.append(...rows);
    });
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table.sortable").forEach(makeSortable);
});
