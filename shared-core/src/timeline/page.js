"use strict";
// Replays the runs whose data stand in this page: a player for each. Times are in
// microseconds since the start of the run, and are never altered: only the replay is slow.
//
// An event is a step. `Steps` knows where each process and thread stands after each of
// them, `Picture` draws the lanes, `Source` the code with its cursors; `Player` is the clock
// that moves them all. Whatever comes from a run is put in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** An element with a class and a text. */
function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** An element of an SVG. */
function drawn(name, className, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  if (className) made.setAttribute("class", className);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

/** Control characters as signs that are seen: U+2400 and on. */
function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f]/g, (c) =>
    c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0)));
}

function short(text, most) {
  const characters = Array.from(text);
  return characters.length > most ? characters.slice(0, most - 1).join("") + "…" : text;
}

function milliseconds(time) {
  return (time / 1000).toFixed(3) + " ms";
}

/** A value of a fact or a check, as it is said. */
function inWords(value) {
  if (value === null || value === undefined) return "not seen";
  if (Array.isArray(value)) return value.map(inWords).join(", ");
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return typeof value === "string" ? visible(value) : JSON.stringify(value);
}

function inColourOf(lane, node) {
  if (!lane) return node;
  node.dataset.lane = "";
  node.style.setProperty("--lane", lane.colour);
  return node;
}

// What each event is, and where it leaves the cursors.

class Steps {
  constructor(events, rows) {
    this.lanes = rows.filter((row) => row.lane).map((row) => ({ ...row.lane, label: visible(row.label) }));
    const key = (process, thread) => `${process}/${thread ?? ""}`;
    const byKey = new Map(this.lanes.map((lane, index) => [key(lane.process, lane.thread), index]));
    const byThread = new Map();
    this.lanes.forEach((lane, index) => {
      const tid = lane.thread ?? lane.process;
      if (!byThread.has(tid)) byThread.set(tid, index);
    });
    this.events = [];
    this.at = new Set(events.map((event) => event.args?.at)); // the lines where something was done
    for (const event of events) {
      if (event.ph === "M") continue; // a name, nothing that happens
      const process = event.via ?? event.pid;
      const lane = byKey.get(key(process, event.tid === event.pid ? null : event.tid));
      const by = byThread.get(event.args?.by);
      // That a child was made or reaped stands in its lane, and its parent did it.
      const isMark = event.cat === "started" || event.cat === "reaped";
      this.events.push({ ...event, lane, by, doer: isMark ? by : lane });
    }
    this.walk();
  }

  /** Where the cursors stand: `moves` holds, for each event, each cursor that it changes,
      as it was before and as it is after. A cursor is `at` the line where something was
      done last, is `waiting` there, has gone on `after` it, or has `ended`. */
  walk() {
    const cursors = this.lanes.map(() => null);
    const open = this.lanes.map(() => []);
    const reaped = new Set(this.events.filter((event) => event.cat === "reaped").map((event) => event.lane));
    this.moves = this.events.map((event) => {
      const moves = [];
      const set = (lane, cursor) => {
        if (lane === undefined) return;
        moves.push({ lane, before: cursors[lane], after: cursor });
        cursors[lane] = cursor;
      };
      const at = event.args?.at && this.line(event.args.at);
      const own = cursors[event.lane];
      const stack = open[event.lane] ?? [];
      if (event.cat === "started" || event.cat === "reaped") {
        if (at) set(event.by, { at, state: "at" });
        if (event.cat === "reaped") this.lanesOf(event).forEach((lane) => set(lane, null));
        else if (event.args?.from && !own) set(event.lane, { at: this.line(event.args.from), state: "after" });
      } else if (event.ph === "E" && event.cat === "life") {
        // With a process its threads end; if it is reaped later it is a zombie until then.
        const isProcess = event.tid === event.pid;
        if (isProcess) this.lanesOf(event).forEach((lane) => set(lane, null));
        const isZombie = isProcess && !event.via && reaped.has(event.lane);
        set(event.lane, own && isZombie ? { ...own, state: "ended" } : null);
      } else if (event.ph === "E" && event.cat === "span") {
        event.begun = stack.pop(); // what ends here
        if (own) set(event.lane, { at: at ?? own.at, state: "after" });
      } else {
        if (event.ph === "B" && (event.cat === "span" || event.cat === "wait")) stack.push(event);
        const waits = event.ph === "B" && event.cat === "wait";
        if (at) set(event.lane, { at, state: waits ? "waiting" : "at" });
      }
      return moves;
    });
  }

  /** All lanes of the process of this event. */
  lanesOf(event) {
    const process = event.via ?? event.pid;
    return [...this.lanes.keys()].filter((lane) => this.lanes[lane].process === process);
  }

  line(at) {
    const colon = at.lastIndexOf(":");
    return { file: at.slice(0, colon), line: Number(at.slice(colon + 1)) };
  }

  /** Who did it, as it is said. */
  who(event) {
    return this.lanes[event.doer]?.label ?? "";
  }

  /** What happened, in words. */
  what(event) {
    const name = visible(event.name);
    const child = this.lanes[event.lane]?.label ?? name;
    const ended = event.args?.signal ? `killed by ${event.args.signal}` : `exited with status ${event.args?.status}`;
    switch (event.cat) {
      case "life": return event.ph === "B" ? "begins" : "ends";
      case "wait": return `begins to wait: ${name}`;
      case "span": {
        if (event.ph === "B") return `begins: ${name}`;
        const begun = visible(event.begun?.name ?? "");
        return event.begun?.cat === "wait" ? `goes on after: ${begun}` : `ends: ${begun}`;
      }
      case "slice": return event.ph === "B" ? `is on a CPU: ${name}` : "is off the CPU";
      case "fact": return `sees ${name} = ${inWords(event.args?.value)}`;
      case "check": return `checks: ${name} ${event.args?.ok ? "✔" : "✘"}`;
      case "measured": return `has measured: ${name}`;
      case "queued": return `puts into the queue: ${name}`;
      // Whoever says nothing has no lane.
      case "started": return event.by === undefined ? `${child} has been made` : `has made ${child}`;
      case "reaped": return `${event.by === undefined ? `${child} has been reaped` : `has reaped ${child}`}: ${ended}`;
      case "error": return `fails: ${name}`;
      case "clock": return `has compared clocks with ${name}`;
      default: return name;
    }
  }
}

// The lanes, growing.

class Picture {
  constructor(data, steps, box, player) {
    Object.assign(this, { drawing: data.drawing, steps, box, player });
    this.length = Math.max(data.drawing.length, Number.MIN_VALUE);
    this.measure = document.createElement("canvas").getContext("2d");
    // The event that a shape stands for, by lane, time and kind.
    this.eventOf = new Map();
    const kinds = ["report", "moment", "span", "wait", "slice"];
    steps.events.forEach((event, index) => {
      if (event.ph === "E" || event.lane === undefined || !kinds.includes(event.cat)) return;
      this.eventOf.set(`${event.lane} ${event.cat} ${event.ts}`, index);
    });
  }

  widthOf(text, bold) {
    this.measure.font = `${bold ? "bold " : ""}13px "DejaVu Sans", Verdana, "Noto Sans CJK SC", sans-serif`;
    return this.measure.measureText(text).width;
  }

  x(time) {
    return this.left + (this.width - this.left - 24) * time / this.length;
  }

  time(x) {
    return (x - this.left) / (this.width - this.left - 24) * this.length;
  }

  /** Draws everything that the run will have shown at its end; `show` hides what is to
      come. */
  draw() {
    const rows = this.drawing.rows;
    // In pixels of a letter of 16: the picture grows with the letters of the page.
    this.scale = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
    this.clientWidth = this.box.clientWidth;
    this.width = Math.max(this.clientWidth / this.scale, 240);
    const names = rows.map((row) => short(visible(row.label), 40));
    const widest = Math.max(0, ...names.map((name) => this.widthOf(name, true)));
    // Where there is little room a name stands above its lane.
    this.isNarrow = this.width < 480 || widest > this.width / 3;
    this.left = this.isNarrow ? 8 : widest + 20;
    this.shapes = [];
    this.middles = [];
    const height = rows.length > 20 ? 22 : 32;
    const svg = drawn("svg", "", { role: "img", "aria-label": `Timeline of ${names.length} lanes: ${short(names.join(", "), 200)}` });
    const below = drawn("g", "", {}), above = drawn("g", "", {});
    let bottom = 4;
    rows.forEach((row, index) => {
      const { tiers, places } = this.placeLabels(row);
      bottom += (this.isNarrow ? 18 : 0) + 17 * tiers + height;
      const middle = bottom - height / 2;
      this.middles.push(middle);
      const group = inColourOf(row.lane, drawn("g", "", {}));
      const labels = inColourOf(row.lane, drawn("g", "", {}));
      const name = drawn("text", row.lane ? "name" : "cpu", this.isNarrow
        ? { x: 8, y: middle - height / 2 - 17 * tiers - 2 } : { x: 4, y: middle + 5 }, names[index]);
      name.append(drawn("title", "", {}, visible(row.label)));
      group.append(name);
      if (row.lane) this.shapes.push({ node: name, begin: row.shapes[0].begin, end: row.shapes[0].begin });
      for (const shape of row.shapes) {
        if (shape.kind === "moment") this.label(labels, shape, places.get(shape), middle, height, index);
        else this.shape(group, shape, middle, height, index);
      }
      below.append(group);
      above.append(labels);
    });
    const ticks = drawn("g", "", {});
    for (const [time, text] of this.ticks()) {
      const x = this.x(time);
      ticks.append(drawn("line", "tick", { x1: x, x2: x, y1: 0, y2: bottom }));
      const anchor = x < 24 ? "start" : "middle";
      ticks.append(drawn("text", "", { x, y: bottom + 16, "text-anchor": anchor }, text));
    }
    const arrows = drawn("g", "", {});
    for (const arrow of this.drawing.arrows) {
      const x = this.x(arrow.time);
      const line = drawn("line", "arrow", { x1: x, x2: x, y1: this.middles[arrow.from], y2: this.middles[arrow.to] });
      arrows.append(line);
      this.shapes.push({ node: line, begin: arrow.time, end: arrow.time });
    }
    this.playhead = drawn("line", "playhead", { x1: 0, x2: 0, y1: 0, y2: bottom });
    this.ring = drawn("circle", "ring", { r: height / 3, cx: -99, cy: 0 });
    svg.append(ticks, arrows, below, above, this.playhead, this.ring);
    svg.setAttribute("viewBox", `0 0 ${this.width} ${bottom + 22}`);
    svg.addEventListener("click", (click) => {
      const index = this.eventAt.get(click.target);
      if (index !== undefined) return this.player.toEvent(index);
      const { left } = svg.getBoundingClientRect();
      this.player.toTime(this.time((click.clientX - left) / this.scale));
    });
    this.box.replaceChildren(svg);
    const marks = this.shapes.filter((shape) => shape.event !== undefined);
    this.eventAt = new Map(marks.map((shape) => [shape.node, shape.event]));
    this.nodeOf = new Map(marks.map((shape) => [shape.event, shape.node]).reverse()); // the first one of each
    this.current = null;
  }

  /** Round times: at most one in 90 pixels, and in a unit that suits them. */
  ticks() {
    const most = Math.max(1, Math.floor((this.width - this.left) / 90));
    const steps = Array.from({ length: 33 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));
    const step = steps.find((step) => step * most >= this.length) ?? steps.at(-1);
    const decimals = Math.max(0, 3 - Math.floor(Math.log10(step)));
    const text = (time) => this.length < 1e3 ? `${time} µs`
      : this.length >= 1e7 ? `${time / 1e6} s` : `${(time / 1e3).toFixed(decimals)} ms`;
    const times = Array.from({ length: most + 1 }, (_, n) => n * step);
    return times.filter((time) => time <= this.length).map((time) => [time, text(time)]);
  }

  /** Places the labels of a lane so that none covers another, nor the line of one that is
      earlier and so stands higher. One for which there is no room is seen on hover only. */
  placeLabels(row) {
    const begins = [], places = new Map();
    for (const moment of row.shapes.filter((shape) => shape.kind === "moment").reverse()) {
      const width = this.widthOf(short(visible(moment.text), 60), true);
      const left = Math.max(0, Math.min(this.x(moment.begin), this.width - width - 2));
      let tier = begins.findIndex((begin) => left + width + 6 <= begin);
      if (tier < 0) tier = begins.length;
      if (tier === 4) continue;
      begins[tier] = left;
      places.set(moment, { left, tier });
    }
    return { tiers: begins.length, places };
  }

  add(group, node, shape, lane, appears = shape.begin) {
    if (shape.title) node.append(drawn("title", "", {}, visible(shape.title)));
    group.append(node);
    const event = this.eventOf.get(`${lane} ${shape.kind} ${shape.begin}`);
    this.shapes.push({ node, begin: appears, end: appears, event });
    return this.shapes.at(-1);
  }

  label(group, shape, place, middle, height, lane) {
    const x = this.x(shape.begin), top = middle - height / 2;
    const y = top - 17 * (place?.tier ?? 0) - 4;
    this.add(group, drawn("line", "moment", { x1: x, x2: x, y1: y + 2, y2: middle }), shape, lane);
    if (!place) return;
    const text = drawn("text", "label", { x: place.left, y }, short(visible(shape.text), 60));
    this.add(group, text, shape, lane);
  }

  shape(group, shape, middle, height, lane) {
    const left = this.x(shape.begin), right = this.x(shape.end);
    const { kind } = shape;
    const bar = (tall, least) => {
      const at = { x: left, y: middle - tall / 2, height: tall, width: Math.max(right - left, least), rx: kind === "slice" ? 0 : 3 };
      const made = this.add(group, drawn("rect", kind, at), shape, lane);
      Object.assign(made, { end: shape.end, width: at.width, left, isCutOff: shape.cut_off });
    };
    const inside = (text, x, anchor) => {
      if (this.widthOf(text) + 12 > right - left || !text) return;
      const node = drawn("text", kind === "wait" ? "in-wait" : "in", { x, y: middle + 5, "text-anchor": anchor }, text);
      const appears = Math.min(shape.end, this.time(left + this.widthOf(text) + 12));
      this.add(group, node, { ...shape, title: "", kind: "" }, lane, appears);
    };
    switch (kind) {
      case "life": return bar(height / 4, 2);
      case "span": case "wait":
        bar(Math.max(8, height * .75 - 10 * (shape.depth ?? 0)), 2);
        return inside(short(visible(shape.text), 60), left + 6, "start");
      case "slice": {
        bar(height * .75, .5);
        if (!shape.of) return;
        const [colour, letter] = shape.of;
        inColourOf({ colour }, this.shapes.at(-1).node);
        const name = short(visible(shape.text ?? ""), 60);
        const fits = this.widthOf(name) + 12 <= right - left;
        return inside(fits ? name : letter ?? "", (left + right) / 2, "middle");
      }
      case "zombie": {
        const made = this.add(group, drawn("line", kind, { x1: left, x2: right, y1: middle, y2: middle }), shape, lane);
        return Object.assign(made, { end: shape.end, left, line: true });
      }
      case "report": return this.add(group, drawn("circle", kind, { cx: left, cy: middle, r: height / 7 }), shape, lane);
      case "killed":
        this.add(group, drawn("text", kind, { x: left, y: middle + 8, "text-anchor": "middle" }, "×"), shape, lane);
        return this.add(group, drawn("text", "signal", { x: left - 10, y: middle + 5, "text-anchor": "end" }, visible(shape.text)), shape, lane);
      case "exited": return this.add(group, drawn("rect", kind, { x: left - 5, y: middle - 5, width: 10, height: 10 }), shape, lane);
      case "still-there": return this.add(group, drawn("path", kind, { d: `M${left} ${middle - 7} l12 7 l-12 7 z` }), shape, lane);
    }
  }

  bringIntoSight(middle) {
    const { scrollTop, clientHeight } = this.box;
    if (middle < scrollTop + 20 || middle > scrollTop + clientHeight - 20) this.box.scrollTop = middle - clientHeight / 2;
  }

  /** Shows what has happened up to `time`, and lights the event `index`, the last of it. */
  show(time, index) {
    for (const shape of this.shapes) {
      const state = shape.begin > time ? 0 : shape.end > time ? 1 : 2;
      if (state === 1 && shape.left !== undefined) {
        const x = this.x(time);
        if (shape.line) shape.node.setAttribute("x2", x);
        else shape.node.setAttribute("width", Math.max(x - shape.left, 1));
      }
      if (state === shape.state) continue;
      if (state === 2 && shape.left !== undefined) {
        if (shape.line) shape.node.setAttribute("x2", this.x(shape.end));
        else shape.node.setAttribute("width", shape.width);
      }
      if (shape.isCutOff) shape.node.classList.toggle("cut-off", state === 2);
      if ((state === 0) !== (shape.state === 0)) shape.node.classList.toggle("to-come", state === 0);
      shape.state = state;
    }
    const x = this.x(Math.min(time, this.length));
    this.playhead.setAttribute("transform", `translate(${x} 0)`);
    const event = this.steps.events[index];
    const current = this.nodeOf.get(index);
    if (this.current !== current) {
      this.current?.classList.remove("current");
      current?.classList.add("current");
      this.current = current;
    }
    const lane = event?.doer ?? event?.lane;
    if (lane !== undefined && index !== this.index) this.bringIntoSight(this.middles[lane] * this.scale);
    this.index = index;
    this.ring.setAttribute("cx", lane === undefined ? -99 : this.x(Math.min(event.ts, this.length)));
    this.ring.setAttribute("cy", lane === undefined ? -99 : this.middles[lane]);
  }
}

// The code, and who is where in it.

class Source {
  constructor(files, demo, steps, section, player) {
    Object.assign(this, { steps, player });
    this.file = `${demo}/${files.source}`;
    section.querySelector("h3").textContent = this.file;
    this.box = section.querySelector(".code");
    this.lines = new Map();
    const lines = files.source_text.trimEnd().split(/\r?\n/);
    // What is taught: from `run` to where a first reading may stop.
    const begin = Math.max(0, lines.findIndex((line) => line.startsWith("pub fn run(")));
    const skip = lines.findIndex((line) => line.startsWith("// A first reading may skip the rest"));
    const end = skip < 0 ? lines.length : skip;
    this.fold(lines, 0, begin, "lines before: what it shows, options, questions");
    for (let n = begin; n < end; n += 1) this.box.append(this.line(n + 1, lines[n]));
    this.fold(lines, end, lines.length, "lines after: how the run is judged");
    this.elsewhere = element("div", "elsewhere");
    this.box.append(this.elsewhere);
    this.cursors = steps.lanes.map((lane) => {
      const cursor = inColourOf(lane, element("span", "cursor"));
      cursor.hidden = true;
      cursor.setAttribute("aria-hidden", "true");
      cursor.addEventListener("click", () => this.toCursor(cursor));
      this.box.append(cursor);
      return cursor;
    });
    this.at = steps.lanes.map(() => null);
    this.box.addEventListener("toggle", () => this.place(), true);
    this.box.addEventListener("scroll", () => this.place());
  }

  /** To the next event where this cursor stands. */
  toCursor(cursor) {
    const { at } = this.at[this.cursors.indexOf(cursor)];
    this.player.toLine(at.file, at.line);
  }

  fold(lines, begin, end, what) {
    if (begin >= end) return;
    const details = element("details", "fold");
    details.append(element("summary", "", `${end - begin} ${what}`));
    for (let n = begin; n < end; n += 1) details.append(this.line(n + 1, lines[n]));
    this.box.append(details);
  }

  line(number, code) {
    const line = element("div", "line");
    const text = element("code", "text");
    const pattern = /(\/\/.*$)|("(?:[^"\\]|\\.)*")|\b(fn|let|mut|match|for|in|if|else|loop|while|return|move|unsafe|pub|use|const|static|struct|enum|impl|trait|as|ref|break|continue|mod|where|type)\b/g;
    let last = 0;
    for (const found of code.matchAll(pattern)) {
      text.append(code.slice(last, found.index));
      text.append(element("span", found[1] ? "comment" : found[2] ? "string" : "keyword", found[0]));
      last = found.index + found[0].length;
    }
    text.append(code.slice(last));
    // What does not fit goes on below, a bit further in.
    const indent = code.search(/\S|$/) + 4;
    text.style.paddingLeft = `calc(7.5em + ${indent}ch)`;
    text.style.textIndent = `-${indent}ch`;
    line.append(element("span", "number", String(number)), text);
    if (this.steps.at.has(`${this.file}:${number}`)) {
      line.classList.add("told");
      line.addEventListener("click", () => this.player.toLine(this.file, number));
    }
    this.lines.set(number, line);
    return line;
  }

  /** What a cursor at this place stands beside. */
  rowOf(cursor) {
    const line = cursor.at.file === this.file && this.lines.get(cursor.at.line);
    if (!line) return this.elsewhere;
    const fold = line.parentElement;
    return fold.tagName === "DETAILS" && !fold.open ? fold.firstElementChild : line;
  }

  /** Puts each cursor beside its line; `index` is the event that is current. */
  show(cursors, index) {
    this.at = cursors;
    const event = this.steps.events[index];
    const place = event?.args?.at && this.steps.line(event.args.at);
    this.light(place);
    this.place();
  }

  /** Cursors beside their rows; those that are out of sight wait at the edge. */
  place() {
    const { scrollTop, clientHeight } = this.box;
    const elsewhere = new Set();
    const slots = new Map();
    this.at.forEach((cursor, lane) => {
      if (!cursor) {
        this.cursors[lane].hidden = true;
        return;
      }
      const row = this.rowOf(cursor), { file, line } = cursor.at;
      if (row === this.elsewhere) elsewhere.add(`${file}, line ${line}`);
      // Who has gone on from a line stands below it.
      const own = row.offsetTop + (cursor.state === "after" ? row.offsetHeight / 2 : 0);
      const top = Math.min(Math.max(own, scrollTop), scrollTop + clientHeight - 20);
      const arrow = own > top ? "↓" : own < top - 8 ? "↑" : "";
      const slot = slots.get(top) ?? [];
      slots.set(top, [...slot, { lane, arrow }]);
    });
    this.elsewhere.textContent = elsewhere.size ? `elsewhere: ${[...elsewhere].join("; ")}` : "";
    for (const [top, cursors] of slots) {
      const isAlone = cursors.length === 1, isCrowded = cursors.length > 5;
      const step = isAlone ? 0 : Math.min(1.6, 7.5 / cursors.length);
      cursors.forEach(({ lane, arrow }, slot) => {
        const node = this.cursors[lane], { name, letter, label } = this.steps.lanes[lane];
        const crowd = slot === 0 ? arrow + cursors.length : "";
        node.textContent = isAlone ? arrow + short(visible(name), 10) : isCrowded ? crowd : arrow + (letter ?? "");
        node.style.zIndex = cursors.length - slot;
        node.className = `cursor ${this.at[lane].state}`;
        node.title = `${label}, ${this.said(this.at[lane])}`;
        node.style.transform = `translate(${slot * step}em, ${top}px)`;
        node.hidden = false; // only now: it does not come from where it was last
      });
    }
  }

  /** What a cursor says, in words. */
  said({ at, state }) {
    const states = { at: "was last here", waiting: "waits here", after: "has gone on from here", ended: "has ended" };
    return `${states[state]}: ${at.file}, line ${at.line}`;
  }

  /** Lights a line, and brings it into sight. */
  light(place) {
    const line = place?.file === this.file ? this.lines.get(place.line) : undefined;
    if (line === this.lit) return;
    this.lit?.classList.remove("current");
    this.lit = line;
    if (!line) return;
    line.classList.add("current");
    const row = this.rowOf({ at: place }); // the line, or the fold that it is in
    const { scrollTop, clientHeight } = this.box;
    if (row.offsetTop >= scrollTop && row.offsetTop < scrollTop + clientHeight - 30) return;
    // With all cursors, if they have room.
    const rows = this.at.filter((cursor) => cursor?.at.file === this.file).map((cursor) => this.rowOf(cursor));
    const all = rows.map((row) => row.offsetTop);
    let [first, last] = [Math.min(row.offsetTop, ...all), Math.max(row.offsetTop, ...all)];
    if (last - first > clientHeight - 60) [first, last] = [row.offsetTop, row.offsetTop];
    this.box.scrollTop = (first + last - clientHeight) / 2;
  }
}

// One run on the page: its questions, its verdict, and the clock that moves the rest.

class Player {
  constructor(data, article) {
    Object.assign(this, { data, article });
    const find = (selector) => article.querySelector(selector);
    this.find = find;
    find(".title").textContent = short(visible(data.title), 300);
    this.isRevealed = false;
    if (!data.drawing) {
      // Its process had no time to tell more.
      find(".revealed").replaceChildren(element("p", "error", `This run left nothing to show: ${data.ended}.`));
      find(".revealed").hidden = false;
      this.isRevealed = true;
      return;
    }
    this.steps = new Steps(data.events, data.drawing.rows);
    this.length = Math.max(data.drawing.length, this.steps.events.at(-1)?.ts ?? 0);
    this.now = { time: 0, index: -1 };
    this.ask();
  }

  // Ask first.

  ask() {
    const questions = this.data.lesson?.questions ?? [];
    const given = this.data.summary.predictions;
    if (!questions.length || given) {
      this.reveal(given?.map((prediction) => prediction.prediction));
      return;
    }
    const form = this.find("form");
    this.fields = questions.map((question, index) => this.field(question, index));
    this.find(".questions").append(...this.fields.map((field) => field.node));
    this.find(".ask").hidden = false;
    form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.reveal(this.fields.map((field) => field.value()));
      this.find(".predictions").scrollIntoView({ block: "nearest" });
    });
    this.find(".show").addEventListener("click", () => this.reveal());
  }

  field(question, index) {
    const node = element("fieldset");
    const id = `${this.data.name}-${index}`;
    if (!question.choices.length) {
      const label = element("label", "", `${question.text} `);
      const input = element("input", "number");
      Object.assign(input, { type: "number", step: "1", name: id });
      label.append(input);
      node.append(label);
      return { node, value: () => input.value || null };
    }
    node.append(element("legend", "", question.text));
    for (const choice of question.choices) {
      const label = element("label"), input = element("input");
      Object.assign(input, { type: "radio", name: id, value: choice });
      label.append(input, ` ${choice}`);
      node.append(label);
    }
    return { node, value: () => node.querySelector("input:checked")?.value ?? null };
  }

  /** Shows the run, with what was predicted beside it. */
  reveal(predictions = []) {
    if (this.isRevealed) return;
    this.isRevealed = true;
    const hadFocus = this.find(".ask").contains(document.activeElement);
    this.find(".ask").hidden = true;
    this.find(".revealed").hidden = false;
    document.getElementById("keys").hidden = false;
    this.compare(predictions);
    this.tell();
    this.build();
    if (hadFocus) this.find(".play").focus();
  }

  compare(predictions) {
    const questions = this.data.lesson?.questions ?? [];
    if (!predictions.some((prediction) => prediction !== null && prediction !== undefined)) return;
    const rows = questions.map((question, index) => {
      const said = predictions[index];
      const seen = inWords(this.data.summary.facts[question.fact]);
      const told = this.data.summary.predictions?.[index];
      const answer = told ? inWords(told.answer) : question.unknowable ?? seen;
      const isSame = (a, b) => a === b || (!question.choices.length && Number(a) === Number(b));
      const none = said === null || said === undefined;
      // What cannot be known is luck, also if it is what was said.
      const mark = none ? "" : isSame(said, answer) ? "✔" : isSame(said, seen) ? "○" : "✘";
      const colour = { "✔": "good", "✘": "bad" }[mark];
      const outcomes = told?.outcomes?.map(inWords) ?? [];
      const more = outcomes.length ? `${outcomes.length} more runs: ${outcomes.join(", ")}` : "another run may differ";
      const race = `${seen} this time; ${more}`;
      const row = element("tr");
      row.append(
        element("td", "", question.text),
        element("td", colour, none ? "no answer" : `${mark} ${said}`),
        element("td", "", question.is_a_race ? race : seen),
      );
      return row;
    });
    this.find(".predictions tbody").append(...rows);
    this.find(".predictions").hidden = false;
  }

  // What does not move: the verdict and what the lesson says.

  tell() {
    const { summary, lesson, legend, left_out, machine, date, advice } = this.data;
    const value = (content) => element("td", "", short(inWords(content ?? "nothing"), 1000));
    const checks = summary.checks.map((check) => {
      const row = element("tr");
      const text = element("td", check.ok ? "good" : "bad", `${check.ok ? "✔" : "✘"} ${visible(check.text)}`);
      row.append(text, value(check.expected), value(check.seen));
      return row;
    });
    this.find(".checks tbody").append(...checks);
    this.find(".checks").hidden = !checks.length;
    const { error } = summary;
    this.find(".error").hidden = !error;
    if (error) this.find(".error").textContent = `✘ ${visible(error)}`;
    this.find(".verdict").hidden = !checks.length && !error;
    this.find(".signs").append(...legend.map((sign) => element("span", "", sign)));
    this.find(".left-out").append(...left_out.map((text) => element("li", "", text)));
    const day = new Date(date).toISOString().replace("T", " ").slice(0, 16);
    this.find(".machine").textContent = `Run of ${day} UTC on ${machine}${lesson ? `: ${lesson.command}` : ""}`;
    this.find(".advice").append(...advice.map((text) => element("li", "", text)));
    if (!lesson) return;
    this.find(".lesson").hidden = false;
    const why = lesson.order ? [...lesson.why, lesson.order] : lesson.why;
    this.find(".why").append(...why.map((text) => element("p", "", text)));
    this.find(".tries").textContent = lesson.tries.join("\n");
    const { snippet, text } = lesson.files;
    this.find(".snippet summary").textContent = `The program to copy: ${summary.demo}/${snippet}`;
    this.find(".snippet pre").textContent = text;
    const copy = this.find(".copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        copy.classList.add("copied");
        copy.addEventListener("blur", () => copy.classList.remove("copied"), { once: true });
      } catch {
        getSelection().selectAllChildren(this.find(".snippet pre")); // to be copied by hand
      }
    });
  }

  measured(bars) {
    if (!bars) return;
    const box = this.find(".measured");
    box.hidden = false;
    box.replaceChildren(element("p", "", bars.caption));
    const percent = (place) => `${place * 100}%`;
    for (const bar of bars.drawn) {
      const row = element("div", "bar"), track = element("div", "track");
      const fill = element("div", "fill"), quartiles = element("div", "quartiles");
      fill.style.width = percent(bar.median);
      quartiles.style.left = percent(bar.lower_quartile);
      quartiles.style.width = percent(bar.upper_quartile - bar.lower_quartile);
      track.append(fill, quartiles);
      row.append(element("span", "", visible(bar.name)), track, element("span", "", bar.figures));
      box.append(row);
    }
    const row = element("div", "bar"), ticks = element("div", "ticks");
    row.append(element("span"), ticks, element("span"));
    box.append(row);
    const every = Math.ceil(bars.ticks.length * 72 / Math.max(ticks.clientWidth, 72));
    for (const [place, text] of bars.ticks.filter((_, index) => index % every === 0)) {
      const tick = element("span", "", text);
      tick.style.left = percent(place);
      ticks.append(tick);
    }
  }

  // What moves.

  build() {
    const { lesson, summary } = this.data;
    this.picture = new Picture(this.data, this.steps, this.find(".picture"), this);
    if (lesson) {
      this.find(".source").hidden = false;
      this.find(".stage").classList.add("with-source");
      this.source = new Source(lesson.files, summary.demo, this.steps, this.find(".source"), this);
    }
    this.cursors = this.steps.lanes.map(() => null);
    this.reached = 0; // how many events `cursors` takes account of
    this.transcript();
    this.speeds();
    // What the mouse has pressed does not keep the keys for itself.
    const on = (selector, act) => this.find(selector).addEventListener("click", (click) => {
      act();
      if (click.detail > 0) click.currentTarget.blur();
    });
    const speed = this.find(".speed");
    let isByMouse = false;
    speed.addEventListener("pointerdown", () => { isByMouse = true; });
    speed.addEventListener("keydown", () => { isByMouse = false; });
    speed.addEventListener("change", () => { if (isByMouse) speed.blur(); });
    on(".play", () => this.isPlaying ? this.pause() : this.play());
    on(".first", () => this.toEvent(-1));
    on(".back", () => this.toEvent(this.now.index - 1));
    on(".forward", () => this.toEvent(this.now.index + 1));
    on(".last", () => this.toEvent(this.steps.events.length - 1));
    const scrubber = this.find(".scrubber");
    scrubber.max = this.picture.length;
    scrubber.addEventListener("input", () => this.toTime(Number(scrubber.value)));
    this.article.addEventListener("pointerdown", () => { Player.current = this; });
    this.article.addEventListener("focusin", () => { Player.current = this; });
    new ResizeObserver(() => {
      if (this.picture.clientWidth === this.find(".picture").clientWidth) return;
      this.draw();
      this.render();
    }).observe(this.find(".picture"));
    this.draw();
    this.toEvent(this.steps.events.length - 1); // the whole run, to be played from the start
  }

  /** Draws what depends on how much room there is. */
  draw() {
    this.picture.draw();
    this.source?.place();
    this.measured(this.data.drawing.bars);
    // The scrubber is as long as the time axis; the judging after that stands at its end.
    const scrubber = this.find(".scrubber"), { left, scale } = this.picture;
    const end = this.picture.x(this.picture.length);
    scrubber.style.marginLeft = `${(left - 8) * scale}px`;
    scrubber.style.width = `${(end - left + 16) * scale}px`;
  }

  transcript() {
    const list = this.find(".transcript");
    this.lines = [];
    this.spoken = 0; // how many of them have been said
    this.steps.events.forEach((event, index) => {
      if (event.cat !== "report") return;
      const line = element("li", "to-come");
      line.append(
        element("span", "time", milliseconds(event.ts)),
        inColourOf(this.steps.lanes[event.lane], element("span", "who", this.steps.who(event))),
        element("span", "what", visible(event.name)),
      );
      line.addEventListener("click", () => this.toEvent(index));
      this.lines.push({ index, line });
    });
    for (const node of [list, this.find(".said")]) node.hidden = !this.lines.length;
    this.openTranscript(0);
  }

  /** Of very many lines only those around the last one said are in the list. */
  openTranscript(spoken) {
    const most = 400, { length } = this.lines;
    const begin = length <= most ? 0 : Math.max(0, Math.floor(spoken / 100) * 100 - 200);
    if (this.begin === begin) return;
    this.begin = begin;
    const lines = this.lines.slice(begin, begin + most);
    this.find(".transcript").replaceChildren(...lines.map(({ line }) => line));
    const which = length <= most ? "" : `, lines ${begin + 1} to ${begin + lines.length} of ${length}`;
    this.find(".said").textContent = `What they said${which}`;
  }

  /** How much slower than it was: so that the run takes from a second to some minutes. */
  speeds() {
    const select = this.find(".speed"), seconds = this.length / 1e6;
    const factors = Array.from({ length: 22 }, (_, n) => [1, 2, 5][n % 3] * 10 ** Math.floor(n / 3));
    const fitting = factors.filter((factor) => factor === 1 || (seconds * factor >= 1 && seconds * factor <= 400));
    const near = (factor) => Math.abs(Math.log(seconds * factor / 20));
    const best = fitting.reduce((a, b) => (near(b) < near(a) ? b : a));
    for (const factor of fitting) {
      const text = factor < 1000 ? `${factor} ms` : `${factor / 1000} s`;
      const option = element("option", "", factor === 1 ? "1 ms, as it was" : text);
      option.value = factor;
      option.selected = factor === best;
      select.append(option);
    }
  }

  play() {
    if (this.isPlaying) return;
    for (const other of Player.all) if (other.isPlaying) other.pause();
    if (this.now.time >= this.length) this.toEvent(-1);
    this.isPlaying = true;
    this.find(".play").textContent = "Pause";
    this.find(".now").setAttribute("aria-live", "off");
    let last = null, time = this.now.time;
    const frame = (now) => {
      const slower = Number(this.find(".speed").value);
      if (last !== null) time += (now - last) * 1000 / slower;
      last = now;
      const index = this.indexAt(time);
      // Who wants no motion sees one event after another.
      if (!calm.matches) this.set(Math.min(time, this.length), index);
      else if (index !== this.now.index) this.set(this.steps.events[index].ts, index);
      if (time >= this.length) {
        this.toEvent(this.steps.events.length - 1);
        return;
      }
      this.frame = requestAnimationFrame(frame);
    };
    this.frame = requestAnimationFrame(frame);
  }

  pause() {
    this.isPlaying = false;
    cancelAnimationFrame(this.frame);
    this.find(".play").textContent = "Play";
    this.find(".now").setAttribute("aria-live", "polite");
  }

  /** The last event that has happened by `time`. */
  indexAt(time) {
    const { events } = this.steps;
    let [low, high] = [0, events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (events[middle].ts <= time) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  toTime(time) {
    this.pause();
    const within = Math.min(Math.max(time, 0), this.length);
    this.set(within, this.indexAt(within));
  }

  toEvent(index) {
    this.pause();
    const last = this.steps.events.length - 1;
    const within = Math.min(Math.max(index, -1), last);
    const time = within < 0 ? 0 : within === last ? this.length : this.steps.events[within].ts;
    this.set(time, within);
  }

  /** To the next event of this line of source, round and round. */
  toLine(file, line) {
    const at = `${file}:${line}`;
    const indices = this.steps.events.flatMap((event, index) => (event.args?.at === at ? [index] : []));
    if (indices.length) this.toEvent(indices.find((index) => index > this.now.index) ?? indices[0]);
  }

  set(time, index) {
    this.now = { time, index };
    this.render();
  }

  render() {
    const { time, index } = this.now;
    for (; this.reached <= index; this.reached += 1) {
      for (const move of this.steps.moves[this.reached]) this.cursors[move.lane] = move.after;
    }
    for (; this.reached > index + 1; this.reached -= 1) {
      for (const move of [...this.steps.moves[this.reached - 1]].reverse()) this.cursors[move.lane] = move.before;
    }
    this.picture.show(time, index);
    const clock = `${milliseconds(time)} of ${milliseconds(this.length)}`;
    this.find(".clock").textContent = clock;
    this.find(".scrubber").value = time;
    if (this.shown === index) return;
    this.shown = index;
    this.source?.show(this.cursors, index);
    this.sayNow(this.steps.events[index], index, clock);
  }

  sayNow(event, index, clock) {
    const now = this.find(".now");
    const count = `event ${index + 1} of ${this.steps.events.length}`;
    if (event) {
      const who = inColourOf(this.steps.lanes[event.doer ?? event.lane], element("span", "who", short(this.steps.who(event), 80)));
      const what = element("bdi", "", this.steps.what(event));
      now.replaceChildren(`${count}: `, who, " ", what);
    } else {
      now.textContent = `${count}: nothing has happened yet`;
    }
    this.find(".scrubber").setAttribute("aria-valuetext", event ? `${clock}: ${short(this.steps.what(event), 200)}` : clock);
    for (; this.spoken < this.lines.length && this.lines[this.spoken].index <= index; this.spoken += 1) {
      this.lines[this.spoken].line.classList.remove("to-come");
    }
    for (; this.spoken > 0 && this.lines[this.spoken - 1].index > index; this.spoken -= 1) {
      this.lines[this.spoken - 1].line.classList.add("to-come");
    }
    this.openTranscript(this.spoken);
    const last = this.lines[this.spoken - 1];
    const current = last?.index === index ? last.line : null;
    if (this.said !== current) {
      this.said?.classList.remove("current");
      this.said?.removeAttribute("aria-current");
      current?.classList.add("current");
      current?.setAttribute("aria-current", "step");
      this.said = current;
    }
    const list = this.find(".transcript");
    if (last) list.scrollTop = last.line.offsetTop - list.offsetTop - list.clientHeight / 2;
  }

  isInSight() {
    const { top, bottom } = this.article.getBoundingClientRect();
    return this.picture && bottom > 80 && top < innerHeight - 80;
  }

  /** The run that the keys are for: the one that was used last, or else the first of those
      that are seen. */
  static inSight() {
    const { current } = Player;
    return current?.isInSight() ? current : Player.all.find((player) => player.isInSight());
  }

  /** The whole run, on paper. */
  print() {
    this.reveal();
    if (!this.picture) return;
    this.before = this.now;
    this.toEvent(this.steps.events.length - 1);
  }

  /** Where the reader was before it was printed. */
  goBack() {
    if (this.before) this.set(this.before.time, this.before.index);
    this.before = null;
  }
}

Player.all = [];
Player.current = null;

// The page.

for (const data of JSON.parse(document.getElementById("run-data").textContent)) {
  const article = document.getElementById("one-run").content.firstElementChild.cloneNode(true);
  article.id = data.name;
  document.getElementById("all-runs").append(article);
  Player.all.push(new Player(data, article));
  const isOfDemo = data.title.startsWith(`${data.summary?.demo} `);
  const title = isOfDemo ? data.title.slice(data.summary.demo.length + 1) : data.title;
  const item = element("li"), link = element("a", "", short(visible(title), 300));
  link.href = `#${data.name}`;
  item.append(link);
  document.getElementById("contents").append(item);
}
Player.all.find((player) => `#${player.article.id}` === location.hash)?.article.scrollIntoView();
const isOne = Player.all.length === 1;
document.querySelector("nav").hidden = isOne;
if (isOne) document.querySelector("h2").hidden = true; // it says what the first heading says

document.getElementById("show-all").addEventListener("click", () => {
  for (const player of Player.all) player.reveal();
});

const keys = {
  " ": (player) => (player.isPlaying ? player.pause() : player.play()),
  ArrowLeft: (player) => player.toEvent(player.now.index - 1),
  ArrowRight: (player) => player.toEvent(player.now.index + 1),
  Home: (player) => player.toEvent(-1),
  End: (player) => player.toEvent(player.steps.events.length - 1),
};

document.addEventListener("keydown", (event) => {
  const act = keys[event.key], player = Player.inSight();
  const isOwn = event.ctrlKey || event.altKey || event.metaKey || event.shiftKey;
  if (!act || !player || isOwn || (event.key === " " && event.repeat)) return;
  // A button, a link, a field, what is scrolled sideways has its own use for some of them.
  const { target } = event;
  const takesAll = "select, pre, input:not([type=range])", takesSpace = "button, a, summary";
  if (target.matches(takesAll) || (event.key === " " && target.matches(takesSpace))) return;
  if (event.key.startsWith("Arrow") && target !== document.body && target.scrollWidth > target.clientWidth) return;
  event.preventDefault();
  act(player);
});

addEventListener("beforeprint", () => Player.all.forEach((player) => player.print()));
addEventListener("afterprint", () => Player.all.forEach((player) => player.goBack()));
