"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 760px)");
  const drawn = new Map();

  // "var:name" anywhere in a figure is the CSS variable --name of the theme that is on.
  const themed = (value, style) => {
    if (typeof value === "string") return value.startsWith("var:") ? style.getPropertyValue("--" + value.slice(4)).trim() : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((v) => themed(v, style));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, style)]));
    return value;
  };

  const draw = (element) => {
    const figure = data.figures[element.dataset.chart];
    const style = getComputedStyle(document.documentElement);
    const css = (name) => style.getPropertyValue(name).trim();
    const spec = themed(figure, style);
    const axis = { gridcolor: css("--grid"), linecolor: css("--grid-strong"), zerolinecolor: css("--grid-strong"), zeroline: false, ticks: "" };
    const small = narrow.matches;
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true,
      font: { color: css("--ink"), size: small ? 11 : 12.5, family: getComputedStyle(document.body).fontFamily },
      margin: { l: small ? 50 : 62, r: 14, t: 8, b: small ? 40 : 44 }, bargap: 0.25, dragmode: small ? false : "zoom",
      legend: { orientation: "h", itemwidth: 30, x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", traceorder: "normal" },
      hoverlabel: { bgcolor: css("--surface"), bordercolor: css("--grid-strong"), font: { color: css("--ink") } },
      ...spec.layout,
    };
    for (const name of Object.keys(layout)) {
      if (!/^[xy]axis\d*$/.test(name)) continue;
      layout[name] = { ...axis, automargin: true, ...layout[name] };
      if (layout[name].title) layout[name].title = { ...layout[name].title, font: { size: small ? 11 : 12 }, standoff: 6 };
    }
    layout.xaxis = { automargin: true, nticks: small ? 5 : undefined, ...layout.xaxis };
    const config = { responsive: true, displayModeBar: false }; // drag zooms, double click goes back
    Plotly.react(element, spec.data, layout, config);
    drawn.set(element, true);
  };
  const drawVisible = (root) => root.querySelectorAll("[data-chart]").forEach((e) => { if (e.offsetParent !== null && !drawn.has(e)) draw(e); });
  const redraw = () => drawn.forEach((_, element) => { if (element.offsetParent === null) drawn.delete(element); else draw(element); });
  dark.addEventListener("change", redraw);
  narrow.addEventListener("change", redraw);

  // --- tabs ---
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    tabs.forEach((other) => {
      const on = other === tab;
      other.setAttribute("aria-selected", on);
      other.tabIndex = on ? 0 : -1;
      document.getElementById(other.getAttribute("aria-controls")).hidden = !on;
    });
    drawVisible(document);
  };
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = tabs[(i + step + tabs.length) % tabs.length];
      choose(next);
      next.focus();
    });
  });
  if (tabs.length) choose(tabs[0]);

  // --- trades ---
  const minus = (text) => text.replace("-", "\u2212");
  const fixed = (digits) => (v) => minus(v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const signed = (v) => (Math.abs(v) < 0.005 ? "$" : v < 0 ? "\u2212$" : "+$") + Math.abs(v).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
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

  drawVisible(document);
})();
