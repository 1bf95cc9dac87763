// Charts, drawn by TradingView Lightweight Charts from series that the page fetches. Colours are those of panel.css and
// follow the reader's scheme. A chart that cannot be drawn leaves a sentence in its place.
import {
  CandlestickSeries, ColorType, createChart, createSeriesMarkers, HistogramSeries, LineSeries, LineType,
} from "./vendor/lightweight-charts-5.2.1.mjs";

const EVERY_MS = 20000;
const AGAIN_MS = 4000;
const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function look() {
  return {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: colour("--card") },
      textColor: colour("--muted"),
      attributionLogo: false, // said in the footer: the logo would bring an inline style sheet
    },
    grid: { vertLines: { color: colour("--line") }, horzLines: { color: colour("--line") } },
    rightPriceScale: { borderColor: colour("--line"), entireTextOnly: true },
    timeScale: { borderColor: colour("--line"), timeVisible: true, secondsVisible: false, rightOffset: 4 },
    crosshair: { vertLine: { labelBackgroundColor: colour("--muted") }, horzLine: { labelBackgroundColor: colour("--muted") } },
    localization: { locale: "en-GB" },
  };
}

async function series(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(15000) });
  if (answer.redirected) throw new Error("Your login has ended.");
  const document_ = await answer.json();
  if (!answer.ok) throw new Error(document_.error?.message ?? "The chart's figures cannot be read now.");
  return document_;
}

// Times must rise: of two points at one second the later one stands.
function rising(points) {
  const found = [];
  for (const [time, value] of points) {
    if (found.length && found.at(-1).time >= time) found.pop();
    found.push({ time, value });
  }
  return found;
}

class Equity {
  constructor(place) {
    this.place = place;
    this.chart = createChart(place, look());
    this.lines = new Map();
    this.window = document.getElementById("equity-window");
    this.window?.addEventListener("change", () => this.refresh(true));
  }

  async refresh(fit = false) {
    const { series: found } = await series(`${this.place.dataset.src}?window=${this.window?.value ?? "all"}`);
    for (const { variant, place, points } of found) {
      if (!this.lines.has(variant)) {
        this.lines.set(variant, [this.chart.addSeries(LineSeries, { lineWidth: 2, priceLineVisible: false, title: "" }), place]);
      }
      if (points.length) this.lines.get(variant)[0].setData(rising(points)); // of one that is away the old line stays
    }
    this.paint();
    if (fit) this.chart.timeScale().fitContent();
    const away = found.filter((one) => one.away);
    const names = away.map(({ variant }) => variant).join(", ");
    const drawn = found.some(({ points }) => points.length);
    document.getElementById("equity-said").textContent = drawn && away.length ? `Not readable now: ${names}; what is drawn of it is old, or nothing.` : "";
    if (drawn) return "";
    if (away.length === found.length) return `Not readable now: ${names}.`;
    return "No equity is recorded yet. A session records it: sigil run paper --all --candles sample";
  }

  paint() {
    this.chart.applyOptions(look());
    for (const [line, place] of this.lines.values()) line.applyOptions({ color: colour(`--v${place % 6}`) });
  }
}

class Candles {
  constructor(place) {
    this.place = place;
    this.chart = createChart(place, look());
    this.volume = this.chart.addSeries(HistogramSeries, { priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false });
    this.chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.85, bottom: 0 } });
    this.candles = this.chart.addSeries(CandlestickSeries, {});
    this.markers = createSeriesMarkers(this.candles, []);
    this.stops = [];
  }

  async refresh(fit = false) {
    const { src, symbol, bar } = this.place.dataset;
    const found = await series(`${src}?symbol=${encodeURIComponent(symbol)}&bar=${encodeURIComponent(bar)}`);
    if (found.away) throw new Error(found.away);
    this.found = found;
    if (!found.bars.length) return `No minutes of ${symbol} are recorded in this stretch of time.`;
    const smallest = Math.min(...found.bars.map(([, , , low]) => low));
    const precision = Math.min(12, Math.max(2, 5 - Math.floor(Math.log10(smallest))));
    this.candles.applyOptions({ priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
    this.candles.setData(found.bars.map(([time, open, high, low, close]) => ({ time, open, high, low, close })));
    this.paint();
    if (fit && this.narrow) this.chart.timeScale().setVisibleLogicalRange({ from: found.bars.length - 160, to: found.bars.length + 4 });
    else if (fit) this.chart.timeScale().fitContent();
    return "";
  }

  get narrow() {
    return this.place.clientWidth < 560;
  }

  paint() {
    this.chart.applyOptions(look());
    const [up, down, bad] = ["--up", "--down", "--bad"].map(colour);
    this.candles.applyOptions({ upColor: up, downColor: down, borderVisible: false, wickUpColor: up, wickDownColor: down });
    if (!this.found?.bars.length) return;
    const { bars, positions } = this.found;
    this.volume.setData(bars.map(([time, open, , , close, value]) => ({ time, value, color: `${close < open ? down : up}55` })));
    const times = bars.map(([time]) => time);
    const snap = (time) => times[Math.max(0, times.findLastIndex((t) => t <= time))];
    const marks = [];
    const seen = positions.filter((p) => (p.closed ?? Infinity) >= times[0]);
    for (const p of seen) {
      if (p.opened >= times[0]) marks.push({ time: snap(p.opened), position: "belowBar", shape: "arrowUp", color: colour("--accent"), text: this.narrow ? "" : p.id });
      if (p.closed) marks.push({ time: snap(p.closed), position: "aboveBar", shape: "arrowDown", color: p.pnl < 0 ? bad : up, text: this.narrow ? "" : (p.reason ?? "").replaceAll("_", " ") });
    }
    this.markers.setMarkers(marks.sort((a, b) => a.time - b.time));
    for (const line of this.stops) this.chart.removeSeries(line);
    this.stops = seen.filter((p) => p.stop.length > 1).map((p) => {
      const line = this.chart.addSeries(LineSeries, {
        color: bad, lineWidth: 2, lineType: LineType.WithSteps, lastValueVisible: !p.closed, priceLineVisible: false, crosshairMarkerVisible: false,
      });
      line.setData(steps(p.stop, times, snap));
      return line;
    });
  }
}

// The stop at each bar of the position: the series have one time scale, so the points stand on its bars.
function steps(path, times, snap) {
  const [from, to] = [snap(path[0][0]), snap(path.at(-1)[0])];
  let level = path[0][1];
  let next = 0;
  const found = [];
  for (const time of times) {
    if (time < from || time > to) continue;
    while (next < path.length && path[next][0] <= Math.max(time, path[0][0])) level = path[next++][1];
    found.push({ time, value: level });
  }
  return found;
}

const KINDS = { equity: Equity, candles: Candles };

for (const place of document.querySelectorAll("[data-chart]")) {
  const chart = new KINDS[place.dataset.chart](place);
  let again = 0;
  const draw = async (fit) => {
    try {
      const empty = await chart.refresh(fit);
      place.toggleAttribute("data-empty", Boolean(empty));
      if (empty) place.dataset.empty = empty;
      place.dataset.drawn = "1";
    } catch (error) {
      again ||= setTimeout(() => { again = 0; draw(!place.dataset.drawn); }, AGAIN_MS);
      // What was drawn before stays; live.js says that the server is away.
      if (!place.dataset.drawn) place.dataset.empty = error instanceof TypeError ? "The server does not answer." : error.message;
    }
  };
  draw(true);
  setInterval(() => { if (!document.hidden) draw(false); }, EVERY_MS);
  document.addEventListener("sigil:back", () => draw(!place.dataset.drawn));
  dark.addEventListener("change", () => chart.paint());
}
