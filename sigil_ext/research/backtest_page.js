(() => {
  const { data, fixed, signed } = page;
  // --- trades ---
  const price = (v) => { const t = v.toPrecision(6); return t.includes("e") ? v.toFixed(12).replace(/\.?0+$/, "") : t.includes(".") ? t.replace(/\.?0+$/, "") : t; };
  const held = (m) => (m < 60 ? `${Math.round(m)}m` : `${(m / 60).toFixed(1)}h`);
  const kinds = { text: String, time: (v) => v.slice(0, 16).replace("T", " "), usd: (v) => "$" + fixed(2)(v), signed, price, held,
    n0: fixed(0), n2: fixed(2), bool: (v) => (v ? "yes" : "no") };
  const FIRST = 1000;
  document.querySelectorAll("[data-trades]").forEach((box) => {
    const { columns, rows } = data.trades[box.dataset.trades];
    const reasonAt = columns.findIndex((c) => c.key === "exit_reason");
    const [text, reason, count] = ["[type=search]", "select", "output"].map((q) => box.querySelector(q));
    const body = box.querySelector("tbody");
    let sortBy = columns.findIndex((c) => c.key === "opened_at"), down = false, limit = FIRST;
    const heads = columns.map((column, i) => {
      const head = document.createElement("th"), button = document.createElement("button");
      button.type = "button";
      button.textContent = column.label;
      if (column.kind === "text" || column.kind === "time") head.className = "text";
      button.addEventListener("click", () => { down = sortBy === i ? !down : false; sortBy = i; show(); });
      head.append(button);
      box.querySelector("thead tr").append(head);
      return head;
    });
    const order = (a, b) => {
      const [x, y] = [a[sortBy], b[sortBy]];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
    };
    const show = () => {
      const wanted = text.value.trim().toLowerCase();
      const found = rows.filter((row) => (!reason.value || row[reasonAt] === reason.value) &&
        (!wanted || columns.some((c, i) => (c.kind === "text" || c.kind === "time") && String(row[i]).toLowerCase().includes(wanted))));
      found.sort(order);
      body.replaceChildren(...found.slice(0, limit).map((row) => {
        const line = document.createElement("tr");
        row.forEach((value, i) => {
          const cell = document.createElement("td"), kind = columns[i].kind;
          cell.textContent = value === null ? "n/a" : kinds[kind](value);
          cell.className = kind === "text" || kind === "time" ? "text" : kind === "signed" ? (value < 0 ? "bad" : "good") : "";
          line.append(cell);
        });
        return line;
      }));
      heads.forEach((head, i) => (i === sortBy ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
      const shown = Math.min(limit, found.length);
      count.textContent = `${shown.toLocaleString("en-US")} of ${rows.length.toLocaleString("en-US")} trades`;
      more.hidden = shown === found.length;
    };
    const more = box.querySelector("button.more");
    more.addEventListener("click", () => { limit = Infinity; show(); });
    text.addEventListener("input", show);
    reason.addEventListener("change", show);
    box.closest("details").addEventListener("toggle", show, { once: true });
  });

  page.start();
})();
