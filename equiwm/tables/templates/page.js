for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = row => {
      const text = row.cells[column].textContent;
      const figure = parseFloat(text.replace(/,/g, ""));
      return [Number.isNaN(figure), Number.isNaN(figure) ? text : figure];
    };
    const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
    rows.sort(([[aWords, a]], [[bWords, b]]) =>
      aWords - bWords || (aWords ? a.localeCompare(b) : a - b) * (up ? 1 : -1));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
