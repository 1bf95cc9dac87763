(() => {
  const { data, makers, narrow, draw, fixed, signed } = page;
  const grid = data.grid;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const count = grid.score.length;
  const percent = (v) => fixed(0)(v * 100) + " %";
  const kinds = { count: fixed(0), signed_usd: signed, signed: (v) => (v > 0 ? "+" : "") + fixed(2)(v), percent, ratio: fixed(2), pct: (v) => fixed(2)(v) + " %" };
  const diverging = new Set(["net_pnl_usd", "gap"]);
  const short = (v) => fixed(Math.abs(v) < 9.95 ? 1 : 0)(v);
  const texts = { net_pnl_usd: (v) => (v > 0 ? "+" : "") + short(v), hard_stop_share: (v) => fixed(0)(v * 100), max_drawdown_pct: (v) => fixed(v < 9.95 ? 1 : 0)(v), trades: fixed(0), gap: (v) => (v > 0 ? "+" : "") + short(v), payoff_ratio: fixed(2) };

  // --- over the axes: mean, median or the best cell's values of what is not drawn ---
  const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const middle = (values) => { const s = [...values].sort((a, b) => a - b), h = s.length >> 1; return s.length % 2 ? s[h] : (s[h - 1] + s[h]) / 2; };
  const ways = { mean: average, median: middle };
  const chosen = { x: 0, y: grid.dims.length > 1 ? 1 : null, way: "mean" };
  const kept = () => {
    const all = [...Array(count).keys()];
    if (chosen.way !== "best" || grid.best === null) return all;
    return all.filter((i) => grid.dims.every((_, d) => d === chosen.x || d === chosen.y || grid.at[d][i] === grid.at[d][grid.best]));
  };
  const table = (key) => {
    const nx = grid.dims[chosen.x].values.length, ny = chosen.y === null ? 1 : grid.dims[chosen.y].values.length;
    const found = Array.from({ length: ny }, () => Array.from({ length: nx }, () => []));
    for (const i of kept()) {
      const value = grid.figures[key][i];
      if (value !== null) found[chosen.y === null ? 0 : grid.at[chosen.y][i]][grid.at[chosen.x][i]].push(value);
    }
    return found.map((row) => row.map((values) => (values.length ? (ways[chosen.way] || average)(values) : null)));
  };
  const frame = (i) => {
    const [x, y] = [grid.at[chosen.x][i], grid.at[chosen.y][i]];
    return { type: "rect", x0: x - 0.5, x1: x + 0.5, y0: y - 0.5, y1: y + 0.5, line: { color: css("ink"), width: 2.5 } };
  };
  // --- figures on a field: black or white, whichever stands out more from the field's own colour ---
  const rgb = (colour) => { const n = parseInt(colour.slice(1), 16); return [n >> 16, (n >> 8) & 255, n & 255]; };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const legible = (scale, share) => {
    const upper = Math.max(1, scale.findIndex(([at]) => at >= share)), [low, from] = scale[upper - 1], [high, to] = scale[upper];
    const [a, b] = [rgb(from), rgb(to)], part = (share - low) / (high - low);
    return light(a.map((c, i) => c + (b[i] - c) * part)) > 0.179 ? "#000000" : "#ffffff"; // where both have the same contrast
  };
  const written = (key, x, y, z, scale, lowest, highest) => {
    const fields = z.flatMap((row, j) => row.map((v, i) => [v, i, j])).filter(([v]) => v !== null);
    return {
      type: "scatter", mode: "text", hoverinfo: "skip", showlegend: false,
      x: fields.map(([, i]) => x.values[i]), y: fields.map(([, , j]) => y.values[j]), text: fields.map(([v]) => texts[key](v)),
      textfont: { size: 11, color: fields.map(([v]) => legible(scale, highest > lowest ? (v - lowest) / (highest - lowest) : 0.5)) },
    };
  };
  const heatmap = (key) => {
    const x = grid.dims[chosen.x], y = grid.dims[chosen.y], z = table(key);
    const known = z.flat().filter((v) => v !== null), most = Math.max(...known.map(Math.abs), 1e-9);
    const scale = diverging.has(key)
      ? [[0, css("vermillion")], [0.5, css("neutral")], [1, css("blue")]]
      : [[0, css("neutral")], [1, css(key === "max_drawdown_pct" || key === "hard_stop_share" ? "vermillion" : "blue")]];
    const range = diverging.has(key) ? { zmin: -most, zmax: most } : known.length ? { zmin: Math.min(...known), zmax: Math.max(...known) } : {};
    const small = x.values.length <= (narrow.matches ? 6 : 9) && y.values.length <= 14; // room for the figure itself
    const name = (dim) => dim.key;
    return {
      data: [{
        type: "heatmap", x: x.values, y: y.values, z, colorscale: scale, ...range, xgap: 2, ygap: 2, hoverongaps: false,
        text: z.map((row) => row.map((v) => (v === null ? "" : texts[key](v)))),
        hovertemplate: `${name(x)} %{x}<br>${name(y)} %{y}<br><b>%{text}</b><extra></extra>`,
        showscale: !small, colorbar: { thickness: 9, outlinewidth: 0, len: 1, tickfont: { size: 10.5 } },
      }, ...(small ? [written(key, x, y, z, scale, range.zmin, range.zmax)] : [])],
      layout: {
        height: 320, dragmode: false, shapes: grid.best === null ? [] : [frame(grid.best)],
        xaxis: { type: "category", title: { text: name(x) }, showgrid: false, tickangle: "auto", fixedrange: true, nticks: 14 },
        yaxis: { type: "category", title: { text: name(y) }, showgrid: false, fixedrange: true, nticks: 14 },
      },
    };
  };
  const lines = (key) => {
    const x = grid.dims[chosen.x], [row] = table(key);
    const numbers = x.sized && x.values.every((v) => !isNaN(v));
    return {
      data: [{ type: "scatter", mode: "lines+markers", x: numbers ? x.values.map(Number) : x.values, y: row, line: { color: "var:blue", width: 2 },
        text: row.map((v) => (v === null ? "" : texts[key](v))), hovertemplate: `${x.key} %{x}: <b>%{text}</b><extra></extra>` }],
      layout: { height: 320, showlegend: false, xaxis: { type: numbers ? "linear" : "category", title: { text: x.key } },
        yaxis: { zeroline: diverging.has(key), rangemode: diverging.has(key) ? "normal" : "tozero" } },
    };
  };
  const maps = [...document.querySelectorAll("[data-chart^=map-]")];
  maps.forEach((element) => makers.set(element.dataset.chart, () => {
    const key = element.dataset.chart.slice(4);
    return chosen.y === null ? lines(key) : heatmap(key);
  }));
  const tools = document.getElementById("map-tools");
  const select = (label, options, value, change) => {
    const box = document.createElement("label"), list = document.createElement("select");
    box.append(label, list);
    options.forEach(([v, text]) => list.add(new Option(text, v, false, String(v) === String(value))));
    list.addEventListener("change", () => { change(list.value); legend(); maps.forEach(draw); });
    tools.append(box);
    return list;
  };
  const legend = () => {
    const others = grid.dims.filter((_, d) => d !== chosen.x && d !== chosen.y).map((d) => d.key);
    const how = { mean: "the mean over", median: "the median over", best: "as in the best cell in" }[chosen.way];
    const framed = chosen.y === null ? "" : " The frame is where the best cell lies.";
    document.getElementById("map-legend").textContent = (others.length ? `Each field is ${how} ${others.join(", ")}.` : "Each field is one cell.") +
      (maps.length && grid.best !== null && chosen.y !== null ? framed : "");
  };
  if (tools) {
    const options = grid.dims.map((d, i) => [i, d.key]);
    // The first two axes by number of values, the longer one across.
    const order = grid.dims.map((d, i) => i).sort((a, b) => grid.dims[b].sized - grid.dims[a].sized || grid.dims[b].values.length - grid.dims[a].values.length);
    [chosen.x, chosen.y] = [order[0], order.length > 1 ? order[1] : null];
    if (chosen.y !== null) {
      const across = select("across", options, chosen.x, (v) => { if (+v === chosen.y) { chosen.y = chosen.x; up.value = chosen.y; } chosen.x = +v; });
      const up = select("up", options, chosen.y, (v) => { if (+v === chosen.x) { chosen.x = chosen.y; across.value = chosen.x; } chosen.y = +v; });
      if (grid.dims.length > 2) select("the other axes:", [["mean", "mean"], ["median", "median"], ...(grid.best === null ? [] : [["best", "as in the best cell"]])], "mean", (v) => { chosen.way = v; });
    }
    legend();
  }

  // --- cells ---
  const FIRST = 200;
  const box = document.getElementById("cells");
  const [search, output, more, body, head] = ["[type=search]", "output", "button.more", "tbody", "thead tr"].map((q) => box.querySelector(q));
  const mark = (i) => [i === grid.best ? "★" : grid.own.includes(i) ? "○" : "", i in grid.same ? "(same)" : ""].filter(Boolean).join(" ");
  const columns = [
    { name: "", text: true, of: mark, hint: (i) => (i in grid.same ? "the same trades as " + grid.same[i] : ""), rank: (i) => (grid.score[i] === null ? -Infinity : grid.score[i]) },
    ...grid.dims.map((dim, d) => ({ name: dim.key, text: dim.key === "variant", of: (i) => dim.values[grid.at[d][i]], rank: (i) => grid.at[d][i] })),
    ...grid.columns.map(({ key, name, kind }) => ({ name, kind, value: (i) => grid.figures[key][i], of: (i) => { const v = grid.figures[key][i]; return v === null ? "n/a" : kinds[kind](v); }, rank: (i) => grid.figures[key][i] })),
    { name: "stop/trail/flat", of: (i) => grid.exits[i], rank: (i) => +grid.exits[i].split("/")[0] },
  ];
  let sortBy = 0, down = true, limit = FIRST;
  const heads = columns.map((column, c) => {
    const cell = document.createElement("th"), button = document.createElement("button");
    button.type = "button";
    button.textContent = column.name || "best";
    if (column.text) cell.className = "text";
    button.addEventListener("click", () => { down = sortBy === c ? !down : true; sortBy = c; show(); });
    cell.append(button);
    head.append(cell);
    return cell;
  });
  const show = () => {
    const wanted = search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const named = columns.slice(1, 1 + grid.dims.length);
    const found = [...Array(count).keys()].filter((i) => wanted.every((w) => named.some((c) => String(c.of(i)).toLowerCase() === w || String(c.of(i)).toLowerCase().startsWith(w))));
    const rank = columns[sortBy].rank;
    found.sort((a, b) => {
      const [x, y] = [rank(a), rank(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1) || a - b;
    });
    body.replaceChildren(...found.slice(0, limit).map((i) => {
      const line = document.createElement("tr");
      columns.forEach((column) => {
        const cell = document.createElement("td");
        cell.textContent = column.of(i);
        if (column.hint && column.hint(i)) cell.title = column.hint(i);
        const value = column.kind && column.kind.startsWith("signed") ? column.value(i) : null;
        cell.className = column.text ? "text" : value === null ? "" : value < 0 ? "bad" : "good";
        line.append(cell);
      });
      return line;
    }));
    heads.forEach((cell, c) => (c === sortBy ? cell.setAttribute("aria-sort", down ? "descending" : "ascending") : cell.removeAttribute("aria-sort")));
    const seen = Math.min(limit, found.length);
    output.textContent = `${seen.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} cells`;
    more.hidden = seen === found.length;
  };
  search.addEventListener("input", show);
  more.addEventListener("click", () => { limit = Infinity; show(); });
  show();
  page.start();
})();
