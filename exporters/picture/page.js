"use strict";
// Draws the stages of a model on a canvas; what is drawn is decided when a frame is due, from `view`, and nowhere else.
// Every text of the model reaches the page through textContent or the canvas, never as HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("picture");
const context = canvas.getContext("2d");
const down = data.direction === "TB";
const FONT = '"DejaVu Sans", Verdana, "Segoe UI", Helvetica, Arial, sans-serif';
const HEAD = 24, LINE = 16, PAD = 8, RADIUS = 5;
const MIN_SCALE = 0.002, MAX_SCALE = 4;
// Below these scales text is not legible, and leaving it out keeps thousands of boxes smooth.
const TITLE_SCALE = 0.3, TEXT_SCALE = 0.45;

const view = { stage: data.first, before: false, folded: false, x: 0, y: 0, scale: 1, selected: -1, hits: [], hit: -1 };
let colours = {};
let due = false;

// Geometry: made once for each stage that is looked at.

function geometryOf(stage) {
  if (stage.geometry) return stage.geometry;
  const links = new Path2D(), heads = new Path2D();
  const inputs = stage.boxes.map(() => []), outputs = stage.boxes.map(() => []);
  stage.links.forEach(([source, target, points], index) => {
    trace(links, points);
    const x = points[points.length - 2], y = points[points.length - 1];
    heads.moveTo(x, y);
    if (down) { heads.lineTo(x - 3.5, y - 7); heads.lineTo(x + 3.5, y - 7); }
    else { heads.lineTo(x - 7, y - 3.5); heads.lineTo(x - 7, y + 3.5); }
    heads.closePath();
    inputs[target].push(index);
    outputs[source].push(index);
  });
  stage.geometry = { links, heads, inputs, outputs };
  return stage.geometry;
}

function trace(path, points) {
  path.moveTo(points[0], points[1]);
  for (let i = 2; i < points.length; i += 2) {
    const [x0, y0, x1, y1] = points.slice(i - 2, i + 2);
    if (down ? x0 === x1 : y0 === y1) path.lineTo(x1, y1);
    else if (down) path.bezierCurveTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1);
    else path.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
  }
}

// A step shows its result, or with "Before" the stage that it was given, with what it removes.
const drawn = (stage) => (view.folded && stage.folded) || stage;
const shownStage = () => drawn(data.stages[view.before ? view.stage - 1 : view.stage]);
const shownStatus = () => (view.before ? shownStage().leaving : shownStage().arrived);
const recordOf = (box) => data.records[box[0]];

// Drawing

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; draw(); });
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const stage = shownStage(), geometry = geometryOf(stage), status = shownStatus();
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = colours.back;
  context.fillRect(0, 0, width, height);
  context.translate(view.x, view.y);
  context.scale(view.scale, view.scale);
  const seen = { left: -view.x / view.scale, top: -view.y / view.scale };
  seen.right = seen.left + width / view.scale;
  seen.bottom = seen.top + height / view.scale;
  const inSight = (box) => box[1] + box[3] > seen.left && box[1] < seen.right && box[2] + box[4] > seen.top && box[2] < seen.bottom;
  const hits = new Set(view.hits);
  stage.boxes.forEach((box, index) => { if (box[5] && inSight(box)) drawBox(box, index, status, hits); });
  drawLinks(stage, geometry);
  if (view.scale >= TEXT_SCALE) drawLabels(stage, seen);
  stage.boxes.forEach((box, index) => { if (!box[5] && inSight(box)) drawBox(box, index, status, hits); });
  canvas.dataset.selected = view.selected;
  canvas.dataset.scale = view.scale.toFixed(4);
  canvas.dataset.x = view.x.toFixed(1);
  canvas.dataset.y = view.y.toFixed(1);
}

function drawLinks(stage, geometry) {
  context.strokeStyle = context.fillStyle = colours.link;
  context.lineWidth = Math.max(1.2, 0.6 / view.scale);
  context.stroke(geometry.links);
  if (view.scale >= TITLE_SCALE) context.fill(geometry.heads);
  if (view.selected < 0) return;
  context.strokeStyle = colours.accent;
  context.lineWidth = Math.max(2.4, 1.2 / view.scale);
  const path = new Path2D();
  for (const index of [...geometry.inputs[view.selected], ...geometry.outputs[view.selected]]) trace(path, stage.links[index][2]);
  context.stroke(path);
}

function drawLabels(stage, seen) {
  context.fillStyle = colours.dim;
  context.font = `10px ${FONT}`;
  for (const [x, y, text] of stage.labels) {
    if (x > seen.left - 260 && x < seen.right && y > seen.top && y < seen.bottom + 12) context.fillText(text, x, y);
  }
}

function drawBox(box, index, status, hits) {
  const [, x, y, width, height, nests] = box;
  const record = recordOf(box), happened = status[index];
  const open = nests || record.lines.length > 0;
  if (view.scale < TITLE_SCALE) {
    context.fillStyle = record.colour;
    context.fillRect(x, y, width, nests ? HEAD : height);
    if (nests) { context.strokeStyle = colours.border; context.lineWidth = 1; context.strokeRect(x, y, width, height); }
  } else {
    round(x, y, width, height);
    context.fillStyle = nests ? colours.nest : colours.box;
    context.fill();
    context.save();
    context.clip();
    context.fillStyle = record.colour;
    context.fillRect(x, y, width, open ? HEAD : height);
    context.restore();
    context.strokeStyle = colours.border;
    context.lineWidth = 1;
    if (open) context.stroke();
    drawText(record, x, y);
  }
  const frame = index === view.selected ? colours.accent : hits.has(index) ? colours.hit : happened ? data.status[happened][0] : null;
  if (frame) {
    round(x - 1, y - 1, width + 2, height + 2);
    context.strokeStyle = frame;
    context.lineWidth = Math.max(3, 2 / view.scale);
    context.stroke();
  }
  if (happened) drawBadge(happened, x + width, y);
}

function drawText(record, x, y) {
  context.fillStyle = "#fff";
  context.font = `bold 12px ${FONT}`;
  context.fillText(record.title, x + PAD, y + 16);
  if (view.scale < TEXT_SCALE) return;
  context.font = `11px ${FONT}`;
  context.fillText(record.name, x + record.nameX, y + 16);
  record.lines.forEach(([key, value, weight], row) => {
    const base = y + HEAD + LINE * (row + 1);
    context.fillStyle = colours.dim;
    context.fillText(key, x + PAD, base);
    context.fillStyle = weight ? colours.weight : colours.text;
    context.fillText(value, x + record.valueX, base);
  });
}

function drawBadge(happened, x, y) {
  const [colour, sign] = data.status[happened];
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, Math.max(8, 3 / view.scale), 0, 2 * Math.PI);
  context.fill();
  context.fillStyle = "#fff";
  context.font = `bold 12px ${FONT}`;
  context.textAlign = "center";
  context.fillText(sign, x, y + 4);
  context.textAlign = "left";
}

function round(x, y, width, height) {
  context.beginPath();
  context.roundRect(x, y, width, height, RADIUS);
}

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["back", "box", "nest", "border", "text", "dim", "weight", "link", "accent", "hit"]) {
    colours[name] = style.getPropertyValue(`--${name}`).trim();
  }
  redraw();
}

// Moving

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(MAX_SCALE, Math.max(MIN_SCALE, view.scale * factor));
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  redraw();
}

function fit() {
  const { width, height } = shownStage();
  view.scale = Math.min(1.5, canvas.clientWidth / width, canvas.clientHeight / height);
  view.x = (canvas.clientWidth - width * view.scale) / 2;
  view.y = (canvas.clientHeight - height * view.scale) / 2;
  redraw();
}

// A long model opens at its beginning, in letters that can be read.
function fitStart() {
  fit();
  if (view.scale >= 0.6) return;
  const { width, height } = shownStage();
  view.scale = Math.min(1, Math.max(0.6, down ? canvas.clientWidth / width : canvas.clientHeight / height));
  const first = shownStage().boxes[0];
  view.x = down ? canvas.clientWidth / 2 - (first[1] + first[3] / 2) * view.scale : 0;
  view.y = down ? 0 : canvas.clientHeight / 2 - (first[2] + first[4] / 2) * view.scale;
  if (down && width * view.scale <= canvas.clientWidth) view.x = (canvas.clientWidth - width * view.scale) / 2;
  if (!down && height * view.scale <= canvas.clientHeight) view.y = (canvas.clientHeight - height * view.scale) / 2;
}

function centre(index) {
  const [, x, y, width, height, nests] = shownStage().boxes[index];
  if (view.scale < 0.6) view.scale = 1;
  view.x = canvas.clientWidth / 2 - (x + width / 2) * view.scale;
  view.y = canvas.clientHeight / 2 - (y + (nests ? HEAD : height) / 2) * view.scale;
  redraw();
}

function boxAt(clientX, clientY) {
  const area = canvas.getBoundingClientRect();
  const x = (clientX - area.left - view.x) / view.scale, y = (clientY - area.top - view.y) / view.scale;
  const boxes = shownStage().boxes;
  for (let index = boxes.length - 1; index >= 0; index--) {
    const [, left, top, width, height] = boxes[index];
    if (x >= left && x <= left + width && y >= top && y <= top + height) return index;
  }
  return -1;
}

// Choosing

function select(index, move = false) {
  view.selected = index;
  if (index >= 0 && move) centre(index);
  showPanel();
  redraw();
}

function showStage(stage, before = false, folded = view.folded) {
  const key = view.selected < 0 ? null : recordOf(shownStage().boxes[view.selected]).key;
  const moved = stage !== view.stage || folded !== view.folded;
  view.stage = stage;
  view.folded = folded;
  view.before = before && stage > 0 && hasStep(stage);
  view.selected = key === null ? -1 : shownStage().boxes.findIndex((box) => recordOf(box).key === key);
  search(element("search").value, false);
  if (moved || view.selected < 0) fitStart();
  if (view.selected >= 0) centre(view.selected);
  showTabs();
  showPanel();
  redraw();
}

const canFold = () => Boolean(data.stages[view.before ? view.stage - 1 : view.stage].folded);
const hasStep = (stage) => stage > 0 && data.stages[stage].step;

function search(text, jump = true) {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word);
  view.hits = [];
  if (words.length) {
    shownStage().boxes.forEach((box, index) => { if (words.every((word) => textOf(recordOf(box)).includes(word))) view.hits.push(index); });
  }
  view.hit = view.hits.length ? 0 : -1;
  showHits();
  if (jump && view.hit >= 0) centre(view.hits[0]);
  redraw();
}

function textOf(record) {
  record.text ??= [record.title, record.fullName, ...record.facts.map(([key, value]) => `${key} ${value}`)].join("\n").toLowerCase();
  return record.text;
}

function nextHit(step) {
  if (!view.hits.length) return;
  view.hit = (view.hit + step + view.hits.length) % view.hits.length;
  showHits();
  select(view.hits[view.hit], true);
}

function showHits() {
  element("hits").textContent = element("search").value.trim() === "" ? "" : `${view.hit + 1} of ${view.hits.length}`;
}

// What verification says, above the picture: a finding whose box is known is a button that goes there.

const LOOKS = { pass: "within", FAIL: "wrong", "not run": "unseen", nothing: "unseen" };

function showStatements() {
  for (const [title, verdict, text, findings, more] of data.statements) {
    const place = make(findings.length ? "details" : "div", undefined, element("statements"), LOOKS[verdict]);
    const head = findings.length ? make("summary", undefined, place) : place;
    make("b", title, head).after(" ");
    make("em", verdict, head).after(" ");
    make("span", text, head);
    if (!findings.length) continue;
    place.open = true;
    const list = make("ul", undefined, place);
    for (const finding of findings) showFinding(list, finding);
    if (more) make("li", `and ${more.toLocaleString("en")} more`, list);
  }
}

function showFinding(list, [text, status, box]) {
  const item = make("li", undefined, list);
  if (box < 0) make("span", text, item, status);
  else make("button", text, item, status).addEventListener("click", () => { showStage(0, false, false); select(box, true); });
}

// The panel and the tabs

function make(tag, text, parent, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

function table(rows, parent) {
  const made = make("table", undefined, parent);
  for (const [key, value] of rows) {
    const row = make("tr", undefined, made);
    make("th", key, row).scope = "row";
    make("td", value, row);
  }
}

function showPanel() {
  const panel = element("panel");
  panel.replaceChildren();
  if (view.selected < 0) showOverview(panel);
  else showBox(panel, view.selected);
}

function showOverview(panel) {
  const stage = data.stages[view.stage], result = shownStage();
  make("h2", view.before ? `before ${stage.title}` : stage.title, panel);
  make("p", stage.note, panel);
  table([["boxes", result.boxes.length.toLocaleString("en")], ["links", result.links.length.toLocaleString("en")]], panel);
  for (const status of Object.keys(data.status)) {
    if (status !== "removed") listStatus(panel, status, stage, "arrived", false);
    else if (hasStep(view.stage)) listStatus(panel, status, data.stages[view.stage - 1], "leaving", true);
  }
  make("h3", "Keys", panel);
  table([["/", "search"], ["↑ ↓ ← →", "from box to box"], ["[ ]", "stage"], ["b", "before the pass"], ["i", "what is inside of boxes"], ["+ − f", "zoom, fit"], ["Esc", "back"]], panel);
}

const MAX_LISTED = 200;

function listStatus(panel, wanted, whole, field, before) {
  const stage = drawn(whole);
  const found = Object.keys(stage[field]).filter((index) => stage[field][index] === wanted).map(Number);
  if (!found.length) return;
  make("h3", `${wanted}: ${found.length.toLocaleString("en")}`, panel);
  const list = make("ul", undefined, panel);
  for (const index of found.slice(0, MAX_LISTED)) {
    const button = make("button", nameOf(stage.boxes[index]), make("li", undefined, list), wanted);
    button.addEventListener("click", () => { view.before = before; showTabs(); select(index, true); });
  }
  if (found.length > MAX_LISTED) make("p", `and ${found.length - MAX_LISTED} more`, panel);
}

function nameOf(box) {
  const record = recordOf(box);
  return record.fullName ? `${record.title} ${record.fullName}` : record.title;
}

function showBox(panel, index) {
  const stage = shownStage(), box = stage.boxes[index], record = recordOf(box), happened = shownStatus()[index];
  make("h2", nameOf(box), panel, happened);
  table(happened ? [["status", happened], ...record.facts] : record.facts, panel);
  const { inputs, outputs } = geometryOf(stage);
  listNeighbours(panel, "reads", inputs[index].map((link) => stage.links[link][0]));
  listNeighbours(panel, "read by", outputs[index].map((link) => stage.links[link][1]));
  for (const weight of record.weights) showWeight(panel, data.weights[weight]);
}

function listNeighbours(panel, title, indices) {
  const distinct = [...new Set(indices)];
  if (!distinct.length) return;
  make("h3", title, panel);
  const list = make("ul", undefined, panel);
  for (const index of distinct.slice(0, MAX_LISTED)) {
    const button = make("button", nameOf(shownStage().boxes[index]), make("li", undefined, list));
    button.addEventListener("click", () => select(index, true));
  }
  if (distinct.length > MAX_LISTED) make("p", `and ${distinct.length - MAX_LISTED} more`, panel);
}

function showWeight(panel, weight) {
  make("h3", weight.name, panel);
  const rows = Object.entries(weight).filter(([key]) => key !== "name" && key !== "histogram");
  table(rows.map(([key, value]) => [key, typeof value === "number" ? value.toLocaleString("en") : value]), panel);
  if (weight.histogram) panel.append(histogram(weight));
}

function histogram(weight) {
  const space = "http://www.w3.org/2000/svg", counts = weight.histogram, highest = Math.max(...counts);
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", `0 0 ${counts.length} 10`);
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `histogram of ${weight.name} from ${weight.min} to ${weight.max}`);
  counts.forEach((count, place) => {
    const bar = document.createElementNS(space, "rect"), height = (10 * count) / highest;
    bar.setAttribute("x", place + 0.05);
    bar.setAttribute("y", 10 - height);
    bar.setAttribute("width", 0.9);
    bar.setAttribute("height", height);
    picture.append(bar);
  });
  return picture;
}

function showTabs() {
  const tabs = element("tabs");
  data.stages.forEach((stage, index) => {
    const tab = tabs.children[index] ?? makeTab(tabs, stage, index);
    tab.setAttribute("aria-selected", index === view.stage);
    tab.tabIndex = index === view.stage ? 0 : -1;
  });
  const button = element("before");
  button.disabled = !hasStep(view.stage);
  button.setAttribute("aria-pressed", view.before);
  const inside = element("inside");
  inside.disabled = !canFold();
  inside.setAttribute("aria-pressed", !view.folded);
  const stage = shownStage();
  canvas.setAttribute("aria-label", `${data.name}, ${stage.title}: ${stage.boxes.length} boxes`);
  element("status").textContent = `${view.before ? "before " : ""}${data.stages[view.stage].title}: ${data.stages[view.stage].note}`;
}

function makeTab(tabs, stage, index) {
  const tab = make("button", stage.title, tabs);
  tab.setAttribute("role", "tab");
  tab.title = stage.note;
  if (stage.step) make("small", stage.step, tab);
  tab.addEventListener("click", () => showStage(index));
  return tab;
}

// Keys

// The nearest box in a direction: along links first read or first reading, else beside on the same rank.
function neighbour(key) {
  if (view.selected < 0) return 0;
  const stage = shownStage(), { inputs, outputs } = geometryOf(stage);
  const [back, forth] = down ? ["ArrowUp", "ArrowDown"] : ["ArrowLeft", "ArrowRight"];
  if (key === back) return inputs[view.selected].length ? stage.links[inputs[view.selected][0]][0] : view.selected;
  if (key === forth) return outputs[view.selected].length ? stage.links[outputs[view.selected][0]][1] : view.selected;
  return beside(stage, key === "ArrowRight" || key === "ArrowDown" ? 1 : -1);
}

function beside(stage, sign) {
  const middle = (box) => (down ? [box[1] + box[3] / 2, box[2] + box[4] / 2] : [box[2] + box[4] / 2, box[1] + box[3] / 2]);
  const [across, along] = middle(stage.boxes[view.selected]);
  let best = view.selected, nearest = Infinity;
  stage.boxes.forEach((box, index) => {
    const [otherAcross, otherAlong] = middle(box), distance = (otherAcross - across) * sign;
    if (Math.abs(otherAlong - along) < 60 && distance > 0 && distance < nearest) { best = index; nearest = distance; }
  });
  return best;
}

const keys = {
  "/": () => element("search").focus(),
  "f": fit,
  "+": () => zoom(1.25),
  "=": () => zoom(1.25),
  "-": () => zoom(0.8),
  "b": () => { if (hasStep(view.stage)) showStage(view.stage, !view.before); },
  "i": () => { if (canFold()) showStage(view.stage, view.before, !view.folded); },
  "[": () => showStage(Math.max(0, view.stage - 1)),
  "]": () => showStage(Math.min(data.stages.length - 1, view.stage + 1)),
  "Escape": () => select(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === element("search")) {
    if (event.key === "Enter") { if (view.hits[view.hit] !== view.selected) nextHit(0); else nextHit(event.shiftKey ? -1 : 1); }
    else if (event.key === "Escape") { event.target.value = ""; search(""); canvas.focus(); }
    else return;
  } else if (event.key.startsWith("Arrow")) select(neighbour(event.key), true);
  else if (keys[event.key]) keys[event.key]();
  else return;
  event.preventDefault();
});

// Pointers: one drags or clicks, two pinch.

const pointers = new Map();
let dragged = 0;

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  if (pointers.size === 1) dragged = 0;
});

canvas.addEventListener("pointermove", (event) => {
  const last = pointers.get(event.pointerId);
  if (!last) return;
  const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
  dragged += Math.abs(dx) + Math.abs(dy);
  const before = spread();
  pointers.set(event.pointerId, event);
  const area = canvas.getBoundingClientRect();
  if (before) zoom(spread() / before, event.clientX - area.left, event.clientY - area.top);
  else if (dragged > 4) { view.x += dx; view.y += dy; canvas.classList.add("dragging"); }
  redraw();
});

for (const name of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(name, (event) => {
    const known = pointers.delete(event.pointerId);
    canvas.classList.remove("dragging");
    if (known && name === "pointerup" && dragged <= 4) select(boxAt(event.clientX, event.clientY));
  });
}

// A double click opens or folds a box that has others inside; of those, all do the same.
canvas.addEventListener("dblclick", () => {
  if (view.selected >= 0 && data.records[shownStage().boxes[view.selected][0]].inside) keys.i();
});

function spread() {
  if (pointers.size !== 2) return 0;
  const [a, b] = [...pointers.values()];
  return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
}

canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const area = canvas.getBoundingClientRect();
  const pixels = event.deltaMode === 1 ? 16 : 1;
  if (event.ctrlKey || event.metaKey) zoom(Math.exp(-event.deltaY * pixels * 0.004), event.clientX - area.left, event.clientY - area.top);
  else {
    view.x -= (event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX) * pixels;
    view.y -= (event.shiftKey && !event.deltaX ? 0 : event.deltaY) * pixels;
  }
  redraw();
}, { passive: false });

element("search").addEventListener("input", (event) => search(event.target.value));
element("inside").addEventListener("click", keys.i);
element("before").addEventListener("click", keys.b);
element("in").addEventListener("click", keys["+"]);
element("out").addEventListener("click", keys["-"]);
element("fit").addEventListener("click", fit);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
new ResizeObserver(redraw).observe(canvas);

element("name").textContent = data.name;
readColours();
showStatements();
showTabs();
showPanel();
fitStart();
