"use strict";
// Sorts a table by the column whose button was pressed; what has no number stays last in either order, words in theirs.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const rows = Array.from(table.tBodies[0].rows);
      rows.sort((a, b) => compare(a.cells[place], b.cells[place], direction));
      table.tBodies[0].append(...rows);
    });
  });
}

function compare(a, b, direction) {
  if (!a.dataset.number && !b.dataset.number) {
    return direction * a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  }
  if (a.dataset.number === "" || b.dataset.number === "") {
    return (a.dataset.number === "") - (b.dataset.number === "");
  }
  return direction * (Number(a.dataset.number) - Number(b.dataset.number));
}

// Closed parts are printed too.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
