"use strict";
// Adds sorting, filtering and copying. The page is whole without it.
(function () {
  function made(tag, text) {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    let isCopied = true;
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      isCopied = document.execCommand("copy");
    }
    button.textContent = isCopied ? "Copied" : "Press Ctrl-C";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  function key(row, column) {
    const cell = row.cells[column];
    if (!cell) return "";
    const text = cell.dataset.sort || cell.textContent.trim();
    return /^-?[\d,]+$/.test(text) ? Number(text.replaceAll(",", "")) : text;
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en");
  }

  function sort(table, head, column) {
    const isDescending = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", isDescending ? "descending" : "ascending");
    const rows = Array.from(table.tBodies[0].rows);
    rows.sort((a, b) => compare(key(a, column), key(b, column)) * (isDescending ? -1 : 1));
    table.tBodies[0].append(...rows);
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
      const button = made("button", head.textContent);
      button.type = "button";
      button.addEventListener("click", () => sort(table, head, column));
      head.replaceChildren(button);
    });
  }

  const findings = Array.from(document.querySelectorAll("article.finding"));
  const filters = document.getElementById("filters");
  const isThere = (severity) => findings.some((finding) => finding.dataset.severity === severity);
  const severities = ["critical", "high", "medium", "low", "info"].filter(isThere);
  if (filters) {
    const shown = new Set(severities);
    for (const severity of severities.length > 1 ? severities : []) {
      const label = made("label", " " + severity);
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) shown.add(severity); else shown.delete(severity);
        for (const finding of findings) finding.hidden = !shown.has(finding.dataset.severity);
      });
      label.prepend(box);
      filters.append(label);
    }
    for (const [words, isOpen] of [["Open all", true], ["Close all", false]]) {
      const button = made("button", words);
      button.type = "button";
      button.addEventListener("click", () => {
        for (const finding of findings) finding.querySelector("details").open = isOpen;
      });
      filters.append(button);
    }
    filters.hidden = false;
  }

  // A link to a finding opens it.
  function open() {
    const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
    if (!target) return;
    target.hidden = false;
    const details = target.querySelector("details");
    if (details && target.matches("article.finding")) details.open = true;
  }
  addEventListener("hashchange", open);
  open();

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open], .numbers)")) {
      details.dataset.printed = "yes";
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const details of document.querySelectorAll("details[data-printed]")) {
      details.open = false;
      delete details.dataset.printed;
    }
  });
})();
