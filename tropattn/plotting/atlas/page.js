"use strict";
// Reads the record in the page and fills the sources of the pictures; computes no number but sums.
const Atlas = (window.Atlas = {});

Atlas.start = function (models) {
  Atlas.m = models;
  Atlas.Pixels = models.soft.data.image[0].constructor;
  const record = JSON.parse(document.getElementById("atlas-record").textContent);
  Atlas.spec = record.spec;
  Atlas.tables = record.tables;
  Atlas.at = (table, layer, head, plane) => record.tables[table].find(
    (row) => row.layer === layer && (head === null || row.head === head)
      && (plane === null || row.plane === plane));
  const dark = window.matchMedia && matchMedia("(prefers-color-scheme: dark)").matches;
  models.dark.active = dark;
  // Bokeh gives the handle of a slider no name.
  const handle = Bokeh.index.find_one(models.slider).shadow_el.querySelector(".noUi-handle");
  handle.setAttribute("aria-label", "temperature, from soft to hard");
  Atlas.dress(dark);
  Atlas.shade();
  Atlas.axes();
  Atlas.pick(0);
  Atlas.watch();
};

// ---- words -----------------------------------------------------------------------------------

Atlas.name = (key) => key < 0 ? "sink" : Atlas.spec.tokens[key];
Atlas.escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
Atlas.number = (x) => x === null ? "none"
  : Number.isInteger(x) ? String(x) : Number(x.toPrecision(4)).toString();
Atlas.counted = (number, noun = "cell") => number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
Atlas.bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

// Values, row by row, as an image of so many columns; paint gives a pixel's colour and opacity.
Atlas.image = function (columns, values, paint) {
  const bytes = new Uint8ClampedArray(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    const [colour, opacity] = paint(i);
    const whole = parseInt(colour.slice(1), 16);
    bytes.set([whole >> 16, (whole >> 8) & 255, whole & 255, Math.round(255 * opacity)], 4 * i);
  }
  return new Atlas.Pixels(bytes.buffer, [values.length / columns, columns]);
};

// ---- the model -------------------------------------------------------------------------------

Atlas.shade = function () {
  const { heads, mapper, metric, grid } = Atlas.m;
  const values = heads.data[metric.value];
  const known = Array.from(values).filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  mapper.low = low;
  mapper.high = high > low ? high : low + 1;
  heads.data = { ...heads.data, shown: values };
  const row = Atlas.spec.metrics.find((m) => m.name === metric.value);
  grid.title.text = `${row.words} (${row.kind})`;
};

Atlas.axes = function () {
  const { heads, across, up, scatter } = Atlas.m;
  heads.data = { ...heads.data, sx: heads.data[across.value], sy: heads.data[up.value] };
  const words = (name) => Atlas.spec.metrics.find((m) => m.name === name).words;
  scatter.below[0].axis_label = words(across.value);
  scatter.left[0].axis_label = words(up.value);
};

// ---- a head ----------------------------------------------------------------------------------

Atlas.pick = function (index) {
  const { heads, head } = Atlas.m;
  Atlas.index = index;
  if (heads.selected.indices[0] !== index || heads.selected.indices.length !== 1) {
    heads.selected.indices = [index];
  }
  if (head.value !== String(index)) head.value = String(index);
  Atlas.draw();
};

Atlas.draw = function () {
  const row = Atlas.tables.heads[Atlas.index];
  const plane = Number(Atlas.m.plane.value);
  const picture = Atlas.at("pictures", row.layer, row.head, plane);
  Atlas.say(row, picture, plane);
  Atlas.waiting = new Map([
    ["atlas-head", () => { Atlas.cells(row, picture); Atlas.soften(); Atlas.dual(row, picture); }],
    ["atlas-layer", () => { Atlas.layer(row, plane); Atlas.attention(row); }],
    ["atlas-depth", Atlas.depth],
  ]);
  Atlas.fill();
};

// Rooms out of sight are drawn when they come near: a click pays for what is seen.
Atlas.hidden = new Set();

Atlas.fill = function () {
  for (const [room, fill] of Atlas.waiting) {
    if (Atlas.hidden.has(room)) continue;
    Atlas.waiting.delete(room);
    fill();
  }
};

Atlas.watch = function () {
  const seen = (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) Atlas.hidden.delete(target.id);
      else Atlas.hidden.add(target.id);
    }
    Atlas.fill();
  };
  const watcher = new IntersectionObserver(seen, { rootMargin: "200px" });
  for (const room of document.querySelectorAll("main > .room")) watcher.observe(room);
  window.addEventListener("beforeprint", () => { Atlas.hidden.clear(); Atlas.fill(); });
};

Atlas.outlines = (cells) => ({
  xs: cells.map((cell) => cell.corners.filter((_, i) => i % 2 === 0)),
  ys: cells.map((cell) => cell.corners.filter((_, i) => i % 2 === 1)),
});

Atlas.cells = function (row, picture) {
  const { cells, names, marks, plane_figure: figure, colours } = Atlas.m;
  const of = picture.cells;
  cells.data = {
    ...Atlas.outlines(of),
    fill: of.map((cell) => colours[cell.key + 1]),
    key: of.map((cell) => Atlas.name(cell.key)),
    share: of.map((cell) => cell.share),
    gap: of.map((cell) => cell.gap),
    beyond: of.map((cell) => cell.beyond.map(Atlas.name).join(", ") || "the window"),
  };
  const large = of.filter((cell) => cell.share > 0.008);
  names.data = {
    x: large.map((cell) => cell.middle[0]), y: large.map((cell) => cell.middle[1]),
    text: large.map((cell) => Atlas.name(cell.key)),
  };
  const tokens = Atlas.spec.planes[picture.plane];
  marks.data = {
    x: picture.marks.map((mark) => mark.at[0]), y: picture.marks.map((mark) => mark.at[1]),
    text: picture.marks.map((_, i) => Atlas.name(tokens[i])),
    winner: picture.marks.map((mark) => Atlas.name(mark.winner)),
    gap: picture.marks.map((mark) => mark.gap),
  };
  figure.title.text = `layer ${row.layer}, head ${row.head}: ${Atlas.counted(of.length)} here (exact)`;
};

Atlas.soften = function () {
  const { soft, slider } = Atlas.m;
  const row = Atlas.tables.heads[Atlas.index];
  const picture = Atlas.at("pictures", row.layer, row.head, Number(Atlas.m.plane.value));
  const { grid, unit, temperatures } = Atlas.spec;
  const tau = temperatures[slider.value];
  slider.title = `temperature ${tau}: white where the winner's weight is small (estimate); step`;
  const n = grid * grid;
  if (tau === 0) {
    soft.data = { image: [], weight: [] };
    return;
  }
  const all = Atlas.bytes(picture.soft).slice(slider.value * n, (slider.value + 1) * n);
  const weight = Array.from(all, (part) => part / 255);
  const image = Atlas.image(grid, weight, (i) => ["#ffffff", 0.92 * (1 - weight[i])]);
  soft.data = { image: [image], weight: [weight] };
};

Atlas.dual = function (row, picture) {
  const { edges, slopes, colours, dual_figure: figure } = Atlas.m;
  const { keys, points, live, edges: pairs, faces } = picture.dual;
  const x = (j) => points[2 * j], y = (j) => points[2 * j + 1];
  const wins = new Set(live);
  edges.data = {
    xs: pairs.map(([a, b]) => [x(a), x(b)]), ys: pairs.map(([a, b]) => [y(a), y(b)]),
  };
  slopes.data = {
    x: keys.map((_, j) => x(j)), y: keys.map((_, j) => y(j)),
    fill: keys.map((key, j) => wins.has(j) ? colours[key + 1] : "transparent"),
    marker: keys.map((_, j) => wins.has(j) ? "circle" : "x"),
    key: keys.map(Atlas.name),
    wins: keys.map((_, j) => wins.has(j) ? "live on this plane" : "dead on this plane"),
  };
  figure.title.text = faces ? `dual subdivision, keys by their slopes: ${faces.join(", ")} faces (exact)`
    : "dual subdivision: none, the keys are equal on this plane";
};

// ---- a layer ---------------------------------------------------------------------------------

Atlas.layer = function (row, plane) {
  const { joint, colours, layer_figure: figure } = Atlas.m;
  const found = Atlas.at("refinements", row.layer, null, plane);
  const mates = Atlas.tables.heads.filter((other) => other.layer === row.layer);
  const own = mates.findIndex((other) => other.head === row.head);
  const terms = mates.map((other) => Atlas.at("pictures", row.layer, other.head, plane).dual.keys);
  const key = (cell, h) => terms[h][cell.pattern[h]];
  joint.data = {
    ...Atlas.outlines(found.cells),
    fill: found.cells.map((cell) => colours[key(cell, own) + 1]),
    pattern: found.cells.map((cell) => cell.pattern.map((_, h) => Atlas.name(key(cell, h))).join(" ")),
    share: found.cells.map((cell) => cell.share),
  };
  figure.title.text = found.kind === "exact"
    ? `layer ${row.layer}: ${Atlas.counted(found.value)} of ${Atlas.counted(mates.length, "head")} `
      + "here (exact)"
    : `layer ${row.layer}: at least ${Atlas.counted(found.value)} here (lower), too many to draw`;
};

Atlas.depth = function () {
  const { depth, behind, colours, depth_figure: figure } = Atlas.m;
  if (behind.value === "") return;
  const plane = Number(Atlas.m.plane.value);
  const found = Atlas.at("depth", Number(behind.value), null, plane);
  if (!found) {
    depth.data = { xs: [], ys: [], fill: [], winners: [], share: [] };
    figure.title.text = `behind layer ${behind.value}: not counted, too many cells before`;
    return;
  }
  const own = Atlas.tables.heads[Atlas.index].head;
  depth.data = {
    ...Atlas.outlines(found.cells),
    fill: found.cells.map((cell, i) => colours[1 + (cell.winners.length
      ? cell.winners[own % cell.winners.length] : i % 10)]),
    winners: found.cells.map((cell) => cell.winners.map(Atlas.name).join(" ") || "no heads"),
    share: found.cells.map((cell) => cell.share),
  };
  figure.title.text = found.kind === "exact"
    ? `the network behind layer ${found.layer}: ${Atlas.counted(found.value)} here (exact)`
    : `the network behind layer ${found.layer}: at least ${Atlas.counted(found.value)} here (lower)`;
};

Atlas.attention = function (row) {
  const { weights, attention_figure: figure, colours } = Atlas.m;
  const found = Atlas.at("attention", row.layer, row.head, null);
  if (!found) return;
  const all = Atlas.bytes(found.weights);
  const n = Atlas.spec.tokens.length;
  const image = Atlas.image(n, all, (i) => [colours[(i % n) + 1], all[i] / 255]);
  weights.data = {
    image: [image],
    query: [Array.from(all, (_, i) => Atlas.name(Math.floor(i / n)))],
    key: [Array.from(all, (_, i) => Atlas.name(i % n))],
    weight: [Array.from(all, (part) => Math.round(1000 * part / 255) / 1000)],
  };
  figure.title.text = `layer ${row.layer}, head ${row.head}: weights of the text (estimate)`;
};

// ---- what is said ----------------------------------------------------------------------------

Atlas.say = function (row, picture, plane) {
  const { escape, number, name } = Atlas;
  const layer = Atlas.at("layers", row.layer, null, null);
  const tokens = Atlas.spec.planes[plane];
  const facts = Atlas.spec.metrics.filter((m) => row[m.name] !== null).map(
    (m) => `<tr><td>${escape(m.words)}</td><td><b>${number(row[m.name])}</b></td>`
      + `<td>${m.kind}</td></tr>`);
  const marks = picture.marks.map((mark, i) => `at the state of ${escape(name(tokens[i]))} the `
    + `winner is <b>${escape(name(mark.winner))}</b>, gap ${number(mark.gap)} (estimate)`);
  const count = layer && layer.cells;
  const dead = row.dead.map((key) => `<s>${escape(key)}</s>`).join(" ") || "none";
  const through = tokens.length ? `plane through ${tokens.map(name).map(escape).join(", ")}`
    : "window of R^2";
  document.getElementById("atlas-facts").innerHTML = `<h2>Layer ${row.layer}, head ${row.head}</h2>`
    + `<p>Variable: ${escape(row.variable)}. Domain of the pictures: ${through}.</p>`
    + `<table>${facts.join("")}</table>`
    + `<p>Keys that never win (exact): ${dead}</p>`
    + marks.map((text) => `<p>${text}</p>`).join("")
    + (count ? `<p>Layer ${row.layer}, all heads together: <b>${escape(count.value)}</b> cells `
      + `(${count.kind}) on ${escape(count.domain)}, engine ${escape(count.engine)}.</p>` : "")
    + `<p>Again: <code>${escape(row.command)}</code>`
    + (layer ? `<br><code>${escape(layer.command)}</code>` : "") + "</p>";
  document.getElementById("atlas-said").textContent =
    `Layer ${row.layer}, head ${row.head}: ${row.live} of ${row.keys} keys live (exact), `
    + `${Atlas.counted(picture.cells.length)} in the ${through} (exact).`;
};

// ---- light and dark --------------------------------------------------------------------------

Atlas.dress = function (dark) {
  document.documentElement.classList.toggle("dark", dark);
  const [ground, ink, line] = dark ? ["#16181c", "#e6e6e6", "#555555"]
    : ["#ffffff", "#1a1a1a", "#cccccc"];
  for (const figure of Atlas.m.figures) {
    figure.background_fill_color = ground;
    figure.border_fill_color = ground;
    figure.border_line_color = ground;  // over the half pixel at the rim that keeps the old ground
    figure.outline_line_color = line;
    figure.title.text_color = ink;
    for (const axis of [...figure.below, ...figure.left]) {
      axis.axis_label_text_color = ink;
      axis.major_label_text_color = ink;
      axis.axis_line_color = ink;
      axis.major_tick_line_color = ink;
    }
    for (const bar of figure.right.filter((part) => "color_mapper" in part)) {
      bar.background_fill_color = ground;
      bar.major_label_text_color = ink;
    }
    for (const grid of figure.center) if ("grid_line_color" in grid) grid.grid_line_color = line;
  }
};
