// Filter of the tables by a part of the exposures' names; "/" moves to its field.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const field = document.getElementById("filter");
  const rows = [...document.querySelectorAll("tr[data-name]")].map((row) => [row, row.dataset.name.toLowerCase()]);
  const inTable = rows.filter(([row]) => row.closest("#exposures"));
  const count = document.getElementById("filter-count");
  field.closest("[hidden]").hidden = false;

  function apply() {
    const wanted = field.value.trim().toLowerCase();
    for (const [row, name] of rows) row.hidden = !name.includes(wanted);
    const shown = inTable.filter(([row]) => !row.hidden).length;
    count.textContent = wanted ? `${shown} of ${inTable.length} exposures` : "";
  }

  field.addEventListener("input", apply);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target === field) return;
    event.preventDefault();
    field.focus();
  });
  apply(); // a reloaded page keeps the text of the field
});
