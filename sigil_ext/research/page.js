"use strict";
// What every page of research shares: its data, charts that follow the theme, tabs. A chart of `data.figures` is drawn when it is seen.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 760px)");
  const drawn = new Map();
  const makers = new Map(); // charts that are made here, not in the file: name -> () => figure

  // "var:name" anywhere in a figure is the CSS variable --name of the theme that is on.
  const themed = (value, style) => {
    if (typeof value === "string") return value.startsWith("var:") ? style.getPropertyValue("--" + value.slice(4)).trim() : value;
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map((v) => themed(v, style));
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v, style)]));
    return value;
  };

  const draw = (element) => {
    const made = makers.get(element.dataset.chart);
    const figure = made ? made() : data.figures[element.dataset.chart];
    if (!figure) return; // its maker is not there yet
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

  // --- figures as text ---
  const minus = (text) => text.replace("-", "\u2212");
  const fixed = (digits) => (v) => minus(v.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  const signed = (v) => (Math.abs(v) < 0.005 ? "$" : v < 0 ? "\u2212$" : "+$") + Math.abs(v).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

  return { data, makers, narrow, draw, drawVisible, redraw, fixed, signed, start: () => drawVisible(document) };
})();
