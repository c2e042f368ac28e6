"use strict";
// The embedding map. #map-data has its data. The script makes no requests, and does nothing without a map.
(() => {
  for (const details of document.querySelectorAll("details")) {
    addEventListener("beforeprint", () => { details.open = true; });
  }
  const map = document.getElementById("embedding-map");
  if (!map) return;

  const canvas = map.querySelector("canvas");
  const pen = canvas.getContext("2d");
  const found = document.getElementById("map-found");
  const matches = document.getElementById("map-matches");
  const search = document.getElementById("map-search");
  const card = map.querySelector(".chosen");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const LEAST = 0.25, MOST = 400, MARGIN = 24, LABELS = 90, LISTED = 8;

  const { sides } = JSON.parse(document.getElementById("map-data").textContent);
  const points = sides.flatMap((side, number) => side.ids.map((id, row) => (
    { id, side: number, row, x: side.x[row], y: -side.y[row], pairs: side.pairs[row], near: side.near[row], folded: id.toLowerCase() })));
  const first = sides.map((_, number) => points.findIndex((point) => point.side === number));
  const most = Math.max(...points.map((point) => point.pairs), 2);
  for (const point of points) point.radius = 1.6 + 3 * Math.log(Math.max(point.pairs, 1)) / Math.log(most);
  const popular = [...points].sort((a, b) => b.pairs - a.pairs);
  const shown = sides.map(() => true);
  const box = extent(0.001), whole = extent(0);

  let view = { zoom: 1, x: (box.left + box.right) / 2, y: (box.top + box.bottom) / 2 };
  const home = { ...view };
  let chosen = null, pointed = null, lit = new Set(), frame = 0, moving = 0;
  let width = 1, height = 1, fit = 1;

  // The range of all points except a share of outliers at each end.
  function extent(part) {
    const at = (name, quantile) => {
      const sorted = points.map((point) => point[name]).sort((a, b) => a - b);
      return sorted[Math.round(quantile * (sorted.length - 1))];
    };
    return { left: at("x", part), right: at("x", 1 - part), top: at("y", part), bottom: at("y", 1 - part) };
  }
  const place = (point) => [
    width / 2 + (point.x - view.x) * fit * view.zoom, height / 2 + (point.y - view.y) * fit * view.zoom];
  const visible = (point) => shown[point.side];

  // --- drawing
  function palette(element) {
    const style = getComputedStyle(element);
    const of = (name) => style.getPropertyValue(name).trim();
    return { sides: [of("--left"), of("--right")], ink: of("--ink"), muted: of("--muted"), ground: of("--raised"), grid: of("--grid") };
  }
  let colours = palette(document.documentElement);

  function draw() {
    frame = 0;
    const dots = window.devicePixelRatio || 1;
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, width, height);
    axes();
    const near = new Set(chosen ? neighbours(chosen) : []);
    const dimmed = chosen !== null || lit.size > 0;
    for (let at = popular.length - 1; at >= 0; at--) {
      const point = popular[at];
      if (visible(point)) {
        const stands = point === chosen || near.has(point) || lit.has(point);
        dot(point, stands ? 1 : dimmed ? 0.22 : 0.62, point === chosen || point === pointed);
      }
    }
    if (chosen) threads(chosen, near);
    labels(near, dimmed);
    map.dataset.zoom = view.zoom.toFixed(3);
    canvas.classList.toggle("zoomed", Math.abs(view.zoom - 1) > 0.01);
  }
  const redraw = () => { frame = frame || requestAnimationFrame(draw); };

  function axes() {
    const [x, y] = place({ x: 0, y: 0 });
    pen.strokeStyle = colours.grid;
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(x, 0); pen.lineTo(x, height);
    pen.moveTo(0, y); pen.lineTo(width, y);
    pen.stroke();
  }
  function dot(point, alpha, ringed) {
    const [x, y] = place(point);
    if (x < -20 || y < -20 || x > width + 20 || y > height + 20) return;
    const r = point.radius * Math.min(Math.max(1 + Math.log10(view.zoom) * 0.5, 0.7), 2);
    pen.globalAlpha = alpha;
    pen.fillStyle = colours.sides[point.side];
    pen.beginPath();
    if (point.side === 0) pen.arc(x, y, r, 0, 2 * Math.PI);
    else { pen.moveTo(x, y - 1.25 * r); pen.lineTo(x + 1.25 * r, y); pen.lineTo(x, y + 1.25 * r); pen.lineTo(x - 1.25 * r, y); pen.closePath(); }
    pen.fill();
    pen.globalAlpha = 1;
    if (ringed) {
      pen.strokeStyle = colours.ink;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.arc(x, y, r + 4, 0, 2 * Math.PI);
      pen.stroke();
    }
  }
  function threads(from, near) {
    const [x, y] = place(from);
    pen.strokeStyle = colours.sides[from.side];
    pen.globalAlpha = 0.5;
    pen.lineWidth = 1;
    for (const point of near) {
      if (!visible(point)) continue;
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(...place(point));
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }
  // Labels as far as there is space: chosen points first, then by number of pairs.
  function labels(near, dimmed) {
    const taken = [];
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    const wanted = [chosen, pointed, ...near, ...[...lit].slice(0, 40), ...(dimmed ? [] : popular)];
    let count = 0;
    for (const point of wanted) {
      if (!point || !visible(point) || count >= LABELS) continue;
      const [x, y] = place(point);
      if (x < 0 || y < 8 || x > width || y > height - 8) continue;
      const text = point.id.length > 28 ? point.id.slice(0, 27) + "…" : point.id;
      const long = pen.measureText(text).width;
      const left = x + 9 + long > width ? x - 9 - long : x + 9;
      const own = [left - 3, y - 8, left + long + 3, y + 8];
      if (taken.some((box) => own[0] < box[2] && box[0] < own[2] && own[1] < box[3] && box[1] < own[3])) continue;
      taken.push(own);
      count++;
      pen.strokeStyle = colours.ground;
      pen.strokeText(text, left, y);
      pen.fillStyle = colours.ink;
      pen.fillText(text, left, y);
    }
  }

  // --- moving
  function clamp(next) {
    const between = (value, least, most) => Math.min(Math.max(value, least), most);
    return { zoom: between(next.zoom, LEAST, MOST), x: between(next.x, whole.left, whole.right), y: between(next.y, whole.top, whole.bottom) };
  }
  function go(next, smoothly) {
    cancelAnimationFrame(moving);
    const target = clamp(next);
    if (!smoothly || calm.matches) { view = target; redraw(); return; }
    const from = { ...view }, since = performance.now();
    const step = (now) => {
      const part = Math.min((now - since) / 350, 1), eased = 1 - (1 - part) ** 3;
      const zoom = from.zoom * (target.zoom / from.zoom) ** eased;
      view = { zoom, x: from.x + (target.x - from.x) * eased, y: from.y + (target.y - from.y) * eased };
      draw();
      if (part < 1) moving = requestAnimationFrame(step);
    };
    moving = requestAnimationFrame(step);
  }
  // Zooms around the fixed canvas point (x, y).
  function zoomAt(factor, x, y, smoothly) {
    const zoom = Math.min(Math.max(view.zoom * factor, LEAST), MOST);
    const kept = [view.x + (x - width / 2) / (fit * view.zoom), view.y + (y - height / 2) / (fit * view.zoom)];
    go({ zoom, x: kept[0] - (x - width / 2) / (fit * zoom), y: kept[1] - (y - height / 2) / (fit * zoom) }, smoothly);
  }
  const pan = (dx, dy) => go({ ...view, x: view.x - dx / (fit * view.zoom), y: view.y - dy / (fit * view.zoom) });
  const actions = {
    in: () => zoomAt(1.6, width / 2, height / 2, true),
    out: () => zoomAt(1 / 1.6, width / 2, height / 2, true),
    all: () => { lit = new Set(); choose(null); go(home, true); },
  };

  // --- choosing
  const neighbours = (point) => point.near.map((row) => points[first[point.side] + row]);
  function choose(point, centre) {
    chosen = point;
    map.dataset.chosen = point ? point.id : "";
    card.hidden = !point;
    card.replaceChildren();
    if (point) {
      if (!shown[point.side]) toggle(point.side, true);
      const name = document.createElement("strong");
      name.append(isolated(point.id));
      const about = document.createElement("small");
      const side = sides.length > 1 ? `${sides[point.side].side}, ` : "";
      about.textContent = ` ${side}${point.pairs.toLocaleString("en")} training pairs. Nearest entities of its side on this map by cosine:`;
      card.append(name, about, listOf(neighbours(point)));
      if (centre) go({ zoom: Math.max(view.zoom, 6), x: point.x, y: point.y }, true);
    }
    redraw();
  }
  function isolated(text) {
    const element = document.createElement("bdi");
    element.textContent = text;
    return element;
  }
  function listOf(list) {
    const items = document.createElement("ul");
    items.append(...list.map((point) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      if (sides.length > 1) {
        const mark = document.createElement("span");
        mark.className = `mark-${sides[point.side].side}`;
        mark.textContent = point.side ? "◆ " : "● ";
        mark.setAttribute("aria-hidden", "true");
        button.setAttribute("aria-label", `${point.id}, ${sides[point.side].side}`);
        button.append(mark);
      }
      button.append(isolated(point.id));
      button.addEventListener("click", () => { choose(point, true); });
      item.append(button);
      return item;
    }));
    return items;
  }
  function lookUp() {
    const wanted = search.value.trim().toLowerCase();
    const hits = wanted ? popular.filter((point) => point.folded.includes(wanted)) : [];
    const rank = (point) => (point.folded === wanted ? 0 : point.folded.startsWith(wanted) ? 1 : 2);
    hits.sort((a, b) => rank(a) - rank(b));
    lit = new Set(hits);
    found.textContent = !wanted ? "" : hits.length
      ? `${hits.length.toLocaleString("en")} found${hits.length > LISTED ? `, the first ${LISTED}` : ""}. Enter shows the first.`
      : "No entity on this map has this name.";
    matches.replaceChildren(...listOf(hits.slice(0, LISTED)).children);
    if (chosen && !lit.has(chosen)) choose(null);
    redraw();
    return hits;
  }
  function toggle(side, on) {
    shown[side] = on;
    map.querySelector(`[data-side="${side}"]`).checked = on;
    redraw();
  }
  function at(x, y, reach) {
    let best = null, least = reach ** 2;
    for (const point of popular) {
      if (!visible(point)) continue;
      const [px, py] = place(point), far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least) { best = point; least = far; }
    }
    return best;
  }

  // --- listening
  const fingers = new Map();
  let dragged = 0;
  const where = (event) => { const edge = canvas.getBoundingClientRect(); return [event.clientX - edge.left, event.clientY - edge.top]; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, where(event));
    dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = where(event), before = fingers.get(event.pointerId);
    if (!before) {
      const under = at(...now, 12);
      if (under !== pointed) { pointed = under; canvas.title = under ? `${under.id}: ${under.pairs} pairs` : ""; redraw(); }
      return;
    }
    if (fingers.size === 1) {
      dragged += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      pan(now[0] - before[0], now[1] - before[1]);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const apart = (finger) => Math.hypot(finger[0] - other[0], finger[1] - other[1]) || 1;
      zoomAt(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
      dragged = 99;
    }
    fingers.set(event.pointerId, now);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (fingers.delete(event.pointerId) && dragged < 5) choose(at(...where(event), event.pointerType === "touch" ? 24 : 12));
  });
  canvas.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); });
  canvas.addEventListener("pointerleave", () => { pointed = null; redraw(); });
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0022)), ...where(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const step = 60;
    const keys = {
      ArrowLeft: () => pan(step, 0), ArrowRight: () => pan(-step, 0), ArrowUp: () => pan(0, step), ArrowDown: () => pan(0, -step),
      "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all, Escape: () => choose(null),
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of map.querySelectorAll("[data-do]")) button.addEventListener("click", actions[button.dataset.do]);
  for (const box of map.querySelectorAll("[data-side]")) box.addEventListener("change", () => toggle(Number(box.dataset.side), box.checked));
  search.addEventListener("input", lookUp);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { const [hit] = lookUp(); if (hit) choose(hit, true); }
    if (event.key === "Escape") { search.value = ""; lookUp(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { colours = palette(document.documentElement); redraw(); });
  addEventListener("beforeprint", () => { colours = palette(document.querySelector(".paper")); draw(); });
  addEventListener("afterprint", () => { colours = palette(document.documentElement); draw(); });
  new ResizeObserver(() => {
    ({ width, height } = canvas.getBoundingClientRect());
    if (!width || !height) return;
    const dots = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
    fit = Math.min((width - 2 * MARGIN) / (box.right - box.left || 1), (height - 2 * MARGIN) / (box.bottom - box.top || 1));
    draw();
  }).observe(canvas);
})();
